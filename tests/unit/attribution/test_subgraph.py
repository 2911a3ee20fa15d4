"""Subgraph scores against closed forms, the graph's own scores, and what must never happen."""

from __future__ import annotations

import itertools

import pytest
import torch
from handmade_graphs import graph_of
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.subgraph import subgraph_scores
from workbench.errors import ConfigError


def whole_graph(architecture: Architecture = "llama") -> Graph:
    model = tiny_model(architecture)
    return attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return whole_graph()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_all_nodes_in_the_scores_are_those_of_the_graph(architecture: Architecture) -> None:
    graph = whole_graph(architecture)
    assert subgraph_scores(graph, graph.nodes["node_id"]) == pytest.approx(graph.scores(), rel=1e-6)


@pytest.fixture
def chain() -> Graph:
    """The logit hears a token, an error and two features; the upper feature hears the lower one and an error."""
    return graph_of(
        {
            ("t/1", "l/3/1"): 1,
            ("e/1/1", "l/3/1"): -1,
            ("f/1/0/1", "l/3/1"): 2,
            ("f/0/0/1", "l/3/1"): 4,
            ("b/1/mlp/0", "l/3/1"): 100,
            ("f/0/0/1", "f/1/0/1"): 3,
            ("e/0/1", "f/1/0/1"): 1,
            ("t/1", "f/0/0/1"): 4,
            ("e/0/1", "f/0/0/1"): -1,
        },
        probability={"l/3/1": 1.0},
    )


@pytest.mark.parametrize(
    ("nodes", "tokens", "outputs", "error_share"),
    [
        # tokens: their influence; outputs: that of the features inside; error_share: the mean over the targets inside.
        ([], 1 / 8, 0, 7 / 8),
        (["f/0/0/1"], 1 / 8 + 4 / 8 * 0.8, 4 / 8, (3 / 8 + 0.2) / 2),
        (["f/1/0/1"], 1 / 8, 2 / 8, (5 / 8 + 1) / 2),
        (
            ["f/0/0/1", "f/1/0/1"],
            1 / 8 + (4 / 8 + 2 / 8 * 0.75) * 0.8,
            2 / 8 + (4 / 8 + 2 / 8 * 0.75),
            (1 / 8 + 0.25 + 0.2) / 3,
        ),
    ],
)
def test_scores_of_a_hand_made_subgraph_have_closed_forms(
    chain: Graph, nodes: list[str], tokens: float, outputs: float, error_share: float
) -> None:
    scores = subgraph_scores(chain, nodes)
    assert scores.replacement == pytest.approx(tokens)
    assert scores.completeness == pytest.approx(1 - (1 - tokens) / (outputs + 1 + 1))
    assert scores.error_share == pytest.approx(error_share)


def test_a_further_feature_never_lowers_a_score(graph: Graph) -> None:
    features = graph.nodes.loc[graph.nodes["kind"] == "feature", "node_id"].sample(frac=1, random_state=0).tolist()
    scores = [subgraph_scores(graph, features[:size]) for size in range(0, len(features) + 1, 3)]
    for before, after in itertools.pairwise(scores):
        assert after.replacement >= before.replacement - 1e-12
        assert after.completeness >= before.completeness - 1e-12
    assert scores[-1].replacement > scores[0].replacement
    assert scores[-1].completeness > scores[0].completeness


def test_tokens_errors_logits_and_biases_in_the_set_change_nothing(graph: Graph) -> None:
    nodes = graph.nodes
    features = nodes.loc[nodes["kind"] == "feature", "node_id"].iloc[::2].tolist()
    others = nodes.loc[nodes["kind"] != "feature", "node_id"].tolist()
    assert subgraph_scores(graph, [*others, *reversed(features), features[0]]) == subgraph_scores(graph, features)


def test_what_was_pruned_counts_as_error(graph: Graph) -> None:
    pruned = graph.prune(0.7, 0.9)
    features = pruned.nodes.loc[pruned.nodes["kind"] == "feature", "node_id"]
    after, before = subgraph_scores(pruned, features), subgraph_scores(graph, features)
    assert 0 < after.replacement < before.replacement < graph.scores().replacement
    assert 0 < after.completeness < before.completeness < graph.scores().completeness


def test_pruning_errors_away_does_not_make_a_subgraph_look_better(graph: Graph) -> None:
    kept, gone = graph.prune(0.7, 1.0), graph.prune(0.7, 1.0, keep_errors=False)
    assert gone.count("error") < kept.count("error")
    assert subgraph_scores(gone, gone.nodes["node_id"]).replacement <= (
        subgraph_scores(kept, kept.nodes["node_id"]).replacement + 1e-9
    )


def test_a_graph_without_features_has_scores() -> None:
    graph = graph_of({("t/1", "l/3/1"): 3, ("e/0/1", "l/3/1"): 1}, probability={"l/3/1": 0.5})
    assert subgraph_scores(graph, []).replacement == pytest.approx(0.75)


def test_an_unknown_node_is_refused(graph: Graph) -> None:
    with pytest.raises(ConfigError, match="no node 'f/99/0/0'"):
        subgraph_scores(graph, ["f/99/0/0"])


def test_float32_graphs_have_scores_between_zero_and_one() -> None:
    model = tiny_model("gpt2", dtype=torch.float32)
    graph = attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False)
    scores = subgraph_scores(graph, graph.nodes["node_id"])
    assert scores == pytest.approx(graph.scores(), rel=1e-4)
    assert 0 <= scores.replacement <= 1
    assert 0 <= scores.completeness <= 1
