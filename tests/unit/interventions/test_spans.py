"""Edits of several positions, of several features, and their order."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.errors import InterventionError
from workbench.interventions import CleanRun, Edit, Ramp, Span, SupernodeEdit

BOTH: list[Architecture] = ["llama", "gemma3"]


@cache
def clean_run(architecture: Architecture = "llama") -> CleanRun:
    """Nine tokens, three layers of twelve features with window 2."""
    model = tiny_model(architecture)
    return CleanRun.of(model, tiny_clt(model, window=2), tiny_tokens(length=9))


@cache
def a_graph() -> Graph:
    clean = clean_run()
    return attribute(clean.model, clean.clt, clean.tokens, progress=False)


def feature_active_at_several_positions(clean: CleanRun) -> tuple[int, list[int], list[int]]:
    """Return a feature of layer 0, the positions where it is active, and those where it is not."""
    active = clean.activations(0) != 0
    feature = int((active.sum(0) * (active.sum(0) < 8)).argmax())
    at = active[:, feature].nonzero().flatten().tolist()
    assert len(at) > 1
    return feature, at, [position for position in range(1, 9) if position not in at]


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("mode", ["direct", "propagated"])
def test_a_feature_everywhere_is_one_edit_at_each_position_where_it_is_active(
    architecture: Architecture, mode: Any
) -> None:
    clean = clean_run(architecture)
    feature, active, _ = feature_active_at_several_positions(clean)

    everywhere = clean.intervene([Edit.everywhere(0, feature, factor=-2)], mode=mode)
    one_by_one = clean.intervene([Edit(0, feature, position, factor=-2) for position in active], mode=mode)

    torch.testing.assert_close(everywhere.logits.after, one_by_one.logits.after, atol=1e-12, rtol=0)
    assert sorted(everywhere.edited["position"]) == active
    assert everywhere.kl > 0


@pytest.mark.parametrize(
    ("position", "positions"),
    [
        (slice(3, 6), [3, 4, 5]),
        (slice(6, None), [6, 7, 8]),
        (slice(-2, None), [7, 8]),
        (slice(None, 3), [1, 2]),
        (slice(0, -6), [1, 2]),
        (slice(7, 40), [7, 8]),
        (Span(2, 3), [2]),
        (slice(None), list(range(1, 9))),
    ],
)
def test_a_slice_means_what_it_means_for_a_list_but_for_the_start_token(position: Any, positions: list[int]) -> None:
    clean = clean_run()
    by_slice = clean.intervene([Edit(0, 2, position, add=3)])
    by_position = clean.intervene([Edit(0, 2, at, add=3) for at in positions])
    assert sorted(by_slice.edited["position"]) == positions
    torch.testing.assert_close(by_slice.logits.after, by_position.logits.after, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (slice(5, 5), "feature 0/1 at positions 5:5 is at no position: the prompt has positions 1 to 8"),
        (slice(9, None), "feature 0/1 at positions 9 and later is at no position"),
        (slice(0, 1), "is at no position"),
        (slice(1, 8, 2), "give a slice without a step"),
        (slice(1.5, None), "The position of an edit is 1.5: give a whole number"),
        ("all", "The position of an edit is 'all': give a whole number"),
    ],
)
def test_positions_that_are_none_are_refused(position: Any, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        clean_run().intervene([Edit(0, 1, position, add=1)])


def test_a_factor_on_a_slice_where_the_feature_is_nowhere_active_is_refused() -> None:
    clean = clean_run()
    feature, _, inactive = feature_active_at_several_positions(clean)
    start = inactive[0]
    with pytest.raises(InterventionError, match=f"positions {start}:{start + 1} is inactive, so that factor=0"):
        clean.intervene([Edit(0, feature, slice(start, start + 1), factor=0)])


def test_of_two_edits_of_one_feature_and_position_the_later_one_counts() -> None:
    clean = clean_run()
    feature, active, _ = feature_active_at_several_positions(clean)

    result = clean.intervene([Edit.everywhere(0, feature, factor=0), Edit(0, feature, active[0], value=8)])
    others = [Edit(0, feature, position, factor=0) for position in active[1:]]
    expected = clean.intervene([*others, Edit(0, feature, active[0], value=8)])

    torch.testing.assert_close(result.logits.after, expected.logits.after, atol=1e-12, rtol=0)
    assert result.edited.set_index("position")["after"].to_dict() == {active[0]: 8, **dict.fromkeys(active[1:], 0)}


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(0, 1, 5, value=8), Edit.everywhere(0, 1, value=0)],
        [Edit(0, 1, slice(2, 6), value=8), Edit(0, 1, slice(1, 4), value=0), Edit(0, 1, slice(4, 6), value=1)],
        [Edit.everywhere(0, 1, add=1), Edit(0, 1, slice(1, None), add=2)],
    ],
)
def test_an_edit_of_which_later_ones_leave_nothing_contradicts_them(edits: list[Edit]) -> None:
    with pytest.raises(InterventionError, match=r"Two edits contradict each other: .* let the exception follow"):
        clean_run().intervene(edits)


def test_the_features_of_a_supernode_are_edited_as_one() -> None:
    clean, graph = clean_run(), a_graph()
    ids = list(graph.nodes["node_id"][:3])
    grouped = graph.with_supernodes({"three": ids})

    result = clean.intervene([SupernodeEdit.of(grouped, "three", factor=-1)])
    expected = clean.intervene([Edit.node(node_id, factor=-1) for node_id in ids])

    assert torch.equal(result.logits.after, expected.logits.after)
    assert set(result.edited["node_id"]) == set(ids)


def test_a_supernode_may_be_edited_at_other_positions_than_its_nodes() -> None:
    edit = SupernodeEdit.nodes(["f/0/3/4", "f/0/3/5", "f/1/2/4"], position=slice(6, None), value=2)
    assert edit.edits == (Edit(0, 3, Span(6), value=2), Edit(1, 2, Span(6), value=2))
    assert len(clean_run().intervene([edit]).edited) == 6


def test_a_supernode_that_cannot_be_edited_is_refused() -> None:
    clean, graph = clean_run(), a_graph()
    grouped = graph.with_supernodes({"mixed": [graph.nodes["node_id"].iloc[0], "e/1/4"]})
    with pytest.raises(InterventionError, match=r"'e/1/4' is an error node: .* It stands in the supernode 'mixed'"):
        SupernodeEdit.of(grouped, "mixed", factor=0)
    with pytest.raises(InterventionError, match="no supernode 'other': it has 'mixed'"):
        SupernodeEdit.of(grouped, "other", factor=0)
    with pytest.raises(InterventionError, match=r"no supernode 'Texas': make some with graph.with_supernodes"):
        SupernodeEdit.of(graph, "Texas", factor=0)
    with pytest.raises(InterventionError, match="has no nodes: give at least one"):
        SupernodeEdit.nodes([], factor=0)
    with pytest.raises(InterventionError, match="single text 'f/0/3/4': give a list"):
        SupernodeEdit.nodes("f/0/3/4", factor=0)
    with pytest.raises(InterventionError, match="a single SupernodeEdit: give a list"):
        clean.intervene(SupernodeEdit.nodes(["f/0/3/4"], value=1))  # type: ignore[arg-type]
    with pytest.raises(InterventionError, match=r"The edits hold 'f/0/3/4': give Edit\(…\)"):
        clean.intervene(["f/0/3/4"])  # type: ignore[list-item]


def test_a_supernode_of_the_graph_of_another_prompt_is_refused() -> None:
    clean, graph = clean_run(), a_graph()
    grouped = graph.with_supernodes({"one": [graph.nodes["node_id"].iloc[0]]})
    other = CleanRun.of(clean.model, clean.clt, tiny_tokens(length=9, seed=1))
    with pytest.raises(InterventionError, match="supernode 'one' was taken from the graph of another prompt"):
        other.intervene([SupernodeEdit.of(grouped, "one", value=1)])
    # With positions of its own it depends on no prompt.
    assert other.intervene([SupernodeEdit.of(grouped, "one", position=-1, value=1)]).edits


def test_an_edit_of_several_positions_has_no_node_id() -> None:
    with pytest.raises(InterventionError, match="feature 1/2 at every position is of several nodes"):
        _ = Edit.everywhere(1, 2, factor=0).node_id
    assert len({Edit.everywhere(1, 2, factor=0), Edit(1, 2, slice(None), factor=0)}) == 1


@pytest.mark.parametrize(
    ("ramp", "message"),
    [
        (0, "ramp of feature 0/1 at position 5 has 0 steps: give at least 1"),
        ("slow", "is 'slow': give a Ramp or a whole number of steps"),
        (Ramp(3, 0.0, float("nan")), "ramp of feature 0/1 at position 5 is nan: give a finite number"),
    ],
)
def test_what_is_no_ramp_is_refused(ramp: Any, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        Edit(0, 1, 5, add=1, ramp=ramp)


def test_a_ramp_without_a_generation_is_refused() -> None:
    with pytest.raises(InterventionError, match="has a ramp, which runs over the steps of a generation"):
        clean_run().intervene([Edit(0, 1, 5, add=1, ramp=Ramp(3))])


def test_a_ramp_is_linear_from_the_prompt_on() -> None:
    assert [Ramp(4).at(step) for step in (0, 1, 2, 4, 9)] == [0, 0.25, 0.5, 1, 1]
    assert [Ramp(2, 1.0, 0.0).at(step) for step in (0, 1, 2, 3)] == [1, 0.5, 0, 0]
    assert Edit(0, 1, 5, add=1, ramp=4).ramp == Ramp(4)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", BOTH)
def test_attention_may_be_held_in_any_mode(architecture: Architecture) -> None:
    clean = clean_run(architecture)
    patterns: list[torch.Tensor] = []
    names = [(f"blocks.{layer}.attn.hook_pattern", lambda p, hook: patterns.append(p.clone())) for layer in range(3)]
    edits = [Edit(0, 2, 3, add=9)]
    with clean.model.bridge.hooks(fwd_hooks=names):
        clean.model.bridge(clean.tokens[None])
    clean_patterns = dict(enumerate(patterns))
    hold = {f"blocks.{at}.attn.hook_pattern": clean_patterns[at] for at in range(3)}
    rows = {layer: 9 * clean.clt.W_dec[0][2, layer] for layer in (0, 1)}

    def add(row: torch.Tensor) -> Any:
        def hook(y: torch.Tensor, hook: Any) -> torch.Tensor:
            y = y.clone()
            y[0, 3] += row
            return y

        return hook

    hooks = [(name, lambda p, hook, value=value: value) for name, value in hold.items()]
    hooks += [(f"blocks.{layer}.hook_mlp_out", add(row)) for layer, row in rows.items()]
    with clean.model.bridge.hooks(fwd_hooks=hooks):
        expected = clean.model.bridge(clean.tokens[None])[0, -1]

    held = clean.intervene(edits, freeze_attention=True)
    free = clean.intervene(edits)

    torch.testing.assert_close(held.logits.after, expected, atol=1e-10, rtol=1e-10)
    assert not torch.allclose(held.logits.after, free.logits.after, atol=1e-4)
    direct = [clean.intervene(edits, mode="direct", freeze_attention=frozen).logits.after for frozen in (True, False)]
    assert torch.equal(*direct)
