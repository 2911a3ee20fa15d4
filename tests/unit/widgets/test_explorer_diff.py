"""What the explorer's pane of differences is told."""

from __future__ import annotations

import numpy as np
import pytest
from handmade_graphs import graph_of
from helpers import tiny_clt, tiny_model

from workbench.attribution import Graph, attribute
from workbench.attribution.graph import KINDS
from workbench.widgets.explorer_diff import PLACES, drawn_difference


@pytest.fixture(scope="module")
def pair() -> tuple[Graph, Graph]:
    """Two prompts that differ in their third word."""
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=16)
    first, second = (
        attribute(model, clt, prompt, targets=["w7", "w9"], clt_name="tiny", progress=False)
        for prompt in ("w3 w4 w5 w6", "w3 w4 w8 w6")
    )
    return first, second


def test_the_rows_are_those_of_the_difference_by_the_size_of_the_change(pair: tuple[Graph, Graph]) -> None:
    difference = pair[0].difference(pair[1])
    drawn = drawn_difference(difference).nodes
    table = difference.nodes.set_index("node").loc[drawn["node_id"]]
    assert [PLACES[place] for place in drawn["where"]] == table["where"].tolist()
    assert [KINDS[kind] for kind in drawn["kind"]] == table["kind"].tolist()
    for name in ("layer", "feature", "position_a", "position_b"):
        assert np.array_equal(drawn[name], table[name].to_numpy())
    inner = (table["kind"] != "logit").to_numpy()
    for side in "ab":
        assert np.array_equal(
            np.asarray(drawn[f"value_{side}"])[inner], table[f"influence_{side}"].to_numpy()[inner], equal_nan=True
        )
        assert np.array_equal(
            np.asarray(drawn[f"value_{side}"])[~inner], table[f"probability_{side}"].to_numpy()[~inner], equal_nan=True
        )
    change = np.abs(np.nan_to_num(drawn["value_b"]) - np.nan_to_num(drawn["value_a"]))
    assert (np.diff(change) <= 1e-7).all()
    assert (change > 0).all()


def test_the_tokens_of_both_prompts_are_told(pair: tuple[Graph, Graph]) -> None:
    drawn = drawn_difference(pair[0].difference(pair[1]))
    at = list(drawn.nodes["node_id"]).index("t/3")
    assert (drawn.nodes["token_a"][at], drawn.nodes["token_b"][at]) == (pair[0].tokens[3], pair[1].tokens[3])
    assert drawn.info["tokens"] == list(pair[1].tokens)
    assert drawn.info["prompt"] == pair[1].prompt
    assert drawn.info["same_features"] is True


def test_the_counts_are_of_all_nodes_that_count_for_something(pair: tuple[Graph, Graph]) -> None:
    difference = pair[0].difference(pair[1])
    info = drawn_difference(difference, limit=3).info
    table = difference.nodes
    counts = table[["influence_a", "influence_b", "probability_a", "probability_b"]].fillna(0).ne(0).any(axis=1)
    assert info["counts"] == {place: int((table["where"][counts] == place).sum()) for place in PLACES}
    assert len(drawn_difference(difference, limit=3).nodes["node_id"]) == 3


def test_a_graph_does_not_differ_from_itself(pair: tuple[Graph, Graph]) -> None:
    drawn = drawn_difference(pair[0].difference(pair[0]))
    assert drawn.nodes["node_id"] == []
    assert drawn.info["counts"]["a"] == drawn.info["counts"]["b"] == 0


def test_what_a_pruned_graph_does_not_hold_is_unknown() -> None:
    whole = {"active_features": 1, "left_out_features": 0, "clt": "one"}
    first = graph_of({("t/1", "f/0/1/1"): 1.0, ("f/0/1/1", "l/5/1"): 1.0}, probability={"l/5/1": 0.5}, **whole)
    second = graph_of({("t/1", "l/5/1"): 1.0}, probability={"l/5/1": 0.9}, **whole, node_threshold=0.8)
    drawn = drawn_difference(first.difference(second)).nodes
    at = list(drawn["node_id"]).index("f/0/1/1")
    assert PLACES[drawn["where"][at]] == "a"
    assert drawn["value_a"][at] == 0.5
    assert np.isnan(drawn["value_b"][at])
    # An output counts with its probability.
    at = list(drawn["node_id"]).index("l/5/1")
    assert (drawn["value_a"][at], drawn["value_b"][at]) == pytest.approx((0.5, 0.9))
