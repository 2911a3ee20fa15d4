"""Average-linkage clustering of a similarity matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import DisjointSet, linkage
from scipy.spatial.distance import squareform


def average_linkage(similarity: Float[np.ndarray, "item item"]) -> list[tuple[int, int, float]]:
    """Return the merges of agglomerative clustering, the most similar first.

    The similarity of two groups is the mean over the pairs between them.

    Args:
        similarity: symmetric, 1 for the most similar; the diagonal is not read.

    Returns:
        One merge less than there are items: one item of each of the two groups, and their similarity.
    """
    n_items = len(similarity)
    if n_items < 2:
        return []
    distance = squareform(1 - similarity.astype(np.float64), checks=False)
    # scipy numbers the groups on from the items; each is told by its first item here.
    first = list(range(n_items))
    merges = []
    for one, other, apart, _ in linkage(distance, method="average"):
        pair = first[int(one)], first[int(other)]
        first.append(min(pair))
        merges.append((min(pair), max(pair), 1 - float(apart)))
    return merges


def cut(merges: list[tuple[int, int, float]], n_items: int, *, similarity: float) -> Int[np.ndarray, " item"]:
    """Return the group of every item, numbered by the groups' first items; less similar groups stay apart."""
    groups = DisjointSet(range(n_items))
    for one, other, near in merges:
        if near < similarity:
            break
        groups.merge(one, other)
    labels = np.zeros(n_items, dtype=np.int64)
    for number, members in enumerate(sorted(groups.subsets(), key=min)):
        labels[list(members)] = number
    return labels
