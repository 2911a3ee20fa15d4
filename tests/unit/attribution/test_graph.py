"""A graph's tables, paths and files."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.paths import strongest_paths
from workbench.attribution.tables import write_graph
from workbench.clt import CLT
from workbench.errors import ConfigError, PromptError, ResourceError
from workbench.models import LoadedModel

NODE_COLUMNS = [
    "node_id", "kind", "layer", "position", "feature", "token", "activation", "influence", "label", "supernode",
    "probability",
]  # fmt: skip


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=16)


@pytest.fixture(scope="module")
def graph(model: LoadedModel, clt: CLT) -> Graph:
    return attribute(model, clt, tiny_prompt(length=8), progress=False)


def test_nodes_and_edges_are_tables(graph: Graph) -> None:
    assert list(graph.nodes.columns) == NODE_COLUMNS
    assert list(graph.edges.columns) == ["source", "target", "weight", "share", "influence"]
    first = graph.nodes.iloc[0]
    assert first["node_id"] == f"f/{first['layer']}/{first['feature']}/{first['position']}"
    assert graph.nodes["node_id"].is_unique
    assert graph.edges["weight"].dtype == np.float32
    assert graph.edges["influence"].is_monotonic_decreasing
    assert graph.edges["source"].dtype == "category"


def test_the_shares_of_a_target_add_up_to_one(graph: Graph) -> None:
    edges = graph.edges[~graph.edges["source"].astype(str).str.startswith("b/")]
    totals = edges.assign(share=edges["share"].abs()).groupby("target", observed=True)["share"].sum()
    assert np.allclose(totals, 1, atol=1e-5)


def test_edges_point_forward_only(graph: Graph) -> None:
    """From lower to higher layers, and never from a later position to an earlier one."""
    nodes = graph.nodes.set_index("node_id")
    source = nodes.loc[graph.edges["source"].astype(str)]
    target = nodes.loc[graph.edges["target"].astype(str)]
    is_feature = (source["kind"] == "feature").to_numpy() & (target["kind"] == "feature").to_numpy()
    assert (source["layer"].to_numpy() < target["layer"].to_numpy())[is_feature].all()
    assert (source["position"].to_numpy() <= target["position"].to_numpy()).all()


def test_targets_can_be_named(model: LoadedModel, clt: CLT) -> None:
    graph = attribute(model, clt, "w3 w4 w5", targets=["w7", 9], progress=False)
    assert list(graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"]) == ["l/7/3", "l/9/3"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [(["w3 w4"], "2 tokens"), ([50], "out of range"), ([-1], "out of range"), ([7, "w7"], "twice"), ([], "empty")],
)
def test_unusable_targets_are_refused(model: LoadedModel, clt: CLT, targets: list[str | int], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        attribute(model, clt, "w3 w4 w5", targets=targets, progress=False)


@pytest.mark.parametrize("tokens", [[0, 50], [0, -1], [], [[0, 3]], [0] * 70])
def test_unusable_token_ids_are_refused(model: LoadedModel, clt: CLT, tokens: list[int]) -> None:
    with pytest.raises(PromptError):
        attribute(model, clt, torch.tensor(tokens, dtype=torch.long), progress=False)


def test_too_little_memory_is_said_before_the_work(
    model: LoadedModel, clt: CLT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match=r"Attribution of 4 tokens .* needs .* GB of memory"):
        attribute(model, clt, "w3 w4 w5", progress=False)


def test_strongest_paths_equal_an_exhaustive_search(graph: Graph) -> None:
    pruned = graph.prune(0.4, 0.8)
    found = strongest_paths(pruned, k=7)
    end = found["path"].iloc[0][-1]
    shares = {(row.source, row.target): row.share for row in pruned.edges.itertuples()}
    incoming: dict[str, list[str]] = {}
    for source, target in shares:
        incoming.setdefault(target, []).append(source)

    def walk(path: list[str]) -> list[list[str]]:
        here = [path] if path[0].startswith("t/") else []
        return here + list(itertools.chain.from_iterable(walk([s, *path]) for s in incoming.get(path[0], [])))

    products = []
    for path in walk([end]):
        products.append(float(np.prod([shares[pair] for pair in itertools.pairwise(path)])))
    products.sort(key=abs, reverse=True)
    assert np.allclose(found["share"].abs(), np.abs(products[:7]), rtol=1e-5)
    for row in found.itertuples():
        assert row.share == pytest.approx(np.prod([shares[pair] for pair in itertools.pairwise(row.path)]), rel=1e-5)
        assert row.length == len(row.path) - 1


def test_direct_edges_can_be_left_out(graph: Graph) -> None:
    found = strongest_paths(graph.prune(0.4, 0.8), k=7, direct=False)
    assert len(found) > 0
    assert (found["length"] >= 2).all()


def test_a_path_to_an_unknown_node_is_refused(graph: Graph) -> None:
    with pytest.raises(ConfigError, match="t/0"):
        strongest_paths(graph, target="t/0")


def test_a_graph_is_written_as_three_files(graph: Graph, tmp_path: Path) -> None:
    paths = write_graph(graph.prune(), tmp_path / "made")
    assert [path.name for path in paths] == ["graph.json", "nodes.csv", "edges.csv"]
    with paths[1].open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == NODE_COLUMNS
    assert json.loads(paths[0].read_text("utf-8"))["nodes"]


def test_a_full_disk_leaves_nothing_half_written(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.files.os.replace", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_graph(graph.prune(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_twenty_thousand_edges_cost_less_than_two_megabytes(model: LoadedModel) -> None:
    graph = attribute(model, tiny_clt(model, n_features=64), tiny_prompt(length=16), progress=False)
    edges = graph.edges
    assert len(edges) > 20_000
    assert edges.iloc[:20_000].memory_usage(deep=True).sum() < 2e6
