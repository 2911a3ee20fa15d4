"""Average-linkage clustering of a similarity matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def average_linkage(similarity: Float[np.ndarray, "item item"]) -> list[tuple[int, int, float]]:
    """Return the merges of agglomerative clustering, the most similar first.

    The similarity of two groups is the mean over the pairs between them. A chain of nearest neighbours finds the
    same tree as always merging the closest two groups, in time quadratic in the number of items; of equally near
    neighbours the first is taken.

    Args:
        similarity: symmetric; the diagonal is not read.

    Returns:
        One merge less than there are items: one item of each of the two groups, and their similarity.

    Source: Murtagh, "A survey of recent advances in hierarchical clustering algorithms" (1983).
    """
    n_items = len(similarity)
    near = similarity.astype(np.float64, copy=True)
    np.fill_diagonal(near, -np.inf)
    size = np.ones(n_items)
    alive = np.ones(n_items, dtype=bool)
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    while len(merges) < n_items - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        last = chain[-1]
        row = near[last]
        nearest = int(row.argmax())
        # The one before wins a tie: otherwise the chain could run in circles.
        if len(chain) > 1 and row[chain[-2]] >= row[nearest]:
            nearest = chain[-2]
        if len(chain) > 1 and nearest == chain[-2]:
            chain = chain[:-2]
            merges.append((nearest, last, float(row[nearest])))
            kept, gone = min(nearest, last), max(nearest, last)
            total = size[kept] + size[gone]
            joined = (size[kept] * near[kept] + size[gone] * near[gone]) / total
            near[kept], near[:, kept] = joined, joined
            near[gone], near[:, gone] = -np.inf, -np.inf
            near[kept, kept] = -np.inf
            size[kept], alive[gone] = total, False
        else:
            chain.append(nearest)
    return sorted(merges, key=lambda merge: -merge[2])


def cut(merges: list[tuple[int, int, float]], n_items: int, *, similarity: float) -> Int[np.ndarray, " item"]:
    """Return the group of every item, numbered by the groups' first items; less similar groups stay apart."""
    parent = list(range(n_items))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for one, other, near in merges:
        if near < similarity:
            break
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    _, groups = np.unique([root(item) for item in range(n_items)], return_inverse=True)
    return np.asarray(groups, dtype=np.int64)
