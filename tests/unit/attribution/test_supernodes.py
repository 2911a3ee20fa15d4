"""Suggested supernodes find what was planted; edges between groups are sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from handmade_graphs import graph_of
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.attribution.supernodes import suggest_supernodes, supernode_edges, supernode_name, with_supernodes
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError

# Three parts that features play: where they stand, what they hear, what they say.
PARTS = {
    "subject": (1, {"t/1": 1.0, "t/2": 0.2}, {"l/3/3": 1.0, "l/4/3": -0.5}),
    "place": (2, {"t/2": 1.0, "e/0/2": 0.3}, {"l/4/3": 1.0}),
    "verb": (3, {"t/3": 1.0, "t/1": -0.4}, {"l/3/3": -1.0, "l/4/3": -1.0}),
}


def planted(*, noise: float = 0.1, copies: int = 4) -> tuple[Graph, dict[str, set[str]]]:
    """Return a graph of features in layers 1 and 2 that play three parts, and a lone feature like none of them."""
    random = np.random.default_rng(0)
    edges: dict[tuple[str, str], float] = {}
    groups: dict[str, set[str]] = {}
    for number, (name, (position, hears, says)) in enumerate(PARTS.items()):
        for copy in range(copies):
            node = f"f/{1 + copy % 2}/{10 * number + copy}/{position}"
            groups.setdefault(name, set()).add(node)
            for source in ("t/1", "t/2", "t/3", "e/0/2"):
                edges[source, node] = hears.get(source, 0.0) + noise * random.normal()
            for target in ("l/3/3", "l/4/3"):
                edges[node, target] = says.get(target, 0.0) + noise * random.normal()
    edges["e/0/3", "f/1/99/3"] = 1.0
    edges["f/1/99/3", "l/3/3"] = 0.4
    return graph_of(edges, probability={"l/3/3": 0.6, "l/4/3": 0.3}), groups


def shuffled(graph: Graph, seed: int) -> Graph:
    """Return the same graph with the features of each layer in another order."""
    random = np.random.default_rng(seed)
    layer = graph.nodes["layer"].to_numpy()[: graph.n_features]
    order = np.lexsort((random.random(len(layer)), layer))
    rows = np.concatenate([order, np.arange(graph.n_features, len(graph.nodes))])
    targets = torch.from_numpy(np.concatenate([order, np.arange(graph.n_features, len(graph.weights))]))
    sources = torch.from_numpy(np.concatenate([order, np.arange(graph.n_features, graph.weights.shape[1])]))
    return replace(
        graph,
        nodes=graph.nodes.iloc[rows].reset_index(drop=True),
        weights=graph.weights[targets][:, sources],
        incoming=graph.incoming[targets],
    )


@pytest.fixture(scope="module")
def real() -> tuple[Graph, CLT]:
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=24)
    return attribute(model, clt, tiny_prompt(length=8), progress=False).prune(), clt


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_planted_parts_are_found(noise: float) -> None:
    graph, groups = planted(noise=noise)
    found = suggest_supernodes(graph)
    assert {frozenset(members) for members in found.values()} == {frozenset(members) for members in groups.values()}


def test_opposite_parts_are_not_one_group() -> None:
    edges = {("t/1", f"f/0/{i}/1"): 1.0 for i in range(4)} | {
        (f"f/0/{i}/1", "l/3/1"): 1.0 if i < 2 else -1.0 for i in range(4)
    }
    found = suggest_supernodes(graph_of(edges, probability={"l/3/1": 1.0}))
    assert sorted(map(sorted, found.values())) == [["f/0/0/1", "f/0/1/1"], ["f/0/2/1", "f/0/3/1"]]


def test_features_far_apart_in_layer_and_position_are_not_compared() -> None:
    nodes = ["f/0/0/1", "f/0/1/2", "f/3/0/2", "f/3/1/3"]
    edges = {("t/0", node): 1.0 for node in nodes} | {(node, "l/3/3"): 1.0 for node in nodes}
    graph = graph_of(edges, probability={"l/3/3": 1.0})
    # 0/1 and 0/2 share a layer, 0/2 and 3/2 a position; 0/1 and 3/3 share nothing, nor do 0/1 and 3/2.
    assert len(suggest_supernodes(graph, similarity=0.9)) == 2
    assert len(suggest_supernodes(graph, similarity=0.2)) == 1


def test_decoders_part_what_edges_do_not(real: tuple[Graph, CLT]) -> None:
    _, clt = real
    edges = {("t/1", f"f/0/{i}/1"): 1.0 for i in range(4)} | {(f"f/0/{i}/1", "l/3/1"): 1.0 for i in range(4)}
    graph = graph_of(edges, probability={"l/3/1": 1.0})
    assert [len(members) for members in suggest_supernodes(graph).values()] == [4]
    W_dec = clt.W_dec[0].clone()
    W_dec[2], W_dec[3] = -W_dec[0], -W_dec[1]
    W_dec[1], W_dec[3] = W_dec[0], W_dec[2]
    pointed = replace(clt, W_dec=(W_dec, *clt.W_dec[1:]))
    found = suggest_supernodes(graph, clt=pointed)
    assert sorted(map(sorted, found.values())) == [["f/0/0/1", "f/0/1/1"], ["f/0/2/1", "f/0/3/1"]]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_graph_gives_the_same_groups_in_whatever_order_its_nodes_stand(
    real: tuple[Graph, CLT], seed: int
) -> None:
    graph, clt = real
    expected = suggest_supernodes(graph, clt=clt)
    assert expected
    assert list(suggest_supernodes(shuffled(graph, seed), clt=clt).items()) == list(expected.items())


def test_most_groups_survive_a_small_change_of_the_weights(real: tuple[Graph, CLT]) -> None:
    graph, _ = real
    noise = 1 + 1e-4 * torch.randn(graph.weights.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before, after = (
        {frozenset(members) for members in suggest_supernodes(one).values()}
        for one in (graph, replace(graph, weights=graph.weights * noise))
    )
    assert len(before & after) >= 0.9 * len(before)


def test_no_more_groups_than_asked_for_and_the_most_influential_first() -> None:
    graph, _ = planted()
    every = suggest_supernodes(graph)
    influence = graph.nodes.set_index("node_id")["influence"]
    total = [influence[members].sum() for members in every.values()]
    assert total == sorted(total, reverse=True)
    assert suggest_supernodes(graph, k=2) == dict(list(every.items())[:2])


def test_every_member_is_a_feature_in_one_group_alone(real: tuple[Graph, CLT]) -> None:
    graph, clt = real
    members = [node for group in suggest_supernodes(graph, clt=clt, similarity=0.1).values() for node in group]
    assert len(members) == len(set(members))
    assert all(node.startswith("f/") for node in members)


def test_a_graph_without_features_has_no_supernodes() -> None:
    assert suggest_supernodes(graph_of({("t/1", "l/3/1"): 1}, probability={"l/3/1": 1.0})) == {}


def members(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "token", "layer", "influence"])


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([("", " Mary", 3, 1.0), ("", " Mary", 3, 2.0)], "layer 3 at ' Mary'"),
        ([("", " Mary", 3, 1.0), ("", " John", 5, 2.0)], "layers 3–5 at ' John', ' Mary'"),
        ([("says 'no'", "a", 3, 1.0), ("→ 'no' \"it's\"", "a", 3, 2.0)], "→ 'no' \"it's\" at 'a'"),
        ([("→ 'x' 'y'", "a", 3, 1.0), ("→ 'z' 'y'", "a", 3, 3.0)], "→ 'y' 'z' … at 'a'"),
        ([("capitals", "a", 3, 1.0), ("capitals", "b", 3, 1.0)], "capitals at 'a', 'b'"),
        ([("", "a", 3, 3.0), ("", "b", 3, 2.0), ("", "c", 3, 1.0)], "layer 3 at 'a', 'b' …"),
    ],
)
def test_groups_are_named_by_what_weighs_most(rows: list[tuple[str, str, int, float]], name: str) -> None:
    assert supernode_name(members(*rows)) == name


def test_no_two_groups_have_the_same_name() -> None:
    graph, groups = planted()
    same = replace(graph, nodes=graph.nodes.assign(label="one", token="same"))
    assert sorted(suggest_supernodes(same)) == ["one at 'same'", "one at 'same' (2)", "one at 'same' (3)"]
    assert len(groups) == 3


def test_groups_go_into_the_supernode_column() -> None:
    graph, groups = planted()
    grouped = with_supernodes(graph, groups)
    column = grouped.nodes.set_index("node_id")["supernode"]
    assert (column[list(groups["verb"])] == "verb").all()
    assert (column == "").sum() == len(column) - 12
    assert (graph.nodes["supernode"] == "").all()
    # Groups replace those of before.
    assert (with_supernodes(grouped, {}).nodes["supernode"] == "").all()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"": ["t/1"]}, "empty name"),
        ({"a": ["t/1"], "b": ["t/1"]}, "'t/1' is in the supernodes 'a' and 'b'"),
        ({"a": ["t/77"]}, "no node 't/77'"),
        ({"a": "t/1"}, "list of node ids"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_supernodes(planted()[0], groups)


def test_edges_between_groups_are_summed_over_what_the_target_receives_from_outside() -> None:
    graph = graph_of(
        {
            ("t/1", "f/0/0/1"): 2.0,
            ("t/1", "f/1/0/1"): 3.0,
            ("e/0/1", "f/1/0/1"): -1.0,
            ("f/0/0/1", "f/1/0/1"): 6.0,
            ("b/0/mlp/0", "f/1/0/1"): 50.0,
            ("f/0/0/1", "l/3/1"): 1.0,
            ("f/1/0/1", "l/3/1"): -0.5,
        },
        probability={"l/3/1": 1.0},
        incoming={"l/3/1": 5.0},
    )
    table = supernode_edges(with_supernodes(graph, {"pair": ["f/0/0/1", "f/1/0/1"]}))
    rows = {(row.source, row.target): (row.weight, row.share, row.edges) for row in table.itertuples()}
    assert rows == {
        ("b/0/mlp/0", "pair"): (50.0, pytest.approx(50 / 6), 1),
        ("t/1", "pair"): (5.0, pytest.approx(5 / 6), 2),
        ("e/0/1", "pair"): (-1.0, pytest.approx(-1 / 6), 1),
        ("pair", "l/3/1"): (0.5, pytest.approx(0.1), 2),
    }
    assert table["share"].abs().is_monotonic_decreasing


def test_without_supernodes_the_edges_are_those_of_the_graph(real: tuple[Graph, CLT]) -> None:
    graph, _ = real
    ours = supernode_edges(graph).astype({"source": str, "target": str}).set_index(["source", "target"])["share"]
    edges = graph.edges.astype({"source": str, "target": str}).set_index(["source", "target"])["share"]
    assert len(ours) == len(edges)
    assert np.allclose(ours[edges.index], edges, rtol=1e-5)


@pytest.mark.parametrize(("k", "similarity"), [(0, 0.5), (None, 1.5)])
def test_options_out_of_range_are_refused(k: int | None, similarity: float) -> None:
    with pytest.raises(ConfigError):
        suggest_supernodes(planted()[0], k=k, similarity=similarity)


def test_another_clt_is_refused(real: tuple[Graph, CLT]) -> None:
    graph, clt = real
    small = replace(clt, config=clt.config.model_copy(update={"n_features": 2}))
    with pytest.raises(CLTError, match="give the CLT that the graph was made with"):
        suggest_supernodes(graph, clt=small)


def test_too_many_features_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.attribution.supernodes.MAX_FEATURES", 5)
    with pytest.raises(ConfigError, match="prune it first"):
        suggest_supernodes(planted()[0])
