"""The strongest paths against an exhaustive search, and path lengths against closed forms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from handmade_graphs import graph_of
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.paths import average_path_length, path_lengths, strongest_paths
from workbench.errors import ConfigError

Walk = tuple[tuple[str, ...], float]


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    whole = attribute(model, tiny_clt(model, n_features=16, window=1), tiny_prompt(length=6), progress=False)
    return whole.prune(0.8, 0.9)


@pytest.fixture(scope="module")
def every_path(graph: Graph) -> list[Walk]:
    """All paths of at least one edge, the best first: node ids and the product of the shares."""
    shares = {(row.source, row.target): row.share for row in graph.edges.itertuples()}
    into: dict[str, list[str]] = {}
    for source, target in shares:
        into.setdefault(target, []).append(source)

    def up_to(path: tuple[str, ...], product: float) -> list[Walk]:
        found = [(path, product)] if len(path) > 1 else []
        for source in into.get(path[0], []):
            found += up_to((source, *path), product * float(shares[source, path[0]]))
        return found

    return sorted(
        itertools.chain.from_iterable(up_to((target,), 1.0) for target in into), key=lambda walk: -abs(walk[1])
    )


def features(graph: Graph, layer: int) -> list[str]:
    nodes = graph.nodes
    return nodes.loc[(nodes["kind"] == "feature") & (nodes["layer"] == layer), "node_id"].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 400},
        {"sign": "+"},
        {"sign": "-", "k": 40},
        {"min_length": 3},
        {"max_length": 1},
        {"min_length": 2, "max_length": 3, "sign": "-", "k": 60},
        {"direct": False},
        {"kinds": ("error", "bias"), "k": 50},
        {"kinds": ("feature",), "k": 50, "sign": "-"},
    ],
    ids=str,
)
def test_the_k_best_paths_are_those_of_an_exhaustive_search(
    graph: Graph, every_path: list[Walk], options: dict[str, Any]
) -> None:
    end = graph.nodes["node_id"].iloc[graph.target_index[graph.n_features + int(graph.probability.argmax())]]
    kinds = options.get("kinds", ("token",))
    shortest = max(options.get("min_length", 1), 1 if options.get("direct", True) else 2)
    allowed = [
        (path, product)
        for path, product in every_path
        if path[-1] == end
        and graph.nodes["kind"].iloc[graph.row_of_node[path[0]]] in kinds
        and shortest <= len(path) - 1 <= options.get("max_length", 99)
        and {"+": product > 0, "-": product < 0}.get(options.get("sign", ""), True)
    ]
    assert allowed
    found = strongest_paths(graph, **options)
    expected = allowed[: options.get("k", 5)]
    assert np.allclose(found["share"].abs(), [abs(product) for _, product in expected], rtol=1e-5)
    by_path = dict(allowed)
    for row in found.itertuples():
        assert row.share == pytest.approx(by_path[tuple(row.path)], rel=1e-5)
        assert row.length == len(row.path) - 1
    assert len({tuple(path) for path in found["path"]}) == len(found)


def test_paths_lead_from_any_set_of_nodes_to_any_other(graph: Graph, every_path: list[Walk]) -> None:
    starts = [*features(graph, 0), "t/1"]
    ends = [*features(graph, 2), *graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"]]
    found = strongest_paths(graph, source=starts, target=ends, k=30)
    expected = [product for path, product in every_path if path[0] in starts and path[-1] in ends][:30]
    assert np.allclose(found["share"].abs(), np.abs(expected), rtol=1e-5)
    # A path that passes through one end on its way to another is a path of its own.
    assert any(set(path[:-1]) & set(ends) for path in found["path"])


def test_a_set_of_ids_may_be_a_column_of_the_table(graph: Graph) -> None:
    tokens = graph.nodes.loc[graph.nodes["kind"] == "token", "node_id"]
    assert strongest_paths(graph, source=tokens).equals(strongest_paths(graph))


def test_equally_strong_paths_come_in_the_same_order_whatever_order_the_sources_are_given_in() -> None:
    edges = {(f"t/{at}", "l/3/4"): 1.0 for at in range(5)}
    graph = graph_of(edges, probability={"l/3/4": 1.0})
    forth = strongest_paths(graph, source=[f"t/{at}" for at in range(5)], k=3)
    back = strongest_paths(graph, source=[f"t/{at}" for at in reversed(range(5))], k=3)
    assert forth.equals(back)


def test_there_may_be_fewer_paths_than_were_asked_for() -> None:
    graph = graph_of({("t/1", "f/0/0/1"): 1, ("f/0/0/1", "l/3/1"): -1}, probability={"l/3/1": 1.0})
    found = strongest_paths(graph, k=9)
    assert found["path"].tolist() == [["t/1", "f/0/0/1", "l/3/1"]]
    assert found["share"].tolist() == [-1.0]
    assert strongest_paths(graph, sign="+").empty
    assert strongest_paths(graph, source="l/3/1").empty


def test_a_graph_without_edges_has_no_paths() -> None:
    graph = graph_of({}, probability={"l/3/1": 1.0}, isolated=("t/1", "f/0/0/1"))
    assert strongest_paths(graph).empty
    assert np.isnan(average_path_length(graph))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "t/1"}, "'t/1' is no feature or logit"),
        ({"target": "f/9/9/9"}, "no node 'f/9/9/9'"),
        ({"source": ["t/1", "t/99"]}, "no node 't/99'"),
        ({"k": 0}, "at least 1"),
        ({"min_length": 4, "max_length": 2}, "raise max_length"),
        ({"sign": "positive"}, "'\\+', '-' or None"),
        ({"kinds": ("tokens",)}, "'tokens' is unknown"),
    ],
)
def test_what_cannot_be_searched_is_said(graph: Graph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        strongest_paths(graph, **options)


# --- path lengths -----------------------------------------------------------------------------------------------------


def test_the_average_path_length_of_a_hand_made_graph_has_a_closed_form() -> None:
    """Of the logit's input a quarter is the token, three quarters a feature, of which a third is error."""
    graph = graph_of(
        {
            ("t/1", "l/3/1"): 1,
            ("f/1/0/1", "l/3/1"): -3,
            ("f/0/0/1", "f/1/0/1"): 2,
            ("e/0/1", "f/1/0/1"): -1,
            ("t/1", "f/0/0/1"): 5,
        },
        probability={"l/3/1": 0.4},
    )
    table = path_lengths(graph)
    assert table["length"].tolist() == [1, 2, 3]
    assert np.allclose(table["influence"], [0.4 * 0.25, 0, 0.4 * 0.75 * 2 / 3])
    assert np.allclose(table["cumulative"], [1 / 3, 1 / 3, 1])
    assert average_path_length(graph) == pytest.approx((1 * 0.25 + 3 * 0.5) / 0.75)


