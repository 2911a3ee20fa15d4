from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt, tiny_tokens
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import CLTError, InterventionError, PromptError, WorkbenchError
from workbench.interventions import AnyEdit, CleanRun, Edit, intervene
from workbench.interventions.plan import Change, Plan, written


@cache
def clean_run() -> CleanRun:
    """Nine tokens, three layers of twelve features with window 2."""
    model = tiny_model("llama")
    return CleanRun.of(model, tiny_clt(model, window=2), tiny_tokens(length=9))


def a_feature(*, active: bool) -> tuple[int, int, int]:
    clean = clean_run()
    return next(
        (layer, feature, position)
        for layer in range(3)
        for feature in range(12)
        for position in range(1, 9)
        if bool(clean.activation(layer, feature, position)) == active
    )


@given(st.integers(0, 99), st.integers(0, 9999), st.integers(0, 999), st.floats(-10, 10))
def test_a_node_id_and_its_edit_are_the_same(layer: int, feature: int, position: int, factor: float) -> None:
    edit = Edit(layer, feature, position, factor=factor)
    assert Edit.node(edit.node_id, factor=factor) == edit


def test_an_edit_takes_the_numbers_of_a_table() -> None:
    edit = Edit(np.int32(1), np.int64(2), torch.tensor(-1), value=np.float32(0.5))  # type: ignore[arg-type]
    assert edit == Edit(1, 2, -1, value=0.5)
    assert [type(number) for number in (edit.layer, edit.feature, edit.position, edit.value)] == [int, int, int, float]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "feature 1/2 at position 3 gives none of factor, value and add: give exactly one"),
        ({"factor": 0, "add": 1}, "gives factor and add of factor, value and add: give exactly one"),
        ({"value": float("nan")}, "The value of feature 1/2 at position 3 is nan: give a finite number"),
        ({"add": float("inf")}, "The add of feature 1/2 at position 3 is inf: give a finite number"),
        ({"factor": "much"}, "The factor of feature 1/2 at position 3 is 'much': give a number"),
        ({"factor": 1, "layer": -1}, "The layer of an edit is -1: count it from 0"),
        ({"factor": 1, "feature": -5}, "The feature of an edit is -5: count it from 0"),
        ({"factor": 1, "position": 1.5}, "The position of an edit is 1.5: give a whole number"),
    ],
)
def test_what_is_no_edit_is_refused_when_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        Edit(**({"layer": 1, "feature": 2, "position": 3} | fields))


