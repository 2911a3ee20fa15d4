"""Grouping profiles by correlation, and comparing groupings."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Float, Int

from workbench.attribution.clustering import average_linkage, cut


def standardised(activations: Float[np.ndarray, "feature prompt"]) -> Float[np.ndarray, "feature prompt"]:
    """Return profiles of mean 0 and length 1, all zero where they do not vary."""
    centred = activations.astype(np.float64) - activations.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > 1e-5 * np.linalg.norm(activations, axis=1, keepdims=True)
    standardised: np.ndarray = np.where(varies, centred / np.where(varies, length, 1), 0)
    return standardised


def grouped(
    activations: Float[np.ndarray, "feature prompt"], similarity: float, min_features: int
) -> Int[np.ndarray, " feature"]:
    """Return the cluster of each feature, the largest first, −1 for none."""
    profiles = standardised(activations)
    varies = np.flatnonzero((profiles != 0).any(axis=1))
    labels = np.full(len(activations), -1)
    if not len(varies):
        return labels
    profiles = profiles[varies]
    groups = cut(average_linkage(profiles @ profiles.T), len(varies), similarity=similarity)
    sizes = np.bincount(groups)
    by_size = [group for group in np.argsort(-sizes, kind="stable") if sizes[group] >= min_features]
    number = np.full(len(sizes), -1)
    number[by_size] = np.arange(len(by_size))
    labels[varies] = number[groups]
    return labels


def best_overlaps(
    labels: Int[np.ndarray, " feature"],
    drawn: Float[np.ndarray, "feature prompt"],
    similarity: float,
    min_features: int,
) -> Float[np.ndarray, " cluster"]:
    """Return each cluster's largest Jaccard overlap with a cluster of drawn prompts; NaN where none of it varies."""
    # What does not vary in the draw can be in no cluster there, as points that a draw leaves out in Hennig's.
    varies = (standardised(drawn) != 0).any(axis=1)
    again = grouped(drawn, similarity, min_features)
    n_clusters, n_again = int(labels.max(initial=-1)) + 1, int(again.max(initial=-1)) + 1
    ours = (labels[None, :] == np.arange(n_clusters)[:, None]) & varies
    theirs = again[None, :] == np.arange(n_again)[:, None]
    common = ours.astype(np.float64) @ theirs.T.astype(np.float64)
    union = ours.sum(axis=1)[:, None] + theirs.sum(axis=1)[None, :] - common
    best = (common / np.maximum(union, 1)).max(axis=1, initial=0)
    return np.where(ours.any(axis=1), best, np.nan)


def mean_defined(overlaps: list[Float[np.ndarray, " cluster"]], n_clusters: int) -> Float[np.ndarray, " cluster"]:
    stacked = np.array(overlaps).reshape(len(overlaps), n_clusters)
    defined = ~np.isnan(stacked)
    count = defined.sum(axis=0)
    total = np.where(defined, stacked, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def typical_tokens(
    peaks: np.ndarray, labels: Int[np.ndarray, " feature"], n_clusters: int, k: int = 5
) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return the tokens at the peaks of each cluster, ordered by how much more often they are than elsewhere.

    A token's share is weighted by its lift over the share among all features' peaks: plain frequency would name most
    clusters after the commonest tokens.
    """
    everywhere = Counter(peaks[peaks != ""].tolist())
    total = sum(everywhere.values())
    found = []
    for cluster in range(n_clusters):
        own = peaks[labels == cluster]
        counts = Counter(own[own != ""].tolist())
        n_own = sum(counts.values())
        share = {text: count / n_own for text, count in counts.items()}
        weight = {text: share[text] * np.log(share[text] * total / everywhere[text]) for text in share}
        best = sorted(share, key=lambda text: (-weight[text], text))[:k]
        found.append(tuple((text, share[text]) for text in best))
    return tuple(found)
