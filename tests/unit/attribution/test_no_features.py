"""A prompt on which no feature fires still has a graph: all of it is errors, tokens and biases, and still exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.attribution.heads import heads
from workbench.attribution.supernodes import supernode_edges
from workbench.attribution.tables import write_graph
from workbench.clt import CLT
from workbench.models import LoadedModel


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("gemma3")


@pytest.fixture(scope="module")
def silent(model: LoadedModel) -> CLT:
    clt = tiny_clt(model)
    return replace(clt, threshold=clt.threshold + 1e6)


@pytest.fixture(scope="module")
def graph(model: LoadedModel, silent: CLT) -> Graph:
    return attribute(model, silent, tiny_tokens(), progress=False)


def test_every_logit_is_still_the_sum_of_what_writes_to_it(graph: Graph) -> None:
    assert graph.n_features == 0
    assert graph.count("error") == 3 * 8
    assert len(graph.weights) == graph.count("logit")
    assert graph.scores().row_sum_error < 1e-10
    assert all(np.isfinite(graph.scores()))
    assert graph.info["left_out_influence"] == 0


def test_a_cap_of_nothing_leaves_out_all_the_influence_of_features(model: LoadedModel) -> None:
    clt = tiny_clt(model)
    capped = attribute(model, clt, tiny_tokens(), cap=0, progress=False)
    assert capped.n_features == 0
    assert capped.info["left_out_features"] == attribute(model, clt, tiny_tokens(), progress=False).n_features
    assert capped.info["left_out_influence"] == 1
    assert capped.scores().row_sum_error < 1e-10


def test_its_tables_paths_and_parts_work(model: LoadedModel, silent: CLT, graph: Graph) -> None:
    pruned = graph.prune()
    assert pruned.n_features == 0
    assert 0 < len(pruned.edges) <= len(graph.edges)
    paths = graph.paths(k=3)
    assert (paths["length"] == 1).all()
    assert graph.average_path_length() == pytest.approx(1)
    assert len(graph.subgraph_scores(graph.nodes["node_id"])) == 4
    assert len(supernode_edges(graph.with_supernodes({"the prompt": ["t/1", "t/2"]}))) > 0
    target = str(graph.nodes["node_id"].iloc[-1])
    table = heads(model, silent, graph, "t/3", target)
    column = graph.edges[(graph.edges["source"] == "t/3") & (graph.edges["target"] == target)]
    assert table["weight"].sum() == pytest.approx(column["weight"].item(), rel=1e-5)


def test_it_can_be_compared_with_a_graph_that_has_features(model: LoadedModel, graph: Graph) -> None:
    other = attribute(model, tiny_clt(model), tiny_tokens(), progress=False)
    nodes = graph.difference(other).nodes
    assert (nodes["kind"] == "feature").sum() == other.n_features


def test_it_goes_to_files_and_comes_back(graph: Graph, tmp_path: Path) -> None:
    write_graph(graph.prune(), tmp_path / "made")
    back = Graph.from_json(graph.to_json(tmp_path / "graph.json"))
    assert back.n_features == 0
    kept = torch.from_numpy((graph.nodes["kind"] != "bias").to_numpy()[graph.source_index])
    torch.testing.assert_close(back.weights, graph.weights[:, kept].float())
