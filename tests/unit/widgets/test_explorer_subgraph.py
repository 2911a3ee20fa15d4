"""The subgraph of pinned nodes and supernodes, as the explorer's pane asks for it and as tables."""

from __future__ import annotations

import json

import pytest
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.supernodes import suggest_supernodes
from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.models import LoadedModel
from workbench.widgets.explorer_subgraph import card_edges, subgraph_answer, suggested_groups
from workbench.widgets.graph_explorer import GraphExplorer


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=16)


@pytest.fixture(scope="module")
def graph(model: LoadedModel, clt: CLT) -> Graph:
    return attribute(model, clt, tiny_prompt(length=8), progress=False)


def some_features(graph: Graph, layer: int, count: int) -> list[str]:
    nodes = graph.nodes[(graph.nodes["kind"] == "feature") & (graph.nodes["layer"] == layer)]
    return nodes.nlargest(count, "influence")["node_id"].tolist()


def test_edges_between_single_cards_are_the_graphs_own(graph: Graph) -> None:
    logit = graph.nodes["node_id"].iloc[-1]
    pinned = [*some_features(graph, 0, 2), *some_features(graph, 2, 2), logit]
    edges = card_edges(graph, pinned, {}).set_index(["source", "target"])
    own = graph.edges[graph.edges["source"].isin(pinned) & graph.edges["target"].isin(pinned)]
    assert len(edges) == len(own) > 3
    for source, target, weight, share, _ in own.itertuples(index=False):
        assert edges.loc[(source, target), "weight"] == pytest.approx(weight, rel=1e-5)
        assert edges.loc[(source, target), "share"] == pytest.approx(share, rel=1e-5)


def test_edges_of_a_supernode_are_summed_over_its_members(graph: Graph) -> None:
    group, (target,) = some_features(graph, 0, 3), some_features(graph, 2, 1)
    # A member that is pinned too has no card of its own.
    edges = card_edges(graph, [target, group[0]], {"low": group})
    assert edges[["source", "target"]].astype(str).to_numpy().tolist() == [["s/low", target]]
    own = graph.edges[graph.edges["source"].isin(group) & (graph.edges["target"] == target)]
    assert edges["weight"].item() == pytest.approx(own["weight"].sum(), rel=1e-5)
    assert edges["share"].item() == pytest.approx(own["share"].sum(), rel=1e-5)
    assert edges["edges"].item() == len(own)


def test_the_answer_has_the_scores_of_the_subgraph(graph: Graph) -> None:
    group, pinned = some_features(graph, 0, 3), some_features(graph, 1, 2)
    answer = subgraph_answer(graph, {"pinned": pinned, "supernodes": [{"name": "low", "ids": group}]})
    scores = graph.subgraph_scores([*pinned, *group])
    assert (answer["replacement"], answer["completeness"]) == pytest.approx((scores.replacement, scores.completeness))
    assert set(answer["edges"]["source"]) <= {"s/low", *pinned}
    json.dumps(answer, allow_nan=False)


def test_without_anything_pinned_there_are_no_edges(graph: Graph) -> None:
    answer = subgraph_answer(graph, {"pinned": [], "supernodes": []})
    assert answer["edges"]["source"] == []
    assert 0 <= answer["replacement"] <= 1


def test_a_node_in_two_supernodes_is_refused(graph: Graph) -> None:
    groups = [{"name": "a", "ids": ["t/1"]}, {"name": "b", "ids": ["t/1"]}]
    with pytest.raises(ConfigError, match="in the supernodes"):
        subgraph_answer(graph, {"supernodes": groups})


def test_groups_are_suggested_for_the_whole_graph_or_among_some_nodes(graph: Graph, clt: CLT) -> None:
    whole = suggested_groups(graph, clt, {})
    expected = suggest_supernodes(graph, clt=clt, k=8)
    assert [(group["name"], group["ids"]) for group in whole] == list(expected.items())
    members = whole[0]["ids"][:2]
    among = suggested_groups(graph, clt, {"among": [*members, "t/1"]})
    assert [sorted(group["ids"]) for group in among] == [sorted(members)]
    assert suggested_groups(graph, clt, {"among": ["t/1", "t/2"]}) == []


def test_the_explorer_gives_the_subgraph_as_tables(graph: Graph, clt: CLT) -> None:
    group, pinned = some_features(graph, 0, 3), some_features(graph, 2, 2)
    explorer = GraphExplorer(graph, pinned=pinned, supernodes={"low": group}, clt=clt)
    assert set(explorer.subgraph_edges["source"]) == {"low"}
    assert set(explorer.subgraph_edges["target"]) <= set(pinned)
    assert explorer.subgraph_scores() == graph.subgraph_scores([*pinned, *group])
    assert explorer.methods()["suggest"]({}) == suggested_groups(graph, clt, {})
