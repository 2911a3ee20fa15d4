"""What of a graph travels to the browser."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.influence import threshold_of
from workbench.widgets.graph_view import connections, cumulative, drawn_graph, edges_between, node_facts


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_the_cumulative_share_tells_which_nodes_pruning_keeps(graph: Graph, threshold: float) -> None:
    before = cumulative(graph)
    drawn = (before < threshold) | (before == 0) | (threshold == 1)
    kind, score = graph.nodes["kind"], torch.from_numpy(graph.nodes["influence"].to_numpy(copy=True))
    competing = torch.tensor((~kind.isin(("bias", "logit"))).to_numpy())
    limit = threshold_of(score[competing], threshold)
    assert np.array_equal(drawn, (score.numpy() >= limit) | kind.isin(("token", "logit")))


def test_tokens_and_logits_are_drawn_at_every_threshold(graph: Graph) -> None:
    fixed = graph.nodes["kind"].isin(("token", "logit")).to_numpy()
    assert (cumulative(graph)[fixed] == 0).all()


def test_the_columns_are_the_rows_of_the_graph(graph: Graph) -> None:
    drawn = drawn_graph(graph, max_nodes=10_000, max_edges=10**6)
    assert drawn.nodes["node_id"] == graph.nodes["node_id"].tolist()
    for name in ("layer", "position", "feature", "activation", "influence", "probability"):
        assert np.array_equal(drawn.nodes[name], graph.nodes[name].to_numpy(), equal_nan=True)
    assert len(drawn.edges["source"]) == graph.n_edges
    for name in ("weight", "share"):
        assert np.allclose(drawn.edges[name], graph.edges[name].to_numpy(), rtol=1e-5)
    ids = np.array(drawn.nodes["node_id"])
    assert ids[drawn.edges["source"]].tolist() == graph.edges["source"].astype(str).tolist()
    assert ids[drawn.edges["target"]].tolist() == graph.edges["target"].astype(str).tolist()


def test_the_most_influential_nodes_and_edges_are_chosen(graph: Graph) -> None:
    fixed = int(graph.nodes["kind"].isin(("token", "logit")).sum())
    drawn = drawn_graph(graph, max_nodes=fixed + 5, max_edges=7)
    others = graph.nodes[~graph.nodes["kind"].isin(("token", "logit"))]
    assert set(others.nlargest(5, "influence")["node_id"]) <= set(drawn.nodes["node_id"])
    assert len(drawn.nodes["node_id"]) == fixed + 5
    whole = graph.edges[
        graph.edges["source"].isin(drawn.nodes["node_id"]) & graph.edges["target"].isin(drawn.nodes["node_id"])
    ]
    assert np.allclose(drawn.edges["weight"], whole["weight"].iloc[:7], rtol=1e-5)


def test_nodes_that_must_be_there_are_there(graph: Graph) -> None:
    weakest = graph.nodes[graph.nodes["kind"] == "feature"].nsmallest(1, "influence")["node_id"].iloc[0]
    assert weakest not in drawn_graph(graph, max_nodes=1, max_edges=5).nodes["node_id"]
    assert weakest in drawn_graph(graph, max_nodes=1, max_edges=5, keep=[weakest]).nodes["node_id"]


def test_a_nodes_connections_are_all_its_edges_sorted_by_signed_share(graph: Graph) -> None:
    node_id = graph.edges["target"].astype(str).value_counts().index[0]
    row = graph.nodes["node_id"].tolist().index(node_id)
    answer = connections(graph, row)
    into = graph.edges[graph.edges["target"] == node_id].sort_values("share", ascending=False)
    assert answer["incoming"]["ids"] == into["source"].astype(str).tolist()
    assert np.allclose(answer["incoming"]["share"], into["share"], rtol=1e-5)
    assert np.allclose(answer["incoming"]["weight"], into["weight"], rtol=1e-5)
    assert answer["incoming"]["total"] == len(into)
    assert answer["incoming"]["positive"] == pytest.approx(into["share"].clip(lower=0).sum(), rel=1e-5)
    assert answer["incoming"]["negative"] == pytest.approx(into["share"].clip(upper=0).sum(), rel=1e-5)
    assert answer["outgoing"]["total"] == int((graph.edges["source"] == node_id).sum())
    facts = {other["id"] for other in answer["others"]}
    assert facts == {*answer["incoming"]["ids"], *answer["outgoing"]["ids"]}


def test_of_many_connections_the_strongest_are_sent_and_all_are_counted(graph: Graph) -> None:
    logit = graph.nodes["node_id"].iloc[-1]
    answer = connections(graph, len(graph.nodes) - 1, limit=6)["incoming"]
    into = graph.edges[graph.edges["target"] == logit]
    assert answer["total"] == len(into) > 6
    assert np.allclose(sorted(np.abs(answer["share"])), np.sort(into["share"].abs().nlargest(6)), rtol=1e-5)
    assert all(first >= second for first, second in pairwise(answer["share"]))


def test_a_token_has_no_incoming_and_a_logit_no_outgoing_edges(graph: Graph) -> None:
    token = graph.nodes["node_id"].tolist().index("t/1")
    assert connections(graph, token)["incoming"]["total"] == 0
    assert connections(graph, len(graph.nodes) - 1)["outgoing"] == {
        "ids": [],
        "weight": [],
        "share": [],
        "total": 0,
        "positive": 0.0,
        "negative": 0.0,
    }


def test_what_a_kind_of_node_does_not_have_is_none(graph: Graph) -> None:
    token = node_facts(graph, graph.nodes["node_id"].tolist().index("t/1"))
    assert (token["activation"], token["probability"]) == (None, None)
    assert token["token"] == graph.tokens[1]


def test_edges_are_read_from_a_part_of_the_matrix(graph: Graph) -> None:
    targets, sources = torch.tensor([0, len(graph.weights) - 1]), torch.arange(5)
    edges = edges_between(graph, targets, sources)
    assert len(edges) == int((graph.weights[targets][:, sources] != 0).sum())
    assert edges["influence"].is_monotonic_decreasing
    assert edges_between(graph, targets, sources[:0]).empty
