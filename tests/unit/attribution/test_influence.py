"""Influence, scores and pruning against their definitions, written out with a dense inverse."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model, n_features=16), tiny_tokens(length=8), progress=False)


def dense(graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row-normalised adjacency of all nodes but the biases, and the logit nodes' weights."""
    n = len(graph.nodes)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    kinds = graph.nodes["kind"].to_numpy()
    rows = torch.from_numpy(graph.target_index.copy())
    columns = torch.from_numpy(graph.source_index.copy())
    matrix[rows[:, None], columns] = graph.weights.abs()
    matrix[:, torch.from_numpy(kinds == "bias")] = 0
    matrix /= matrix.sum(dim=1, keepdim=True).clamp_min(1e-10)
    weights = torch.zeros(n, dtype=torch.float64)
    weights[torch.from_numpy(kinds == "logit")] = graph.probability
    return matrix, weights


def test_influence_is_the_sum_over_all_paths(graph: Graph) -> None:
    matrix, weights = dense(graph)
    inverse = torch.linalg.inv(torch.eye(len(matrix), dtype=torch.float64) - matrix) - torch.eye(len(matrix))
    expected = weights @ inverse
    kinds = graph.nodes["kind"].to_numpy()
    sources = torch.from_numpy((kinds != "logit") & (kinds != "bias"))
    mine = torch.from_numpy(graph.nodes["influence"].to_numpy(dtype="float64", copy=True))
    torch.testing.assert_close(mine[sources], expected[sources], atol=1e-6, rtol=1e-5)


def test_scores_follow_their_definitions(graph: Graph) -> None:
    matrix, weights = dense(graph)
    eye = torch.eye(len(matrix), dtype=torch.float64)
    total = weights @ (torch.linalg.inv(eye - matrix) - eye)
    kinds = graph.nodes["kind"].to_numpy()
    is_error, is_token = torch.from_numpy(kinds == "error"), torch.from_numpy(kinds == "token")
    output = (total + weights)[torch.from_numpy(kinds != "bias")]
    fraction = (1 - matrix[:, is_error].sum(dim=1))[torch.from_numpy(kinds != "bias")]
    scores = graph.scores()
    tokens, errors = total[is_token].sum(), total[is_error].sum()
    assert scores.replacement == pytest.approx(float(tokens / (tokens + errors)), abs=1e-6)
    assert scores.completeness == pytest.approx(float((fraction * output).sum() / output.sum()), abs=1e-6)


def test_thresholds_of_one_keep_the_whole_graph(graph: Graph) -> None:
    pruned = graph.prune(1, 1)
    assert pruned.nodes.equals(graph.nodes)
    assert pruned.n_edges == graph.n_edges


def test_pruning_keeps_the_influential_and_every_token_error_and_logit(graph: Graph) -> None:
    pruned = graph.prune(node_threshold=0.5, edge_threshold=0.9)
    assert 0 < pruned.n_features < graph.n_features
    for kind in ("token", "error", "logit"):
        assert pruned.count(kind) == graph.count(kind)
    kept = pruned.nodes.loc[pruned.nodes["kind"] == "feature", "influence"]
    gone = graph.nodes[(graph.nodes["kind"] == "feature") & ~graph.nodes["node_id"].isin(pruned.nodes["node_id"])]
    assert kept.median() > gone["influence"].median()
    assert pruned.n_edges < graph.n_edges
    # What is kept is unchanged: weights and shares are those of the whole graph.
    merged = pruned.edges.astype({"source": str, "target": str}).merge(
        graph.edges.astype({"source": str, "target": str}), on=["source", "target"], suffixes=("", "_whole")
    )
    assert len(merged) == pruned.n_edges
    assert (merged["weight"] == merged["weight_whole"]).all()
    assert (merged["share"] == merged["share_whole"]).all()


def test_errors_can_be_pruned_like_features(graph: Graph) -> None:
    assert graph.prune(0.3, 0.9, keep_errors=False).count("error") < graph.count("error")


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_zero_to_one_is_refused(graph: Graph, threshold: float) -> None:
    with pytest.raises(ConfigError, match="node_threshold"):
        graph.prune(node_threshold=threshold)


def test_influence_of_8192_features_needs_no_second_matrix() -> None:
    """By back substitution, layer by layer: beside the matrix of 268 MB it takes a few vectors."""
    script = """
import torch
from workbench.attribution.influence import influence
from workbench.memory import peak_memory_mb
n, n_layers = 8192, 32
layer = torch.arange(n) // (n // n_layers)
normalized = torch.rand(n + 4, n)
for start in range(0, n, 256):
    normalized[start : start + 256, start:] = 0
for block in normalized.split(256):
    block /= block.sum(dim=1, keepdim=True).clamp_min(1e-10)
before = peak_memory_mb()
total = influence(normalized, layer, torch.full((4,), 0.25))
print(peak_memory_mb() - before, float(total[layer == 0].sum()), float(total.min()))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    megabytes, first_layer, least = map(float, result.stdout.split())
    assert megabytes < 32
    # Every row sums to one and ends in the first layer, so all of the influence passes through it.
    assert first_layer == pytest.approx(1, abs=1e-3)
    assert least > 0
