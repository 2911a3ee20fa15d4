"""From effects and those of controls to a p-value and a verdict.

Sources: Phipson & Smyth, "Permutation P-values Should Never Be Zero" (2010) for the count with the observed value in
it; Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979) for several claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch

from workbench.evaluation.bootstrap import Interval, Resamples

Expect = Literal["decrease", "increase", "change", "unchanged"]
EXPECTS: tuple[Expect, ...] = get_args(Expect)
Verdict = Literal["supported", "refuted", "inconclusive"]

ALPHA = 0.05
_DRAWS = 9_999


def directed(effect: float, expect: str) -> float:
    """Return an effect so that the larger it is, the more it is what was expected."""
    return {"decrease": -effect, "increase": effect}.get(expect, abs(effect))


def null_means(effects: Sequence[float], controls: Sequence[Sequence[float]], *, seed: int) -> np.ndarray:
    """Return mean effects as they would be if the edited features were like their controls.

    Then the edit's effect on a prompt might as well be any of those of its controls: each draw takes, on every prompt,
    one of them or the edit's own at random. On a single prompt all of them are counted instead of drawn.
    """
    pools = [np.array([own, *others]) for own, others in zip(effects, controls, strict=True)]
    if len(pools) == 1:
        return pools[0][1:]
    random = np.random.default_rng(seed)
    drawn = [pool[random.integers(len(pool), size=_DRAWS)] for pool in pools]
    means: np.ndarray = np.mean(drawn, axis=0)
    return means


def p_value(effects: Sequence[float], null: np.ndarray, expect: str) -> float:
    """Return the share of null draws, the observed one included, that are at least as much what was expected."""
    observed = directed(float(np.mean(effects)), expect)
    others = np.array([directed(float(value), expect) for value in null])
    # Equal effects that were rounded otherwise count as equal.
    return float((1 + (others >= observed - 1e-9 * max(1.0, abs(observed))).sum()) / (1 + len(others)))


def p_of_a_change(effects: Sequence[float], margin: float, *, seed: int) -> float:
    """Return the share of bootstrapped mean effects outside ±margin, for a claim that nothing changes."""
    resamples = Resamples.draw(len(effects), seed=seed)
    means = resamples.totals(torch.tensor(effects, dtype=torch.float64)) / len(effects)
    return float((1 + int((means.abs() >= margin).sum())) / (1 + len(means)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, by Holm's method: the family-wise error stays below the level."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def verdict(
    *,
    expect: str,
    effect: float,
    interval: Interval | None,
    p: float,
    p_corrected: float,
    margin: float | None = None,
    alpha: float = ALPHA,
) -> Verdict:
    """Return what the test says of the claim.

    - supported: the corrected p-value is at most alpha, and the interval (or on a single prompt the effect) lies
      wholly on the expected side;
    - refuted: the interval (or on a single prompt the effect) lies wholly on the other side or at nothing, or at
      least half of the controls do as much;
    - inconclusive: neither.

    A claim that nothing changes is supported where the interval lies wholly within ±margin, and refuted where it lies
    wholly outside.
    """
    low, high = interval or (effect, effect)
    if expect == "unchanged":
        assert margin is not None
        if p_corrected <= alpha and -margin < low and high < margin:
            return "supported"
        return "refuted" if low >= margin or high <= -margin else "inconclusive"
    if expect == "decrease":
        low, high = -high, -low
    as_expected, contrary = (True, False) if expect == "change" else (low > 0, high <= 0)
    if p_corrected <= alpha and as_expected:
        return "supported"
    return "refuted" if contrary or p >= 0.5 else "inconclusive"
