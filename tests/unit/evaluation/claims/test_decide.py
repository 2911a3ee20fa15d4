"""From effects to p-values and verdicts, on numbers whose answer is known."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from workbench.evaluation.claims.decide import holm, null_means, p_of_a_change, p_value, verdict


def test_on_one_prompt_the_effect_is_counted_among_its_controls() -> None:
    controls = [[-3.0, -1.0, 0.0, 1.0]]
    null = null_means([-2.0], controls, seed=0)
    assert sorted(null) == [-3, -1, 0, 1]
    assert p_value([-2.0], null, "decrease") == pytest.approx(2 / 5)
    assert p_value([-2.0], null, "increase") == pytest.approx(4 / 5)
    assert p_value([-2.0], null, "change") == pytest.approx(2 / 5)


def test_on_several_prompts_one_of_each_prompts_effects_is_drawn() -> None:
    effects, controls = [3.0, 2.0, 4.0], [[0.0, 1.0], [2.5, -1.0], [0.5, 0.0]]
    pools = [[own, *others] for own, others in zip(effects, controls, strict=True)]
    means = [np.mean(chosen) for chosen in product(*pools)]
    exact = np.mean(np.array(means) >= np.mean(effects) - 1e-12)
    p = p_value(effects, null_means(effects, controls, seed=1), "increase")
    assert p == pytest.approx(exact, abs=0.01)


def test_p_values_are_uniform_where_the_edited_feature_is_like_any_other() -> None:
    random = np.random.default_rng(0)
    small = 0
    for trial in range(200):
        values = random.normal(size=(4, 20))
        effects, controls = values[:, 0].tolist(), values[:, 1:].tolist()
        small += p_value(effects, null_means(effects, controls, seed=trial), "decrease") <= 0.1
    assert 8 <= small <= 34


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


SUPPORTED: dict[str, Any] = {
    "expect": "decrease", "effect": -1.0, "interval": (-1.5, -0.5), "p": 0.001, "p_corrected": 0.01,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "supported"),
        ({"interval": None}, "supported"),
        ({"p_corrected": 0.06}, "inconclusive"),
        ({"interval": (-1.5, 0.2)}, "inconclusive"),
        ({"p": 0.6, "p_corrected": 1.0}, "refuted"),
        ({"effect": 1.0, "interval": (0.5, 1.5), "p": 0.4, "p_corrected": 1.0}, "refuted"),
        ({"effect": 0.0, "interval": None, "p": 0.4, "p_corrected": 1.0}, "refuted"),
        ({"expect": "increase"}, "refuted"),
        ({"expect": "change", "interval": (-1.5, 0.2)}, "supported"),
        ({"expect": "change", "p_corrected": 0.06}, "inconclusive"),
        ({"expect": "change", "p": 0.7, "p_corrected": 1.0}, "refuted"),
        ({"expect": "unchanged", "margin": 2.0}, "supported"),
        ({"expect": "unchanged", "margin": 1.0}, "inconclusive"),
        ({"expect": "unchanged", "margin": 0.4}, "refuted"),
    ],
)
def test_verdicts(change: dict[str, Any], expected: str) -> None:
    assert verdict(**(SUPPORTED | change)) == expected


def test_that_nothing_changes_has_a_p_value_of_its_own() -> None:
    assert p_of_a_change([0.1, -0.1, 0.05, 0.0], 1.0, seed=0) < 0.01
    assert p_of_a_change([2.0, 3.0, 2.5], 1.0, seed=0) == 1
