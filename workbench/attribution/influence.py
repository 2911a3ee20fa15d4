"""Influence: the total effect of a node on the logit nodes over all paths.

Source: Ameisen et al., "Circuit Tracing" (2025), appendix "Graph pruning": Σ_k p·Âᵏ on the row-normalised
absolute adjacency. A graph is acyclic and its rows are sorted by layer, so one pass from the top gives the
whole series, reading each row once and inverting nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

_TINY = 1e-10


def normalized_rows(weights: Float[Tensor, "target source"]) -> Float[Tensor, "target source"]:
    """Return |weights| with rows that sum to one (a row of zeros stays zero)."""
    absolute = weights.abs()
    return absolute / absolute.sum(dim=1, keepdim=True).clamp_min(_TINY)


def influence(
    normalized: Float[Tensor, "target source"],
    feature_layer: Int[Tensor, " feature"],
    logit_weights: Float[Tensor, " logit"],
) -> Float[Tensor, " source"]:
    """Return the influence of every source.

    Args:
        normalized: rows are features (sorted by layer), then logits; columns begin with the same features.
        logit_weights: the weight of each logit node, its probability.
    """
    n_features = len(feature_layer)
    total = logit_weights @ normalized[n_features:]
    if n_features == 0:
        return total
    sizes = torch.bincount(feature_layer).tolist()
    end = n_features
    for size in reversed(sizes):
        start = end - size
        total = total + total[start:end] @ normalized[start:end]
        end = start
    return total


def threshold_of(scores: Float[Tensor, " score"], cumulative: float) -> float:
    """Return the smallest score that is kept when the largest ones are taken up to a share of the total.

    Args:
        cumulative: the share of the total, from 0 to 1.
    """
    ranked = scores[scores > 0].sort(descending=True).values
    if not len(ranked) or cumulative >= 1:
        return 0.0
    share = ranked.double().cumsum(0) / ranked.double().sum()
    index = int(torch.searchsorted(share, cumulative))
    return float(ranked[min(index, len(ranked) - 1)])
