"""Names of features: given in one explorer, kept beside the CLT, shown by all."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.attribution import Graph
from workbench.errors import AtlasError
from workbench.features.atlas.given_labels import GivenLabel
from workbench.widgets.explorer_labels import nodes_of_features


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture
def graph(bench: wb.Session) -> Graph:
    return bench.attribute(tiny_prompt(length=8), progress=False).prune(1, 1)


def everywhere(graph: Graph) -> list[str]:
    """Return the nodes of the feature that is active at most positions."""
    return max(nodes_of_features(graph).values(), key=len)


def key_of(node: str) -> tuple[int, int]:
    _, layer, feature, _ = node.split("/")
    return int(layer), int(feature)


def test_a_name_is_shown_by_all_explorers_and_at_all_positions(bench: wb.Session, graph: Graph) -> None:
    one, other = bench.explore(graph), bench.explore(bench.attribute(tiny_prompt(length=7, seed=1), progress=False))
    nodes = everywhere(graph)
    assert len(nodes) > 1
    one.set_state({"labels": {nodes[0]: "mine"}})
    assert one.labels == dict.fromkeys(nodes, "mine")
    there = nodes_of_features(other.graph).get(key_of(nodes[0]), [])
    assert other.labels == dict.fromkeys(there, "mine")
    # A later explorer, and a later session, begin with it.
    assert bench.explore(graph).labels == one.labels
    again = wb.Session(loaded=bench.loaded, clt=bench.clt, clt_name="tiny")
    assert again.labels.human() == {key_of(nodes[0]): "mine"}
    assert again.label(graph).nodes.set_index("node_id").loc[nodes[0], "label"] == "mine"


def test_a_name_that_is_taken_away_leaves_what_the_feature_promotes(bench: wb.Session, graph: Graph) -> None:
    nodes = everywhere(graph)
    bench.labels.set({key_of(nodes[0]): GivenLabel("mine", "human")})
    one, other = bench.explore(graph), bench.explore(graph)
    assert one.graph.nodes.set_index("node_id").loc[nodes, "label"].tolist() == ["mine"] * len(nodes)
    one.labels = {}
    assert other.labels == {}
    assert str(other.graph.nodes.set_index("node_id").loc[nodes[0], "label"]).startswith("→ ")
    assert bench.labels.human() == {}


def test_names_of_tokens_stay_with_their_graph(bench: wb.Session, graph: Graph) -> None:
    one, other = bench.explore(graph), bench.explore(graph)
    one.labels = {"t/1": "first word"}
    assert one.labels == {"t/1": "first word"}
    assert other.labels == {}
    assert not bench.labels.path.exists()


def test_names_given_as_an_argument_go_first_and_are_this_explorers_own(bench: wb.Session, graph: Graph) -> None:
    node = everywhere(graph)[0]
    bench.labels.set({key_of(node): GivenLabel("kept", "human")})
    explorer = bench.explore(graph, labels={node: "here"})
    assert explorer.labels[node] == "here"
    assert bench.labels.human() == {key_of(node): "kept"}


def test_a_closed_explorer_is_forgotten(bench: wb.Session, graph: Graph) -> None:
    explorer = bench.explore(graph)
    forgotten = weakref.ref(explorer)
    explorer.close()
    del explorer
    gc.collect()
    assert forgotten() is None
    bench.labels.set({(0, 0): GivenLabel("mine", "human")})


def test_a_damaged_file_is_named(bench: wb.Session, graph: Graph) -> None:
    bench.labels.path.parent.mkdir(parents=True)
    bench.labels.path.write_text("{")
    with pytest.raises(AtlasError, match=r"labels\.json are damaged .*correct or delete the file"):
        bench.explore(graph)
