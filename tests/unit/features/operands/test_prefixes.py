"""Prompts that share their beginnings, against each prompt by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.clt import CLT
from workbench.features.operands.prefixes import Active, active_features
from workbench.models import LoadedModel, capture

Rows = list[tuple[int, ...]]

# A shared beginning, forks early and late, a prompt that another one continues, one twice, and different lengths.
ROWS: Rows = [
    (0, 5, 9, 7, 12, 20, 8),
    (0, 5, 9, 7, 12, 21, 8),
    (0, 5, 9, 7),
    (0, 5, 9, 7, 13, 20, 8, 9, 9, 4),
    (0, 6, 9, 7, 12),
    (0, 5, 9, 7, 12, 20, 8),
    (0, 31),
]


def clt_of(model: LoadedModel, active: float) -> CLT:
    clt = tiny_clt(model, active=active)
    # A threshold may be the pre-activation at one of the tokens below, where rounding would decide what is active.
    return replace(clt, threshold=clt.threshold * 1.001)


def alone(model: LoadedModel, clt: CLT, row: tuple[int, ...]) -> np.ndarray:
    """Return the activations (layer, position, feature) of one prompt, run plainly."""
    names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
    kept = capture(model, torch.tensor([row]), names)
    activations = torch.stack([clt.encode(layer, kept[name][0]) for layer, name in enumerate(names)])
    activations[:, 0] = 0
    return activations.numpy()


def dense(clt: CLT, rows: Rows, found: Sequence[Active]) -> list[np.ndarray]:
    arrays = [np.zeros((clt.n_layers, len(row), clt.n_features)) for row in rows]
    for active in found:
        for row, position, layer, feature, value in zip(*active, strict=True):
            assert arrays[row][layer, position, feature] == 0, "an entry came twice"
            arrays[row][layer, position, feature] = value
    return arrays


def check(model: LoadedModel, clt: CLT, rows: Rows, together: int) -> None:
    found = list(active_features(model, clt, rows, [range(len(row)) for row in rows], together=together))
    for row, got in zip(rows, dense(clt, rows, found), strict=True):
        np.testing.assert_allclose(got, alone(model, clt, row), atol=1e-5)


@pytest.mark.parametrize("together", [1, 3, 512])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shared_beginnings_change_nothing(architecture: Architecture, together: int) -> None:
    """Sliding windows of 4 tokens and learnt positions among them."""
    model = tiny_model(architecture)
    check(model, clt_of(model, 0.5), ROWS, together)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(2, 4), max_size=7), min_size=1, max_size=8))
def test_any_tree_of_prompts_gives_what_the_prompts_give(rows: list[list[int]]) -> None:
    model = tiny_model("llama")
    check(model, clt_of(model, 0.25), [(0, *row) for row in rows], 5)


def test_only_positions_and_layers_that_are_wanted_come_back() -> None:
    model = tiny_model("llama")
    clt = clt_of(model, 0.9)
    wanted = [[3], [4, 0], [], [9], [1], [3, 5], [1]]
    found = list(active_features(model, clt, ROWS, wanted, layers=[1]))
    rows, positions = np.concatenate([f.row for f in found]), np.concatenate([f.position for f in found])
    assert set(zip(rows.tolist(), positions.tolist(), strict=True)) == {
        (0, 3),
        (1, 4),
        (3, 9),
        (4, 1),
        (5, 3),
        (5, 5),
        (6, 1),
    }
    assert {layer for f in found for layer in f.layer.tolist()} == {1}
    for at, got in enumerate(dense(clt, ROWS, found)):
        for position in wanted[at]:
            np.testing.assert_allclose(got[1, position], alone(model, clt, ROWS[at])[1, position], atol=1e-5)


def test_layers_above_the_highest_wanted_one_and_tokens_after_the_last_wanted_one_are_not_run() -> None:
    model = tiny_model("llama")
    clt = clt_of(model, 0.25)
    seen: list[tuple[int, int]] = []
    handles = [
        model.bridge.blocks[layer].register_forward_pre_hook(
            lambda block, args, kwargs, layer=layer: seen.append((layer, args[0].shape[0] * args[0].shape[1])),
            with_kwargs=True,
        )
        for layer in range(3)
    ]
    try:
        list(active_features(model, clt, ROWS, [[3] for _ in ROWS[:6]] + [[1]], layers=[0, 1]))
    finally:
        for handle in handles:
            handle.remove()
    assert {layer for layer, _ in seen} == {0, 1}
    # Distinct beginnings of up to four tokens: <s>; 5, 6, 31; 5 9, 6 9; 5 9 7, 6 9 7. Stretches may run a little on.
    assert 8 <= sum(n for layer, n in seen if layer == 0) <= 10


def test_the_models_hooks_and_later_runs_are_left_as_they_were() -> None:
    model = tiny_model("gemma3")
    clt = clt_of(model, 0.25)
    before = alone(model, clt, ROWS[0])
    list(active_features(model, clt, ROWS, [[1] for _ in ROWS], layers=[0]))
    np.testing.assert_array_equal(alone(model, clt, ROWS[0]), before)
