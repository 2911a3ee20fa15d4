"""Figures of predicted against measured effects, with bootstrap intervals over the edited nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats

from workbench.evaluation.bootstrap import RESAMPLES, Interval, Resamples, interval

Figure = Callable[[np.ndarray, np.ndarray], float]


def spearman(predicted: Float[np.ndarray, " n"], measured: Float[np.ndarray, " n"]) -> float:
    """Return the rank correlation, ties averaged; NaN where one of them does not vary."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(predicted), stats.rankdata(measured))[0, 1])


def sign_agreement(predicted: Float[np.ndarray, " n"], measured: Float[np.ndarray, " n"]) -> float:
    """Return the share of equal signs where neither is zero; NaN where there is none."""
    counted = (predicted != 0) & (measured != 0)
    if not counted.any():
        return float("nan")
    return float((np.sign(predicted[counted]) == np.sign(measured[counted])).mean())


def mean_of(values: Float[np.ndarray, " n"], _: Float[np.ndarray, " n"]) -> float:
    """Return the mean of the first argument's values that are no NaN."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def with_interval(
    figure: Figure,
    predicted: Float[np.ndarray, " n"],
    measured: Float[np.ndarray, " n"],
    unit: Int[np.ndarray, " n"],
    *,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """Return a figure and its interval when whole units are drawn anew.

    Effects of one node on many others depend on each other, so nodes are drawn, not pairs.

    Args:
        unit: the node that each entry belongs to, from 0.
    """
    value = figure(predicted, measured)
    n_units = int(unit.max()) + 1 if len(unit) else 0
    if n_units < 2:
        return value, None
    entries = [np.flatnonzero(unit == at) for at in range(n_units)]
    counts = Resamples.draw(n_units, seed=seed, n_resamples=RESAMPLES).counts.numpy().astype(int)
    drawn = []
    for row in counts:
        chosen = np.concatenate([np.tile(own, times) for own, times in zip(entries, row, strict=True) if times])
        drawn.append(figure(predicted[chosen], measured[chosen]))
    return value, interval(torch.tensor(drawn, dtype=torch.float64), value)