@pytest.mark.parametrize(
    ("node_id", "message"),
    [
        ("e/3/5", "'e/3/5' is an error node: only feature nodes"),
        ("t/5", "is a token node: only feature nodes"),
        ("b/0/mlp/0", "is a bias node: only feature nodes"),
        ("l/17/8", "is a logit node: only feature nodes"),
        ("f/1/2", "'f/1/2' is no id of a feature node: give f/layer/feature/position"),
        ("f/1/2/-1", "is no id of a feature node"),
        ("f/1/2/²", "is no id of a feature node"),
        ("12_311_5", "is no id of a feature node"),
    ],
)
def test_only_ids_of_feature_nodes_make_an_edit(node_id: str, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        Edit.node(node_id, factor=0)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit(3, 0, 1, value=1), "feature 3/0 at position 1 is out of range: 'tiny-llama' has layers 0 to 2"),
        (
            Edit(0, 12, 1, value=1),
            "feature 0/12 at position 1 is out of range: a layer of this CLT has features 0 to 11",
        ),
        (Edit(0, 1, 9, value=1), "position 9 is out of range: the prompt has positions 1 to 8 after its start token"),
        (Edit(0, 1, -10, value=1), "position -10 is out of range"),
        (Edit(0, 1, 0, value=1), "position 0 is at the start token, which has no features: choose a later position"),
        (Edit(0, 1, -9, value=1), "position -9 is at the start token"),
    ],
)
def test_an_edit_of_a_feature_that_is_not_there_is_refused(edit: Edit, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        clean_run().intervene([edit])


def test_a_factor_on_an_inactive_feature_is_refused() -> None:
    layer, feature, position = a_feature(active=False)
    where = f"feature {layer}/{feature} at position {position} is inactive"

    with pytest.raises(InterventionError, match=f"{where}, so that factor=-2 changes nothing: give value or add"):
        clean_run().intervene([Edit(layer, feature, position, factor=-2)])


def test_two_edits_of_one_feature_at_one_position_contradict_each_other() -> None:
    with pytest.raises(
        InterventionError,
        match=r"contradict each other: feature 0/1 at position 8 \(value 1\) and feature 0/1 at position 8 \(add 2\)",
    ):
        clean_run().intervene([Edit(0, 1, 8, value=1), Edit(0, 1, -1, add=2)])


def test_a_single_edit_must_stand_in_a_list() -> None:
    with pytest.raises(InterventionError, match="a single Edit: give a list"):
        clean_run().intervene(Edit(0, 1, 1, value=1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "frozen"}, "no mode 'frozen': choose one of 'direct', 'constrained', 'propagated'"),
        ({"mode": "constrained"}, "'constrained' needs until, .* give one of the layers 0 to 2"),
        ({"mode": "constrained", "until": 3}, "until=3 is out of range: 'tiny-llama' has layers 0 to 2"),
        ({"mode": "constrained", "until": -1}, "until=-1 is out of range"),
        ({"mode": "constrained", "until": 0}, "feature 1/1 at position 1 writes nothing up to layer 0: give until=1"),
        ({"mode": "direct", "until": 1}, "until=1 belongs to the mode 'constrained', not 'direct'"),
        ({"until": 1}, "until=1 belongs to the mode 'constrained', not 'propagated'"),
        ({"k": 0}, "k is 0: give at least 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        clean_run().intervene([Edit(1, 1, 1, value=1)], **options)


def test_the_clean_run_of_another_prompt_or_clt_is_refused() -> None:
    clean = clean_run()
    with pytest.raises(InterventionError, match=r"clean run given is of another prompt, model or CLT .*'tiny-llama'"):
        intervene(clean.model, clean.clt, tiny_prompt(seed=1), [], clean=clean)
    with pytest.raises(InterventionError, match="another prompt, model or CLT"):
        intervene(clean.model, tiny_clt(clean.model, window=3), tiny_tokens(), [], clean=clean)


def test_bad_prompts_and_foreign_transcoders_are_refused() -> None:
    model = tiny_model("llama")
    with pytest.raises(PromptError, match="The prompt is empty"):
        intervene(model, tiny_clt(model), "", [])
    with pytest.raises(CLTError, match="choose the CLT of this model"):
        intervene(model, tiny_clt(tiny_model("llama", seed=1)), tiny_prompt(), [])
    assert issubclass(InterventionError, WorkbenchError)


def changes_of(edits: list[AnyEdit], clean: CleanRun | None = None) -> list[Change]:
    clean = clean or clean_run()
    plan = Plan.of(edits, clean.clt, model_name="tiny", token_ids=clean.tokens.tolist())
    return [change for layer in sorted(plan.by_layer) for change in plan.changes(layer, clean.activations(layer))]


def deltas_of(edits: list[AnyEdit], *, until: int | None = None) -> dict[int, torch.Tensor]:
    return written(changes_of(edits), clean_run().clt, like=clean_run().final, until=until)


@given(st.floats(-10, 10), st.integers(-8, -1))
def test_edits_say_what_the_activation_becomes(amount: float, position: int) -> None:
    clean = clean_run()
    layer, feature, _ = a_feature(active=True)
    before, at = clean.activation(layer, feature, position), position + 9

    (by_value,) = changes_of([Edit(layer, feature, position, value=amount)])
    (by_add,) = changes_of([Edit(layer, feature, position, add=amount)])

    assert (float(by_value.before[at]), float(by_value.after[at])) == (before, amount)
    assert (float(by_add.before[at]), float(by_add.after[at])) == (before, before + amount)
    if before:
        (by_factor,) = changes_of([Edit(layer, feature, position, factor=amount)])
        assert float(by_factor.after[at]) == amount * before
    for change in (by_value, by_add):
        assert set((change.after - change.before).nonzero().flatten().tolist()) <= {at}


@pytest.mark.parametrize(("layer", "layers"), [(0, [0, 1]), (1, [1, 2]), (2, [2])])
def test_a_feature_writes_within_its_window_and_below_the_top(layer: int, layers: list[int]) -> None:
    deltas = deltas_of([Edit(layer, 4, 3, add=2)])

    assert list(deltas) == layers
    for offset, target in enumerate(layers):
        torch.testing.assert_close(deltas[target][3], 2 * clean_run().clt.W_dec[layer][4, offset])
        assert deltas[target].count_nonzero() == deltas[target][3].count_nonzero()


def test_nothing_is_written_above_until() -> None:
    edits: list[AnyEdit] = [Edit(0, 4, 3, add=2), Edit(1, 5, 3, add=2)]
    assert [list(deltas_of(edits, until=until)) for until in (0, 1, 2)] == [[0], [0, 1], [0, 1, 2]]


def test_the_start_token_has_no_features() -> None:
    clean = clean_run()
    at_start = clean.clt.encode(0, clean.reads[0])[0]
    assert at_start.count_nonzero() > 0
    assert all(clean.activation(0, feature, 0) == 0 for feature in range(12))


def test_edits_at_one_position_add_their_rows() -> None:
    clt = clean_run().clt
    deltas = deltas_of([Edit(0, 4, 3, add=2), Edit(1, 5, 3, add=-1), Edit(0, 6, 3, add=0.5)])

    expected = 2 * clt.W_dec[0][4, 1] + 0.5 * clt.W_dec[0][6, 1] - clt.W_dec[1][5, 0]
    torch.testing.assert_close(deltas[1][3], expected, atol=1e-12, rtol=1e-12)
