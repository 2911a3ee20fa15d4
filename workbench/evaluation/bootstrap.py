"""Bootstrap intervals: how far a figure would move had other rows of text, or other prompts, been drawn.

Source of the method: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13 (percentile intervals).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

RESAMPLES = 1_000
COVERAGE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resamples:
    """How often each unit (a row of text, a prompt) is drawn in each resample, with replacement.

    Two figures of the same units are compared by using the same resamples for both: the interval of their
    difference is then free of how hard the units are.

    Attributes:
        counts: of whole numbers; every row sums to the number of units.
    """

    counts: Float[Tensor, "resample unit"]

    @classmethod
    def draw(cls, n_units: int, *, seed: int = 0, n_resamples: int = RESAMPLES) -> Resamples:
        """Draw resamples of ``n_units`` units; the same seed draws the same."""
        drawn = np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), size=n_resamples)
        return cls(torch.from_numpy(drawn).double())

    @property
    def n_units(self) -> int:
        """Number of units that are drawn from."""
        return self.counts.shape[1]

    def totals(self, values: Float[Tensor, "unit ..."]) -> Float[Tensor, "resample ..."]:
        """Return the sum of the drawn units' values in every resample."""
        summed: Tensor = torch.tensordot(self.counts, values.double().cpu(), dims=1)
        return summed

    def select(self, units: Bool[Tensor, " unit"]) -> Resamples:
        """Return the resamples without some units."""
        return Resamples(self.counts[:, units])


def interval(resampled: Float[Tensor, " resample"], estimate: float) -> Interval | None:
    """Return the middle 95 % of a figure's resampled values; None where no resample defines the figure."""
    defined = resampled[~resampled.isnan()]
    if not len(defined):
        return None
    tails = torch.tensor([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], dtype=torch.float64)
    low, high = torch.quantile(defined, tails).tolist()
    # Where all units are alike, rounding alone can put the estimate a hair outside.
    return min(low, estimate), max(high, estimate)


def mean(values: Float[Tensor, " unit"]) -> float:
    """Return the mean of the values that are no NaN; NaN where none is."""
    return float(values.double().nanmean())


def mean_interval(values: Float[Tensor, " unit"], resamples: Resamples) -> Interval | None:
    """Return the interval of :func:`mean`; None for fewer than two units, whose spread nobody can know."""
    defined = ~values.isnan()
    if int(defined.sum()) < 2:
        return None
    drawn = resamples.select(defined)
    return interval(drawn.totals(values[defined]) / drawn.counts.sum(1), mean(values))
