from __future__ import annotations

from functools import cache

import pytest
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.errors import InterventionError
from workbench.evaluation.controls import LEAST, WITHIN, matched_controls
from workbench.interventions import CleanRun, Edit, SupernodeEdit


@cache
def clean_run() -> CleanRun:
    model = tiny_model("llama")
    return CleanRun.of(model, tiny_clt(model, window=2, n_features=60, active=0.4), tiny_tokens())


def strongest(layer: int, position: int, n: int) -> list[int]:
    return clean_run().activations(layer)[position].topk(n).indices.tolist()


def test_a_control_is_the_same_edit_on_another_feature_that_is_as_active_there() -> None:
    clean = clean_run()
    feature = strongest(1, 5, 3)[2]
    controls = matched_controls(clean, [Edit(1, feature, 5, factor=-2)], 8)

    own = clean.activation(1, feature, 5)
    others = clean.activations(1)[5]
    n_near = int(((others >= own / WITHIN) & (others <= own * WITHIN)).sum()) - 1
    assert len(controls) == min(8, max(n_near, LEAST))
    seen = set()
    for (control,) in controls:
        assert (control.layer, control.position, control.factor) == (1, 5, -2)
        assert control.feature != feature
        activation = clean.activation(1, control.feature, 5)
        assert activation > 0
        if n_near >= LEAST:
            assert own / WITHIN <= activation <= own * WITHIN
        seen.add(control.feature)
    assert len(seen) == len(controls)


def test_the_features_of_a_supernode_get_different_controls_and_none_of_its_own() -> None:
    clean = clean_run()
    members = [*strongest(0, 4, 2), *strongest(0, 4, 3)[2:]]
    edit = SupernodeEdit.nodes([f"f/0/{feature}/4" for feature in members], factor=0)
    for control in matched_controls(clean, [edit], 10):
        features = [one.feature for one in control]
        assert len(set(features)) == 3
        assert not set(features) & set(members)


def test_an_edit_everywhere_is_matched_over_all_of_its_positions() -> None:
    clean = clean_run()
    mean = clean.activations(0)[1:].mean(0)
    feature = int(mean.argsort(descending=True)[4])
    for (control,) in matched_controls(clean, [Edit.everywhere(0, feature, factor=0)], 5):
        assert control.span == Edit.everywhere(0, feature, factor=0).span or control.span is not None
        assert float(mean[control.feature]) > 0


def test_a_feature_that_is_switched_on_is_matched_by_other_inactive_ones() -> None:
    clean = clean_run()
    off = int((clean.activations(0)[4] == 0).nonzero()[0])
    for (control,) in matched_controls(clean, [Edit(0, off, 4, value=5)], 5):
        assert clean.activation(0, control.feature, 4) == 0
        assert control.value == 5


def test_the_same_seed_draws_the_same_controls_and_none_is_to_be_avoided() -> None:
    clean = clean_run()
    edits = [Edit(1, strongest(1, 5, 1)[0], 5, factor=0)]
    one, same, other = (matched_controls(clean, edits, 2, seed=seed) for seed in (1, 1, 3))
    assert one == same
    assert one != other
    avoided = {(1, control[0].feature) for control in one}
    assert not avoided & {(1, control[0].feature) for control in matched_controls(clean, edits, 4, avoid=avoided)}


def test_where_no_other_feature_is_active_there_is_no_control() -> None:
    model = tiny_model("llama")
    clean = CleanRun.of(model, tiny_clt(model, n_features=1, active=0.9), tiny_tokens())
    with pytest.raises(InterventionError, match="too few other features at these positions"):
        matched_controls(clean, [Edit(0, 0, 4, add=1)], 3)
