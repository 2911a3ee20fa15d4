"""Which family of the addition study an operand grid belongs to.

Each family is a set of templates over the pairs of operands (one operand in a range, a sum with some last digit, and
so on), and a grid is explained by a template as well as a line through the template explains its cells: R², the
squared correlation, where the correlation is positive. A family with many templates fits noise better than one with
few; the best of M templates explains about 2·ln(M)/n of n cells of noise, and that much is taken off::

    score = R² of the family's best template − 2·ln(M)/n

The family of the highest score wins if the score reaches ``min_score``; otherwise the grid is of no family. What a
score cannot do: tell "ends in 3" from "is 3" where the last digit tells the operand, as among 0 to 9; there the
families of last digits of operands are not tried. And a grid with one active cell is an exact pair whatever made it so:
see ``OperandGrids.shuffled``.

Source of the families: Lindsey et al., "On the Biology of a Large Language Model" (2025), section "Addition".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from workbench.errors import ConfigError
from workbench.features.operands.templates import Fit, both_ends, ends_in_digits, exact_pair, near_value

FAMILIES = (
    "one operand near x",
    "operand ends in d",
    "sum near x",
    "sum ends in d",
    "exact pair",
    "both ends",
    "other",
)
# At least half of what a grid varies by.
MIN_SCORE = 0.5
# Grids that are compared with all templates at a time: 512 of 100 × 100 take 20 MB, and their products as much.
_TOGETHER = 512


def classify(
    values: Float[np.ndarray, "feature a b"],
    a: Sequence[int],
    b: Sequence[int],
    *,
    min_score: float = MIN_SCORE,
) -> pd.DataFrame:
    """Return the family of each grid.

    - ``one operand near x``: a bump over a, over b or over either (``operand``), at ``x``, ``width`` wide.
    - ``operand ends in d``: the last digit of a, of b or of either is one of ``digits``.
    - ``sum near x``, ``sum ends in d``: the same of a + b.
    - ``exact pair``: a bump at a = ``x`` and b = ``y``; of equal operands also at the mirrored pair.
    - ``both ends``: a ends in the first and b in the second of ``digits``; of equal operands also mirrored.
    - ``other``: no family explains ``min_score``. So are grids that are the same everywhere.

    Args:
        values: activations; every grid is taken by itself.
        a: the operands of the rows.
        b: the operands of the columns.
        min_score: between 0 and 1.

    Returns:
        One row a grid: ``family, score, nearest, operand, x, y, width, digits, active, max_activation``. A bump's
        ``width`` is its standard deviation in the operands' own units, 0 for a single value.

    Raises:
        ConfigError: the shapes differ, or ``min_score`` is not between 0 and 1.
    """
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}: give a share of the variance, from 0 to 1.")
    if values.ndim != 3 or values.shape[1:] != (len(a), len(b)):
        raise ConfigError(
            f"The grids have shape {values.shape}, but there are {len(a)} × {len(b)} operands: "
            "give one value for each pair."
        )
    rows: list[dict[str, Any]] = []
    for start in range(0, len(values), _TOGETHER):
        rows += _classify(values[start : start + _TOGETHER].astype(np.float64), np.array(a), np.array(b), min_score)
    columns = ["family", "score", "nearest", "operand", "x", "y", "width", "digits", "active", "max_activation"]
    table = pd.DataFrame(rows, columns=columns)
    numbers = ["score", "x", "y", "width", "active", "max_activation"]
    return table.astype(dict.fromkeys(numbers, np.float32) | dict.fromkeys(["family", "nearest"], "category"))


@dataclass
class _Best:
    score: float = -math.inf
    family: str = "other"
    details: dict[str, Any] = field(default_factory=dict)


def _classify(
    values: Float[np.ndarray, "feature a b"], a: Int[np.ndarray, " a"], b: Int[np.ndarray, " b"], min_score: float
) -> list[dict[str, Any]]:
    n_cells = len(a) * len(b)
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2)))
    # Rounding of equal cells is no variance.
    constant = norm <= 1e-6 * np.sqrt((values**2).sum(axis=(1, 2)))
    centred /= np.where(constant, 1, norm)[:, None, None]
    best = [_Best() for _ in values]
    for family, fit in _fits(centred, a, b):
        scores = fit.explained - 2 * math.log(max(fit.n_templates, 1)) / n_cells
        for at, score in enumerate(scores):
            if not constant[at] and score > best[at].score:
                best[at] = _Best(float(score), family, fit.details(at))
    rows = []
    for at, found in enumerate(best):
        score = max(found.score, 0.0)
        row: dict[str, Any] = {"operand": "", "x": np.nan, "y": np.nan, "width": np.nan, "digits": ""}
        row |= {"family": found.family if score >= min_score and score > 0 else "other", "score": score}
        row |= {"nearest": found.family, "active": (values[at] > 0).mean(), "max_activation": values[at].max()}
        rows.append(row | found.details)
    return rows


def _tells(operands: Int[np.ndarray, " value"]) -> bool:
    """Return whether the last digit tells the operand, so that to end in 3 is to be 3."""
    return len(np.unique(np.abs(operands) % 10)) == len(np.unique(operands))


def _fits(
    grids: Float[np.ndarray, "feature a b"], a: Int[np.ndarray, " a"], b: Int[np.ndarray, " b"]
) -> Iterator[tuple[str, Fit]]:
    """Yield (family, its best templates); where two families fit equally, the one yielded first wins."""
    same = np.array_equal(a, b)
    by_a, by_b = grids.sum(axis=2), grids.sum(axis=1)
    each = np.full(len(a), len(b)), np.full(len(b), len(a))
    sums, place = np.unique(a[:, None] + b[None, :], return_inverse=True)
    place = place.ravel()
    by_sum = np.stack([np.bincount(place, weights=grid.ravel(), minlength=len(sums)) for grid in grids])
    pairs = np.bincount(place, minlength=len(sums))
    if not (_tells(a) and _tells(b)):
        yield "operand ends in d", ends_in_digits(by_a, a, each[0], operand="a")
        yield "operand ends in d", ends_in_digits(by_b, b, each[1], operand="b")
        if same:
            yield "operand ends in d", ends_in_digits(by_a + by_b, a, 2 * each[0], operand="either")
        yield "both ends", both_ends(grids, a, b)
    yield "sum ends in d", ends_in_digits(by_sum, sums, pairs, operand="")
    yield "one operand near x", near_value(by_a, a, each[0], operand="a")
    yield "one operand near x", near_value(by_b, b, each[1], operand="b")
    if same:
        yield "one operand near x", near_value(by_a + by_b, a, 2 * each[0], operand="either")
    yield "sum near x", near_value(by_sum, sums, pairs, operand="")
    yield "exact pair", exact_pair(grids, a, b)
