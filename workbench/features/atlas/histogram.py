"""Histograms whose bins are known before any activation is seen, so that one pass suffices and parts add up.

A bin is named by the exponent and the first three bits of the mantissa of a float32: eight bins an octave, from 2⁻¹⁶ to
2²⁴. Cutting bits is exact, on every machine, as a logarithm would not be.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_LOWEST, _OCTAVES, _PER_OCTAVE = -16, 40, 8
N_BINS = _OCTAVES * _PER_OCTAVE
# Quarters of an octave, from which examples are drawn.
N_COARSE_BINS = N_BINS // 2
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SHOWN_BINS = 24


def bin_of(activation: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the bin of each positive activation; what lies outside goes to the first or the last."""
    bits = np.ascontiguousarray(activation, dtype=np.float32).view(np.int32)
    found: Int[np.ndarray, " n"] = ((bits >> 20) - ((127 + _LOWEST) << 3)).clip(0, N_BINS - 1)
    return found


def bin_edges() -> Float[np.ndarray, " edge"]:
    """Return the lower edges of all bins and the upper edge of the last."""
    index = np.arange(N_BINS + 1)
    return np.asarray(2.0 ** (_LOWEST + index // _PER_OCTAVE) * (1 + index % _PER_OCTAVE / _PER_OCTAVE))


def quantiles(
    histogram: Int[np.ndarray, "feature bin"], maximum: Float[np.ndarray, " feature"]
) -> Float[np.ndarray, "feature quantile"]:
    """Return the quantiles ``QUANTILES`` of each feature's activations, linear within a bin; zero where it never fired.

    A bin is at most an eighth of its lower edge wide, and so is the error.
    """
    edges = bin_edges()
    ends = histogram.cumsum(axis=1)
    total = ends[:, -1]
    found = np.zeros((len(histogram), len(QUANTILES)))
    for column, share in enumerate(QUANTILES):
        wanted = share * total
        at = (ends < wanted[:, None]).sum(axis=1).clip(max=N_BINS - 1)
        rows = np.arange(len(histogram))
        inside = histogram[rows, at]
        below = ends[rows, at] - inside
        part = (wanted - below) / np.maximum(inside, 1)
        # Beyond the last edge (or for the last values of a bin) the maximum is known exactly.
        found[:, column] = np.minimum(edges[at] + part * (edges[at + 1] - edges[at]), maximum)
    found[total == 0] = 0
    return found


def shown(counts: Int[np.ndarray, " bin"]) -> tuple[list[float], list[int]]:
    """Return one feature's histogram for a picture: edges and counts of at most 24 bins between its extremes."""
    occupied = np.flatnonzero(counts)
    if not len(occupied):
        return [], []
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    width = -(-(last - first) // _SHOWN_BINS)
    starts = np.arange(first, last, width)
    edges = bin_edges()[[*starts.tolist(), min(last, N_BINS)]]
    return edges.tolist(), np.add.reduceat(counts[:last], starts).tolist()
