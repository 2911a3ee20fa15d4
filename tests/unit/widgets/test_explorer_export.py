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
from workbench.errors import ConfigError, ResourceError
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


def _made_again(bench: wb.Session, graph: Graph, **names: Any) -> Graph:
    """Run the code of an explorer of a graph, and return the graph that it makes."""
    names["bench"] = bench
    exec(GraphExplorer(graph).snippet(), names)
    again = names["graph"]
    assert isinstance(again, Graph)
    return again


def _same(one: Graph, other: Graph) -> bool:
    return one.nodes["node_id"].tolist() == other.nodes["node_id"].tolist() and torch.equal(one.weights, other.weights)


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ([7, 9], "targets=[7, 9]"),
        ([wb.LogitTarget(7, position=3)], "targets=[wb.LogitTarget(7, position=3)]"),
        ([wb.DifferenceTarget(7, 9)], "targets=[wb.DifferenceTarget(7, 9)]"),
        ([wb.DifferenceTarget([7, 8], 9, position=4)], "targets=[wb.DifferenceTarget([7, 8], 9, position=4)]"),
        ([wb.FeatureTarget(2, 5, position=6), 3], "targets=[wb.FeatureTarget(2, 5, position=6), 3]"),
    ],
    ids=["tokens", "an earlier position", "a difference", "sets of tokens", "a feature"],
)
def test_the_code_asks_for_the_same_targets(bench: wb.Session, targets: list[Any], code: str) -> None:
    graph = bench.attribute(tiny_prompt(length=8), targets=targets, progress=False).prune()
    assert code in GraphExplorer(graph).snippet()
    assert _same(_made_again(bench, graph), graph)


def test_the_most_probable_tokens_up_to_another_share_are_named_one_by_one(bench: wb.Session) -> None:
    graph = bench.attribute(tiny_prompt(length=8), targets=[wb.TopTokens(mass=0.2, at_most=3)], progress=False)
    assert _same(_made_again(bench, graph), graph)
    assert not _same(bench.attribute(tiny_prompt(length=8), progress=False), graph)


def test_the_code_leaves_a_place_for_the_vectors_that_a_graph_does_not_hold(bench: wb.Session) -> None:
    vector = torch.linspace(-1, 1, bench.model.cfg.d_model)
    for layer in (None, 1):
        target = wb.DirectionTarget(vector, "truth", layer=layer)
        graph = bench.attribute(tiny_prompt(length=8), targets=[target], progress=False)
        code = GraphExplorer(graph).snippet()
        assert "directions = {}\n" in code
        names: dict[str, Any] = {"bench": bench, "vector": vector}
        exec(code.replace("directions = {}", "directions = {'truth': vector}"), names)
        assert _same(names["graph"], graph)


def test_the_code_has_the_cap_and_the_precision(bench: wb.Session, tmp_path: Path) -> None:
    graph = bench.attribute(tiny_prompt(length=8), cap=12, precision=torch.bfloat16, progress=False)
    assert graph.info["left_out_features"] > 0
    assert _same(_made_again(bench, graph), graph)
    # Still when the graph has been in a file meanwhile.
    read = Graph.from_json(graph.to_json(tmp_path / "graph.json"))
    code = GraphExplorer(read).snippet()
    assert code.startswith("import torch\n\ngraph = bench.attribute(\n")
    assert "    cap=12,\n    precision=torch.bfloat16,\n" in code
    whole = bench.attribute(tiny_prompt(length=8), cap=None, progress=False)
    assert "    cap=None,\n" in GraphExplorer(whole).snippet()


@pytest.mark.parametrize("wrong", ["l/x/2", "l/3", "f/0/1/2", "d/3/import os/2", "r/a'/__import__('os')/2"])
def test_a_file_cannot_put_code_into_the_code(graph: Graph, wrong: str) -> None:
    strange = replace(graph, info={**graph.info, "targets": [wrong], "cap": "__import__('os')"})
    with pytest.raises(ConfigError, match="is no output"):
        GraphExplorer(strange).snippet()
    strange = replace(graph, info={**strange.info, "targets": None, "precision": "bfloat16; import os"})
    assert "import" not in GraphExplorer(strange).snippet().replace("import torch\n", "", 1)