def test_logits_count_by_their_probability() -> None:
    edges = {("t/1", "l/3/1"): 1.0, ("f/0/0/1", "l/4/1"): 1.0, ("t/1", "f/0/0/1"): 1.0}
    graph = graph_of(edges, probability={"l/3/1": 0.6, "l/4/1": 0.2})
    assert average_path_length(graph) == pytest.approx((1 * 0.6 + 2 * 0.2) / 0.8)


def test_a_chain_through_every_layer_is_as_long_as_it_is() -> None:
    chain = ["t/1", *(f"f/{layer}/0/1" for layer in range(7)), "l/3/1"]
    graph = graph_of(dict.fromkeys(itertools.pairwise(chain), 2.0), probability={"l/3/1": 1.0})
    assert average_path_length(graph) == pytest.approx(8)


def test_path_lengths_are_the_powers_of_the_normalised_adjacency() -> None:
    model = tiny_model("gemma3")
    graph = attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=7), progress=False)
    kinds = graph.nodes["kind"].to_numpy()
    matrix = torch.zeros(len(kinds), len(kinds), dtype=torch.float64)
    matrix[torch.from_numpy(graph.target_index)[:, None], torch.from_numpy(graph.source_index)] = graph.weights.abs()
    matrix[:, torch.from_numpy(kinds == "bias")] = 0
    matrix /= matrix.sum(dim=1, keepdim=True).clamp_min(1e-10)
    row = torch.zeros(len(kinds), dtype=torch.float64)
    row[torch.from_numpy(kinds == "logit")] = graph.probability
    is_token = torch.from_numpy(kinds == "token")
    expected = []
    for _ in range(4):
        row = row @ matrix
        expected.append(float(row[is_token].sum()))
    found = path_lengths(graph)["influence"]
    assert np.allclose(found, expected[: len(found)], rtol=1e-6)
    # All lengths together are the tokens' influence.
    assert found.sum() == pytest.approx(graph.nodes.loc[graph.nodes["kind"] == "token", "influence"].sum(), rel=1e-5)
