"""Rounded products: bfloat16 factors change the weights a little, and the graph says so."""

from __future__ import annotations

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import attribute

TOKENS = tiny_tokens(length=10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_factors_change_weights_by_about_their_rounding(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, n_features=24, active=0.3, skip=True)
    exact, rounded = (
        attribute(model, clt, TOKENS, cap=None, precision=precision, progress=False)
        for precision in (torch.float32, torch.bfloat16)
    )
    assert (exact.info["precision"], rounded.info["precision"]) == ("float32", "bfloat16")
    assert list(rounded.nodes["node_id"]) == list(exact.nodes["node_id"])
    assert rounded.weights.dtype == exact.weights.dtype
    difference = float((rounded.weights - exact.weights).abs().max() / exact.weights.abs().max())
    assert 0 < difference < 2e-2
    # Sums no longer close exactly: what is missing is the measured error of the mode.
    assert exact.scores().row_sum_error < 1e-4 < rounded.scores().row_sum_error < 5e-2
