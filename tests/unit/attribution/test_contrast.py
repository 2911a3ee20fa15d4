"""Features that were nearly active, and what kept them silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model

from workbench.attribution.contrast import contrast, contrasted_features, nearly_active
from workbench.clt import CLT
from workbench.errors import ConfigError, PromptError
from workbench.models import LoadedModel, capture_reads_and_writes, tokenize

A, B = "w3 w4 w5 w6", "w3 w4 w8 w6"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=16)


def pre_activation(model: LoadedModel, clt: CLT, prompt: str, layer: int, feature: int, position: int) -> float:
    reads, _ = capture_reads_and_writes(model, tokenize(model, prompt)[None])
    return float(clt.pre_activations(layer, reads[layer, 0, position])[feature])


def test_nearly_active_features_are_inactive_and_within_reach(model: LoadedModel, clt: CLT) -> None:
    table = nearly_active(model, clt, A, within=0.1)
    assert len(table) > 0
    assert (table["position"] > 0).all()
    assert table["distance"].between(0, 0.1).all()
    assert table["distance"].is_monotonic_increasing
    row = table.iloc[-1]
    expected = pre_activation(model, clt, A, row["layer"], row["feature"], row["position"])
    assert row["pre_activation"] == pytest.approx(expected, rel=1e-5)
    assert row["pre_activation"] <= row["threshold"]
    assert row["margin"] == pytest.approx(row["threshold"] - expected, rel=1e-4)
    assert row["token"] == f"w{3 + row['position'] - 1}"


def test_within_reach_of_everything_are_all_inactive_features(model: LoadedModel, clt: CLT) -> None:
    reads, _ = capture_reads_and_writes(model, tokenize(model, A)[None])
    n_active = sum(int((clt.encode(layer, reads[layer, 0, 1:]) != 0).sum()) for layer in range(3))
    assert len(nearly_active(model, clt, A, within=1e9, k=None)) == 3 * 16 * 4 - n_active
    assert len(nearly_active(model, clt, A, within=1e9, k=7)) == 7


def test_the_distance_is_the_smallest_step_that_activates_the_feature(model: LoadedModel, clt: CLT) -> None:
    row = nearly_active(model, clt, A, within=0.2).iloc[-1]
    layer, feature = int(row["layer"]), int(row["feature"])
    reads, _ = capture_reads_and_writes(model, tokenize(model, A)[None])
    x = reads[layer, 0, int(row["position"])]
    towards = clt.W_enc[layer, feature] / clt.W_enc[layer, feature].norm()
    for factor, active in ((0.99, False), (1.01, True)):
        moved = x + factor * row["distance"] * x.norm() * towards
        assert bool(clt.encode(layer, moved)[feature] != 0) is active


def test_contrasted_features_are_active_on_the_one_and_inactive_on_the_other(model: LoadedModel, clt: CLT) -> None:
    table = contrasted_features(model, clt, A, B)
    assert len(table) > 0
    # What comes before the changed word is the same on both.
    assert (table["position_a"] >= 3).all()
    assert (table["position_a"] == table["position_b"]).all()
    for row in table.itertuples():
        assert row.activation_a == pytest.approx(
            pre_activation(model, clt, A, row.layer, row.feature, row.position_a), rel=1e-5
        )
        assert row.activation_a > row.threshold >= row.pre_activation_b
        assert row.lost == pytest.approx(row.activation_a - row.pre_activation_b, rel=1e-5)
    assert table["lost"].is_monotonic_decreasing
    limit = table["distance_b"].median()
    assert len(contrasted_features(model, clt, A, B, within=limit)) == int((table["distance_b"] <= limit).sum())
    assert len(contrasted_features(model, clt, A, B, k=2)) == 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_changes_of_the_inputs_add_up_to_what_the_pre_activation_lost(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, n_features=16)
    why = contrast(model, clt, A, B, k=4, progress=False)
    assert 1 <= len(why.features) <= 4
    for row in why.features.itertuples():
        inputs = why.inputs(row.layer, row.feature, row.position_a)
        lost = pre_activation(model, clt, B, row.layer, row.feature, row.position_b) - pre_activation(
            model, clt, A, row.layer, row.feature, row.position_a
        )
        assert lost < 0
        size = float(inputs[["weight_a", "weight_b"]].abs().to_numpy().sum())
        assert inputs["weight_change"].sum() == pytest.approx(lost, abs=1e-6 * size)
        assert inputs["weight_change"].is_monotonic_increasing
        assert inputs["weight_change"].iloc[0] < 0


def test_prompts_of_different_lengths_are_aligned(model: LoadedModel, clt: CLT) -> None:
    why = contrast(model, clt, "w3 w4 w6", "w3 w4 w8 w9 w6", k=50, progress=False)
    assert (why.features["position_b"] - why.features["position_a"]).isin([0, 2]).all()
    row = why.features.iloc[-1]
    lost = pre_activation(model, clt, "w3 w4 w8 w9 w6", row["layer"], row["feature"], row["position_b"])
    lost -= pre_activation(model, clt, "w3 w4 w6", row["layer"], row["feature"], row["position_a"])
    inputs = why.inputs(row["layer"], row["feature"], row["position_a"])
    assert inputs["weight_change"].sum() == pytest.approx(lost, abs=1e-5)


def test_a_feature_of_my_choice_can_be_explained(model: LoadedModel, clt: CLT) -> None:
    chosen = contrasted_features(model, clt, A, B).iloc[-1:]
    why = contrast(model, clt, A, B, features=chosen, progress=False)
    assert why.inactive.nodes["node_id"].iloc[-1] == "p/{layer}/{feature}/{position_b}".format(**chosen.iloc[0])
    with pytest.raises(ConfigError, match="take a row of contrast"):
        why.inputs(0, 0, 1)


def test_a_negative_threshold_is_a_gate_too(model: LoadedModel, clt: CLT) -> None:
    low = replace(clt, threshold=torch.full_like(clt.threshold, -0.5))
    table = nearly_active(model, low, A, within=1e9, k=None)
    assert (table["pre_activation"] <= -0.5).all()
    assert np.allclose(table["margin"], -0.5 - table["pre_activation"], atol=1e-6)


def test_equal_prompts_have_nothing_to_contrast(model: LoadedModel, clt: CLT) -> None:
    assert contrasted_features(model, clt, A, A).empty
    with pytest.raises(PromptError, match="differ more"):
        contrast(model, clt, A, A, progress=False)


@pytest.mark.parametrize("options", [{"within": -1.0}, {"k": 0}, {"alignment": {1: 9}}])
def test_unusable_options_are_refused(model: LoadedModel, clt: CLT, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        contrasted_features(model, clt, A, B, **options)
