"""Two graphs side by side: what is the same, what is in one alone, what has changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from handmade_graphs import graph_of
from helpers import tiny_clt, tiny_model

from workbench.attribution import Graph, attribute
from workbench.attribution.difference import align_tokens, difference
from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.models import LoadedModel


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=16)


def graph(model: LoadedModel, clt: CLT, prompt: str) -> Graph:
    return attribute(model, clt, prompt, targets=["w7", "w9"], clt_name="tiny", progress=False)


@pytest.fixture(scope="module")
def pair(model: LoadedModel, clt: CLT) -> tuple[Graph, Graph]:
    """Two prompts that differ in their third word."""
    return graph(model, clt, "w3 w4 w5 w6"), graph(model, clt, "w3 w4 w8 w6")


def test_a_graph_does_not_differ_from_itself(pair: tuple[Graph, Graph]) -> None:
    change = difference(pair[0], pair[0])
    assert set(change.nodes["where"]) == {"both"}
    assert set(change.edges["where"]) == {"both"}
    assert len(change.nodes) == len(pair[0].nodes)
    assert len(change.edges) == pair[0].n_edges
    assert (change.nodes["influence_change"] == 0).all()
    assert (change.edges["share_change"] == 0).all()
    assert (change.totals["influence_change"] == 0).all()


def test_what_comes_before_the_changed_word_stays(pair: tuple[Graph, Graph]) -> None:
    nodes = difference(*pair).nodes
    before = nodes[(nodes["position_a"] < 3) & (nodes["kind"] == "feature")]
    assert len(before) > 0
    assert (before["where"] == "both").all()
    assert np.allclose(before["activation_a"], before["activation_b"], rtol=1e-5)
    assert set(nodes.loc[nodes["position_a"] == 3, "where"]) >= {"a", "b"}


def test_every_node_and_edge_has_the_values_of_its_own_graph(pair: tuple[Graph, Graph]) -> None:
    change = difference(*pair)
    for side, own in zip("ab", pair, strict=True):
        mine = change.nodes[change.nodes["where"].isin(["both", side])].set_index("node")
        nodes = own.nodes.set_index("node_id")
        assert sorted(mine.index) == sorted(nodes.index)
        for value in ("activation", "influence", "probability"):
            assert np.allclose(mine.loc[nodes.index, f"{value}_{side}"], nodes[value], equal_nan=True)
        edges = change.edges[change.edges["where"].isin(["both", side])].astype({"source": str, "target": str})
        expected = own.edges.astype({"source": str, "target": str}).set_index(["source", "target"])
        mine = edges.set_index(["source", "target"]).loc[expected.index]
        assert len(edges) == len(expected)
        assert np.allclose(mine[f"weight_{side}"], expected["weight"])
        assert np.allclose(mine[f"share_{side}"], expected["share"])
        assert np.allclose(mine[f"influence_{side}"].abs(), expected["influence"])


def test_the_inputs_of_one_node_are_its_edges(pair: tuple[Graph, Graph]) -> None:
    change = difference(*pair)
    edges = change.edges[change.edges["target"] == "l/7/4"].astype({"source": str}).set_index("source")
    inputs = change.inputs("l/7/4").astype({"source": str}).set_index("source")
    assert inputs["weight_change"].is_monotonic_increasing
    pd.testing.assert_frame_equal(inputs.sort_index(), edges.sort_index())
    with pytest.raises(ConfigError, match="Neither graph has edges into a node 't/1'"):
        change.inputs("t/1")


def test_a_feature_that_a_whole_graph_lacks_is_inactive_there(pair: tuple[Graph, Graph]) -> None:
    nodes = difference(*pair).nodes
    gone = nodes[(nodes["where"] == "a") & (nodes["kind"] == "feature")]
    assert len(gone) > 0
    assert (gone["activation_b"] == 0).all()
    assert np.allclose(gone["activation_change"], -gone["activation_a"])
    assert np.allclose(gone["influence_change"], -gone["influence_a"])


def test_what_a_pruned_graph_lacks_is_unknown_there(pair: tuple[Graph, Graph]) -> None:
    change = difference(pair[0].prune(0.5, 0.8), pair[1].prune(0.5, 0.8))
    gone = change.nodes[(change.nodes["where"] == "a") & (change.nodes["kind"] == "feature")]
    assert len(gone) > 0
    assert gone["activation_b"].isna().all()
    assert gone["influence_change"].isna().all()
    assert change.edges.loc[change.edges["where"] == "b", "weight_a"].isna().all()


def test_the_largest_changes_come_first(pair: tuple[Graph, Graph]) -> None:
    change = difference(*pair)
    assert change.edges["influence_change"].abs().is_monotonic_decreasing
    size = change.nodes["influence_b"].fillna(0) - change.nodes["influence_a"].fillna(0)
    assert size.abs().is_monotonic_decreasing
    assert change.totals["influence_change"].abs().is_monotonic_decreasing


def test_prompts_of_different_lengths_are_aligned_by_their_tokens(model: LoadedModel, clt: CLT) -> None:
    short, long = graph(model, clt, "w3 w4 w6"), graph(model, clt, "w3 w4 w8 w9 w6")
    change = difference(short, long)
    assert change.alignment == {0: 0, 1: 1, 2: 2, 3: 5}
    nodes = change.nodes.set_index("node")
    assert nodes.loc["t/3", ["where", "position_a", "position_b", "token_b"]].tolist() == ["both", 3, 5, "w6"]
    assert nodes.loc["b:t/4", ["where", "position_a", "position_b"]].tolist() == ["b", -1, 4]
    # The next token's logits stand at positions 3 and 5.
    assert nodes.loc["l/7/3", "where"] == "both"
    # Where there is no such position, nothing is known, not even that a feature is inactive.
    alone = change.nodes[(change.nodes["position_a"] == -1) & (change.nodes["kind"] == "feature")]
    assert alone["activation_a"].isna().all()


def test_an_alignment_can_be_given(pair: tuple[Graph, Graph]) -> None:
    change = difference(*pair, alignment={0: 0, 1: 2, 4: 4})
    nodes = change.nodes.set_index("node")
    assert nodes.loc["t/1", ["where", "token_a", "token_b"]].tolist() == ["both", "w3", "w4"]
    assert nodes.loc["t/2", "where"] == "a"
    assert nodes.loc["b:t/1", "where"] == "b"


@pytest.mark.parametrize("alignment", [{0: 0, 1: 0}, {9: 1}, {0: -1}])
def test_an_impossible_alignment_is_refused(pair: tuple[Graph, Graph], alignment: dict[int, int]) -> None:
    with pytest.raises(ConfigError, match="name each position once"):
        difference(*pair, alignment=alignment)


def test_features_of_two_clts_are_compared_by_their_totals_alone(model: LoadedModel, clt: CLT) -> None:
    one = graph(model, clt, "w3 w4 w5")
    other = attribute(
        model, tiny_clt(model, n_features=20, seed=5), "w3 w4 w5", targets=["w7", "w9"], clt_name="x", progress=False
    )
    change = difference(one, other)
    assert not change.same_features
    assert "feature" not in set(change.nodes["kind"])
    assert not change.edges["source"].astype(str).str.startswith("f/").any()
    # What does not depend on the CLT is the same: tokens and the model's own probabilities.
    nodes = change.nodes.set_index("node")
    assert nodes.loc["l/7/3", "probability_change"] == pytest.approx(0)
    totals = change.totals[change.totals["kind"] == "feature"]
    assert totals["count_a"].sum() == one.n_features
    assert totals["count_b"].sum() == other.n_features
    influence = other.nodes.loc[other.nodes["kind"] == "feature", "influence"].sum()
    assert totals["influence_b"].sum() == pytest.approx(influence, rel=1e-5)
    assert difference(one, other, same_features=True).nodes["kind"].eq("feature").any()


def test_totals_add_up_layer_and_position() -> None:
    a = graph_of(
        {("t/1", "f/0/0/1"): 1, ("t/1", "f/0/1/1"): 1, ("f/0/0/1", "l/3/1"): 3, ("f/0/1/1", "l/3/1"): 1},
        probability={"l/3/1": 0.5},
        activation={"f/0/0/1": 2.0, "f/0/1/1": 5.0},
    )
    b = graph_of({("e/0/1", "l/3/1"): 1}, probability={"l/3/1": 0.5})
    table = difference(a, b).totals.set_index("kind")
    assert table.loc["feature", ["count_a", "activation_a", "influence_a", "influence_change"]].tolist() == [
        2, 7.0, 0.5, -0.5,
    ]  # fmt: skip
    assert table.loc["error", ["count_b", "influence_b"]].tolist() == [1, 0.5]


def test_the_summary_counts_by_kind(pair: tuple[Graph, Graph]) -> None:
    change = difference(*pair)
    summary = change.summary().set_index(["kind", "where"])
    n_both = int((change.nodes["where"].eq("both") & change.nodes["kind"].eq("feature")).sum())
    assert summary.loc[("feature", "both"), "count"] == n_both
    assert summary["count"].sum() == len(change.nodes)


def test_graphs_of_different_depth_are_refused(pair: tuple[Graph, Graph]) -> None:
    deeper = graph_of({("t/1", "l/3/1"): 1}, probability={"l/3/1": 1.0}, n_layers=9)
    with pytest.raises(ConfigError, match="3 and 9 layers"):
        difference(pair[0], deeper)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("s the cat", "s the cat", {0: 0, 1: 1, 2: 2}),
        ("s the cat sat", "s a the dog", {0: 0, 1: 2, 3: 3}),
        ("s x", "s x y", {0: 0, 1: 1}),
        ("s x", "s y", {0: 0, 1: 1}),
    ],
)
def test_tokens_are_aligned_in_their_order(a: str, b: str, expected: dict[int, int]) -> None:
    assert align_tokens(a.split(), b.split()) == expected


def test_tables_name_labels_of_either_graph() -> None:
    edges = {("t/1", "f/0/0/1"): 1.0, ("f/0/0/1", "l/3/1"): 1.0}
    plain = graph_of(edges, probability={"l/3/1": 1.0})
    labelled = plain.with_labels({"f/0/0/1": "one"})
    for a, b in ((plain, labelled), (labelled, plain)):
        table = difference(a, b).nodes.set_index("node")
        assert isinstance(table, pd.DataFrame)
        assert table.loc["f/0/0/1", "label"] == "one"
