"""What a session does with edits, on a tiny model."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.attribution import Graph
from workbench.errors import CLTError, ModelError


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture(scope="module")
def graph(bench: wb.Session) -> Graph:
    return bench.attribute(tiny_prompt(), progress=False)


def test_a_graph_stands_for_its_prompt_in_a_generation(bench: wb.Session, graph: Graph) -> None:
    node = graph.nodes["node_id"].iloc[0]
    edits = [wb.Edit.node(node, factor=-3)]
    by_graph, by_text = (bench.generate(prompt, edits, max_new_tokens=3) for prompt in (graph, tiny_prompt()))
    assert by_graph.steered.token_ids == by_text.steered.token_ids
    assert by_graph.prompt == graph.tokens


def test_a_stream_gives_the_tokens_of_the_generation(bench: wb.Session) -> None:
    edits = [wb.Edit.everywhere(0, 3, value=6)]
    stream = bench.stream(tiny_prompt(), edits, max_new_tokens=3, stop_at_end=False)
    tokens = [token.token_id for token in stream if token.run == "steered"]
    whole = bench.generate(tiny_prompt(), edits, max_new_tokens=3, stop_at_end=False)
    assert tuple(tokens) == whole.steered.token_ids == stream.result.steered.token_ids


def test_a_supernode_of_the_graph_is_edited_on_its_prompt(bench: wb.Session, graph: Graph) -> None:
    grouped = graph.with_supernodes({"two": list(graph.nodes["node_id"][:2])})
    result = bench.intervene(grouped, [wb.SupernodeEdit.of(grouped, "two", factor=0)], freeze_attention=True)
    assert result.freeze_attention
    assert len(result.edited) == 2


def test_a_clt_that_was_swapped_underneath_is_noticed(bench: wb.Session, graph: Graph) -> None:
    other = dataclasses.replace(bench, clt=tiny_clt(bench.loaded, n_features=16, seed=1))
    for act in (lambda: other.intervene(graph, []), lambda: other.generate(graph), lambda: other.validate(graph)):
        with pytest.raises(CLTError, match=r"The graph's f/.* has the activation .* with this session's CLT"):
            act()


def test_a_prompt_that_changed_since_the_graph_was_made_is_noticed(bench: wb.Session, graph: Graph) -> None:
    changed = dataclasses.replace(graph, token_ids=(graph.token_ids[0], *graph.token_ids[:0:-1]))
    with pytest.raises(CLTError, match="or attribute the prompt again"):
        bench.intervene(changed, [])
    foreign = dataclasses.replace(graph, info={**graph.info, "fingerprint": "0", "model": "another"})
    with pytest.raises(ModelError, match="'another'"):
        bench.generate(foreign)
