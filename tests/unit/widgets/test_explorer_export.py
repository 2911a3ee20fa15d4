"""What is taken out of an explorer: a file for other viewers, and code that brings the view back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.attribution import Graph
from workbench.errors import ResourceError
from workbench.widgets.graph_explorer import GraphExplorer


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture(scope="module")
def graph(bench: wb.Session) -> Graph:
    return bench.attribute(tiny_prompt(length=8), progress=False).prune()


@pytest.fixture
def explorer(graph: Graph) -> GraphExplorer:
    one, two, three = features(graph, 3)
    return GraphExplorer(
        graph,
        selected=[two, "t/1"],
        pinned=[three, graph.nodes.loc[graph.nodes["kind"] == "bias", "node_id"].iloc[0]],
        supernodes={"a <group>": [one, two]},
        labels={one: 'the "first"'},
        node_threshold=0.5,
        show_errors=False,
        link_mode="in",
    )


def features(graph: Graph, count: int) -> list[str]:
    return graph.nodes[graph.nodes["kind"] == "feature"].nlargest(count, "influence")["node_id"].tolist()


def test_the_file_holds_what_was_chosen(explorer: GraphExplorer, graph: Graph, tmp_path: Path) -> None:
    path = explorer.to_json(tmp_path / "graph.json")
    read = Graph.from_json(path)
    one, two, three = features(graph, 3)
    nodes = read.nodes.set_index("node_id")
    assert nodes.loc[one, "label"] == 'the "first"'
    assert nodes.loc[[one, two], "supernode"].tolist() == ["a <group>"] * 2
    assert read.info["q_params"]["pinned"] == [three]
    assert read.info["q_params"]["clicked"] == "t/1"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["qParams"]["linkType"] == "input"
    # An explorer of that file begins with what was pinned and grouped.
    again = GraphExplorer(read)
    assert again.pinned_ids == [three]
    assert again.supernodes == explorer.supernodes


def test_the_widget_downloads_the_same_file(explorer: GraphExplorer, tmp_path: Path) -> None:
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    explorer.send = lambda content, buffers=None: sent.append((content, buffers))
    explorer._handle_custom_msg({"kind": "request", "id": "1", "method": "schema1", "params": {}}, [])
    assert explorer._answers is not None
    assert explorer._answers.wait(20)
    ((_, (text,)),) = sent
    assert text == explorer.to_json(tmp_path / "graph.json").read_bytes()


def test_a_folder_that_is_a_file_is_named(explorer: GraphExplorer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ResourceError, match="taken"):
        explorer.to_json(tmp_path / "taken" / "graph.json")


def test_the_code_brings_the_view_back(bench: wb.Session, explorer: GraphExplorer) -> None:
    names: dict[str, Any] = {"bench": bench}
    exec(explorer.snippet(), names)
    again = names["explorer"]
    for trait in ("selected_ids", "pinned_ids", "supernodes", "labels", "node_threshold", "show_errors", "link_mode"):
        assert getattr(again, trait) == getattr(explorer, trait), trait
    assert again.graph.nodes["node_id"].tolist() == explorer.graph.nodes["node_id"].tolist()


def test_the_code_of_an_untouched_explorer_is_two_lines(graph: Graph) -> None:
    text = replace(graph, tokens=("<s>", "a", " b"), prompt="a b", info={})
    assert GraphExplorer(text).snippet() == "graph = bench.attribute('a b')\nexplorer = bench.explore(graph)\n"
