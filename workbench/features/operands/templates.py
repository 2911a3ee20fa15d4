"""The templates that operand grids are compared with, and how well the best of each family fits.

Grids come centred (mean 0) and of length 1, so that the correlation with a template T is ⟨grid, T⟩ / |T − mean T|. A
template over one number (an operand, a sum) needs only the grid's sums over the cells of each value; a template over
both operands that is a product of two is compared by two matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int

# Bumps are narrower than this share of the range: wider ones are half-planes, not "near" anything.
_WIDEST = 1 / 8
_N_WIDTHS = 12
# Of bumps over both operands the widths are coarser: each costs two products with every grid.
_N_WIDTHS_OF_PAIRS = 6
# Of ten digits more than five are "does not end in the others".
_MOST_DIGITS = 5


@dataclass(frozen=True)
class Fit:
    """How well the best template of a family explains each grid.

    Attributes:
        explained: the squared correlation; 0 where the correlation is negative.
        n_templates: how many were tried.
        details: what the best template of a grid is.
    """

    explained: Float[np.ndarray, " feature"]
    n_templates: int
    details: Callable[[int], dict[str, Any]]


def near_value(
    by_value: Float[np.ndarray, "feature value"],
    numbers: Int[np.ndarray, " value"],
    cells: Int[np.ndarray, " value"],
    *,
    operand: str,
) -> Fit:
    """Compare grids with bumps over one number.

    Args:
        by_value: each grid summed over the cells of each value.
        cells: how many cells each value has.
    """
    widths = _widths(numbers, _N_WIDTHS)
    templates = np.concatenate([_bumps(numbers, width) for width in widths])
    # Of a bump over either operand, its two parts are independent of each other: their variances add, as they do here.
    weighted = templates @ cells
    spread = np.sqrt(np.maximum((templates**2) @ cells - weighted**2 / cells.sum(), 0))
    correlation = _ratio(by_value @ templates.T, spread)
    chosen = correlation.argmax(axis=1)

    def details(at: int) -> dict[str, Any]:
        width, centre = divmod(int(chosen[at]), len(numbers))
        return {"operand": operand, "x": float(numbers[centre]), "width": float(widths[width])}

    return Fit(_explained(correlation[np.arange(len(chosen)), chosen]), len(templates), details)


def ends_in_digits(
    by_value: Float[np.ndarray, "feature value"],
    numbers: Int[np.ndarray, " value"],
    cells: Int[np.ndarray, " value"],
    *,
    operand: str,
) -> Fit:
    """Compare grids with one to five last digits of one number."""
    digits = np.abs(numbers) % 10
    present = np.unique(digits)
    subsets = [subset for size in range(1, _MOST_DIGITS + 1) for subset in combinations(present.tolist(), size)]
    subsets = [subset for subset in subsets if len(subset) < len(present)]
    if not subsets:
        return Fit(np.zeros(len(by_value)), 0, lambda at: {})
    inside = np.array([[digit in subset for digit in present] for subset in subsets], dtype=np.float64)
    member = (digits[None, :] == present[:, None]).astype(np.float64)
    count = inside @ (member @ cells)
    spread = np.sqrt(np.maximum(count - count**2 / cells.sum(), 0))
    correlation = _ratio(by_value @ member.T @ inside.T, spread)
    chosen = correlation.argmax(axis=1)

    def details(at: int) -> dict[str, Any]:
        return {"operand": operand, "digits": " ".join(str(digit) for digit in subsets[int(chosen[at])])}

    return Fit(_explained(correlation[np.arange(len(chosen)), chosen]), len(subsets), details)


def both_ends(grids: Float[np.ndarray, "feature a b"], a: Int[np.ndarray, " a"], b: Int[np.ndarray, " b"]) -> Fit:
    """Compare grids with pairs of last digits, of equal operands also with a pair and its mirror image."""
    of_a, of_b = np.unique(np.abs(a) % 10), np.unique(np.abs(b) % 10)
    rows = (np.abs(a)[None, :] % 10 == of_a[:, None]).astype(np.float64)
    columns = (np.abs(b)[None, :] % 10 == of_b[:, None]).astype(np.float64)
    return _products(
        grids,
        rows,
        columns,
        mirrored=np.array_equal(a, b),
        details=lambda x, y: {"digits": f"{of_a[x]} {of_b[y]}"},
    )


def exact_pair(grids: Float[np.ndarray, "feature a b"], a: Int[np.ndarray, " a"], b: Int[np.ndarray, " b"]) -> Fit:
    """Compare grids with bumps around one pair of operands, of equal operands also with its mirror image."""
    fits = []
    for width_a, width_b in zip(_widths(a, _N_WIDTHS_OF_PAIRS), _widths(b, _N_WIDTHS_OF_PAIRS), strict=True):
        width = min(width_a, width_b)

        def details(x: int, y: int, width: float = width) -> dict[str, Any]:
            return {"x": float(a[x]), "y": float(b[y]), "width": float(width)}

        fits.append(
            _products(grids, _bumps(a, width), _bumps(b, width), mirrored=np.array_equal(a, b), details=details)
        )
    explained = np.stack([fit.explained for fit in fits])
    chosen = explained.argmax(axis=0)
    return Fit(explained.max(axis=0), sum(fit.n_templates for fit in fits), lambda at: fits[chosen[at]].details(at))


def _products(
    grids: Float[np.ndarray, "feature a b"],
    rows: Float[np.ndarray, "x a"],
    columns: Float[np.ndarray, "y b"],
    *,
    mirrored: bool,
    details: Callable[[int, int], dict[str, Any]],
) -> Fit:
    """Compare grids with every product of a row template and a column template."""
    product = np.matmul(np.matmul(rows, grids), columns.T)
    total = rows.sum(axis=1)[:, None] * columns.sum(axis=1)[None, :]
    square = (rows**2).sum(axis=1)[:, None] * (columns**2).sum(axis=1)[None, :]
    n_cells = grids.shape[1] * grids.shape[2]
    correlation = _ratio(product, np.sqrt(np.maximum(square - total**2 / n_cells, 0)))
    n_templates = product.shape[1] * product.shape[2]
    if mirrored:
        # The sum of a template and its mirror image; on the diagonal that is the template itself.
        square, total = 2 * (square + (rows @ columns.T) ** 2), 2 * total
        both = _ratio(product + product.transpose(0, 2, 1), np.sqrt(np.maximum(square - total**2 / n_cells, 0)))
        correlation = np.maximum(correlation, both)
        n_templates += n_templates // 2
    flat = correlation.reshape(len(grids), -1)
    chosen = flat.argmax(axis=1)
    n_columns = product.shape[2]
    return Fit(
        _explained(flat[np.arange(len(flat)), chosen]),
        n_templates,
        lambda at: details(*divmod(int(chosen[at]), n_columns)),
    )


def _bumps(numbers: Int[np.ndarray, " value"], width: float) -> Float[np.ndarray, "centre value"]:
    """Return a Gaussian around each number; of width 0, the number alone."""
    apart = (numbers[:, None] - numbers[None, :]).astype(np.float64)
    bumps: np.ndarray = apart == 0 if width == 0 else np.exp(-0.5 * (apart / width) ** 2)
    return bumps.astype(np.float64)


def _widths(numbers: Int[np.ndarray, " value"], n_widths: int) -> Float[np.ndarray, " width"]:
    """Return the widths that are tried: a single value, then evenly in the logarithm from one step on."""
    if len(numbers) < 2:
        return np.zeros(n_widths)
    extent = float(numbers.max() - numbers.min())
    step = extent / (len(np.unique(numbers)) - 1)
    widest = max(extent * _WIDEST, step)
    return np.concatenate([[0.0], np.geomspace(step, widest, n_widths - 1)])


def _ratio(product: Float[np.ndarray, "*shape"], spread: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Divide where the template varies at all; a template that is the same everywhere explains nothing."""
    varies = spread > 1e-9
    ratio: np.ndarray = np.where(varies, product / np.where(varies, spread, 1), -1.0)
    return ratio


def _explained(correlation: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
    squared: np.ndarray = np.clip(correlation, 0, 1) ** 2
    return squared
