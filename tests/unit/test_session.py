"""The session on a tiny model: what joins the parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.attribution import DifferenceTarget, Graph
from workbench.errors import ConfigError, InterventionError, ModelError, PromptError


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture(scope="module")
def graph(bench: wb.Session) -> Graph:
    return bench.attribute(tiny_prompt(), progress=False)


def features(graph: Graph, n: int) -> list[str]:
    """Return the ids of the n most influential features."""
    nodes = graph.nodes[graph.nodes["kind"] == "feature"]
    return list(nodes.nlargest(n, "influence")["node_id"])


def test_a_whole_graph_is_pruned_and_labelled_before_it_is_shown(bench: wb.Session, graph: Graph) -> None:
    explorer = bench.explore(graph)
    shown = explorer.graph
    assert len(shown.nodes) < len(graph.nodes)
    assert shown.nodes.loc[shown.nodes["kind"] == "feature", "label"].str.startswith("→ ").all()
    explorer.close()


def test_a_pruned_and_labelled_graph_is_shown_as_it_is(bench: wb.Session, graph: Graph) -> None:
    pruned = graph.prune(0.6, 0.9)
    node = features(pruned, 1)[0]
    explorer = bench.explore(pruned.with_labels({node: "mine"}), selected=[node])
    assert len(explorer.graph.nodes) == len(pruned.nodes)
    assert list(explorer.selected["label"]) == ["mine"]
    explorer.close()


def test_two_graphs_are_compared_before_pruning(bench: wb.Session) -> None:
    graph, other = (bench.attribute(prompt, progress=False) for prompt in ("w3 w4 w5", "w3 w4 w8"))
    explorer = bench.explore(graph, other=other)
    assert explorer.difference is not None
    assert len(explorer.graph.nodes) < len(graph.nodes)
    assert len(explorer.difference.a.nodes) == len(graph.nodes)
    assert explorer.difference.b is other
    explorer.close()


def test_a_graph_stands_for_its_prompt_in_an_intervention(bench: wb.Session, graph: Graph) -> None:
    edits = [wb.Edit.node(node, factor=-1) for node in features(graph, 2)]
    by_graph, by_text = (bench.intervene(prompt, edits) for prompt in (graph, tiny_prompt()))
    assert by_graph.kl > 0
    assert torch.equal(by_graph.logits.after, by_text.logits.after)


def test_the_clean_run_of_a_prompt_is_made_once(bench: wb.Session, graph: Graph) -> None:
    first = bench.intervene(graph, [])
    second = bench.intervene(tiny_prompt(), [wb.Edit.node(features(graph, 1)[0], factor=0)])
    assert first.clean is second.clean


def test_sliders_run_the_model_on_the_graphs_prompt(bench: wb.Session, graph: Graph) -> None:
    node = features(graph, 1)[0]
    sliders = bench.sliders(graph, nodes=[node])
    sliders.values = {node: -2}
    assert sliders.wait(60)
    expected = bench.intervene(graph, [wb.Edit.node(node, factor=-2)]).tokens.set_index("token_id")["after"]
    shown = sliders.tokens.set_index("token_id")["after"]
    assert shown.to_dict() == pytest.approx(expected[shown.index].to_dict())
    sliders.close()


def test_of_a_mixed_selection_the_features_get_sliders(bench: wb.Session, graph: Graph) -> None:
    node = features(graph, 1)[0]
    sliders = bench.sliders(graph, nodes=graph.select([node, "t/2"]))
    assert list(sliders.values) == [node]
    sliders.close()


def test_a_selection_without_features_is_refused(bench: wb.Session, graph: Graph) -> None:
    with pytest.raises(ConfigError, match="t/2"):
        bench.sliders(graph, nodes=["t/2"])


def test_an_unknown_node_is_named(graph: Graph) -> None:
    with pytest.raises(ConfigError, match="no node 'f/99/0/1'"):
        graph.select(["t/2", "f/99/0/1"])


def test_nodes_come_in_the_order_asked_for(graph: Graph) -> None:
    ids = ["t/3", *features(graph, 2), "t/1"]
    assert list(graph.select(ids)["node_id"]) == ids


def test_a_graph_of_another_model_is_refused(bench: wb.Session, graph: Graph) -> None:
    foreign = dataclasses.replace(graph, info={**graph.info, "fingerprint": "0", "model": "another"})
    with pytest.raises(ModelError, match="'another'"):
        bench.intervene(foreign, [])
    with pytest.raises(ModelError, match="'another'"):
        bench.sliders(foreign, nodes=features(graph, 1))


def test_an_imported_graph_whose_tokens_are_unknown_cannot_be_run(bench: wb.Session, graph: Graph) -> None:
    imported = dataclasses.replace(graph, token_ids=(*graph.token_ids[:-1], -1))
    with pytest.raises(PromptError, match=r"id at position 8 is -1, as in a graph imported .* give the prompt as text"):
        bench.intervene(imported, [])
    with pytest.raises(PromptError, match="id at position 8 is -1"):
        bench.sliders(imported, nodes=features(graph, 1))


def test_an_edit_that_cannot_be_applied_is_refused(bench: wb.Session, graph: Graph) -> None:
    with pytest.raises(InterventionError, match="99"):
        bench.intervene(graph, [wb.Edit(layer=0, feature=99, position=1, value=1.0)])


def test_an_edge_is_split_by_the_heads_that_carry_it(bench: wb.Session, graph: Graph) -> None:
    edge = graph.edges[graph.edges["source"].str.startswith("f/") & graph.edges["target"].str.startswith("l/")].iloc[0]
    table = bench.heads(graph, edge["source"], edge["target"])
    assert table["weight"].sum() == pytest.approx(edge["weight"], rel=1e-4)


def test_a_difference_of_two_tokens_is_explained(bench: wb.Session) -> None:
    difference = bench.attribute(tiny_prompt(), targets=[DifferenceTarget("w5", "w6")], progress=False)
    one, other = (bench.attribute(tiny_prompt(), targets=[token], progress=False) for token in ("w5", "w6"))
    sums = [float(graph.weights[-1].sum()) for graph in (difference, one, other)]
    assert sums[0] == pytest.approx(sums[1] - sums[2], rel=1e-3, abs=1e-4)


def test_two_prompts_are_contrasted(bench: wb.Session) -> None:
    why = bench.contrast("w1 w2 w3 w4 w5", "w1 w2 w3 w9 w5", k=2, progress=False)
    assert 1 <= len(why.features) <= 2
    at = why.features.loc[0, ["layer", "feature", "position_a"]]
    assert (why.inputs(*at)["weight_change"] < 0).any()


def test_a_graph_goes_to_a_file_and_comes_back(graph: Graph, tmp_path: Path) -> None:
    pruned = graph.prune()
    again = Graph.from_json(pruned.to_json(tmp_path / "graph.json"))
    kept = pruned.nodes[pruned.nodes["kind"] != "bias"]
    assert set(again.nodes["node_id"]) == set(kept["node_id"])
    assert again.token_ids == pruned.token_ids


def test_a_graph_is_read_by_its_own_methods(bench: wb.Session, graph: Graph) -> None:
    pruned = bench.label(graph.prune(0.9, 0.99))
    paths = pruned.paths(k=3)
    assert len(paths) == 3
    assert 1 <= pruned.average_path_length() <= pruned.info["n_layers"] + 1
    assert pruned.subgraph_scores(pruned.nodes["node_id"]).replacement > pruned.subgraph_scores([]).replacement
    grouped = pruned.with_supernodes({"both": features(pruned, 2)})
    assert "both" in set(grouped.supernode_edges()["source"])
    assert isinstance(bench.suggest_supernodes(pruned, similarity=0.3), dict)
    assert len(bench.nearly_active(tiny_prompt(), k=4)) <= 4
    same = graph.difference(graph).summary()
    assert len(same) > 0
