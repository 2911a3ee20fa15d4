"""The graph of the explorer's benchmark, and how the explorer takes one that is too large to draw."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ipywidgets.embed import dependency_state

from workbench.attribution import Graph
from workbench.benchmarks import explorer as benchmark
from workbench.benchmarks.browser import chromium
from workbench.benchmarks.explorer_graph import synthetic_graph
from workbench.cli.app import run
from workbench.errors import ConfigError
from workbench.widgets import GraphExplorer
from workbench.widgets.graph_view import connections


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(600, 4_000)


def test_the_graph_has_the_size_that_was_asked_for(graph: Graph) -> None:
    assert len(graph.nodes) == 600
    assert graph.nodes["node_id"].is_unique
    assert graph.n_edges == len(graph.edges) == 4_000
    assert set(graph.nodes["kind"]) == {"feature", "error", "token", "logit"}


def test_edges_lead_upwards_and_never_back_to_an_earlier_token(graph: Graph) -> None:
    nodes = graph.nodes.set_index("node_id")
    source, target = (nodes.loc[graph.edges[end].astype(str)] for end in ("source", "target"))
    assert (source["position"].to_numpy() <= target["position"].to_numpy()).all()
    depth = source["layer"].where(source["kind"] != "token", -1).to_numpy()
    assert (depth < target["layer"].to_numpy()).all()
    for end in ("source", "target"):
        assert set(nodes.index[nodes["kind"] == "feature"]) <= set(graph.edges[end].astype(str))


def test_influence_is_what_the_edges_give(graph: Graph) -> None:
    shares = (graph.weights.abs() / graph.incoming[:, None]).double()
    square = torch.zeros(shares.shape[1], shares.shape[1], dtype=torch.float64)
    square[: graph.n_features] = shares[: graph.n_features]
    first = graph.probability.double() @ shares[graph.n_features :]
    reach = first @ torch.linalg.inv(torch.eye(len(square), dtype=torch.float64) - square)
    assert np.allclose(graph.nodes["influence"].to_numpy()[: len(reach)], reach, atol=1e-6)
    assert 0 < graph.scores().replacement < 1


def test_the_same_seed_gives_the_same_graph() -> None:
    one, two, other = (synthetic_graph(200, 900, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.weights, two.weights)
    assert not torch.equal(one.weights, other.weights)


@pytest.mark.parametrize(("nodes", "edges"), [(40, 400), (2_000, 10), (300, 300**2)])
def test_a_graph_that_cannot_be_is_refused(nodes: int, edges: int) -> None:
    with pytest.raises(ConfigError, match=f"{nodes} nodes cannot have {edges} edges"):
        synthetic_graph(nodes, edges)


def test_ten_thousand_nodes_and_two_hundred_thousand_edges_open_pruned_for_drawing() -> None:
    graph = synthetic_graph(10_000, 200_000)
    explorer = GraphExplorer(graph)
    assert (explorer._info["n_nodes"], explorer._info["n_edges"]) == (10_000, 200_000)
    assert len(explorer._nodes["node_id"]) == 2_000
    assert len(explorer._edges["source"]) <= 20_000
    assert len(json.dumps(dependency_state([explorer])[explorer.model_id])) < 1_000_000
    # What is not drawn is still there for whoever asks.
    hub = graph.edges["target"].value_counts().index[0]
    answer = connections(graph, int(graph.row_of_node[hub]))
    assert answer["incoming"]["total"] == int((graph.edges["target"] == hub).sum())


def test_without_a_browser_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chromium, "find_browser", lambda: None)
    monkeypatch.setattr(benchmark, "machine", dict)
    assert run(["bench", "explorer", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("workbench: No browser was found. Install Chromium")
