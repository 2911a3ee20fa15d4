"""The strongest paths through a graph."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.attribution.graph import Graph
from workbench.errors import ConfigError


def strongest_paths(
    graph: Graph,
    *,
    target: str | None = None,
    kinds: tuple[str, ...] = ("token",),
    k: int = 5,
    direct: bool = True,
) -> pd.DataFrame:
    """Return the k best paths that end in a node, by the product of their edges' |shares|.

    Args:
        target: the node where the paths end; by default the most probable logit.
        kinds: the kinds of node where a path may begin.
        direct: False leaves out the single edges from source to target, which pass through no feature.

    Returns:
        One row a path, the best first: ``path`` (node ids from source to target), ``share`` (the signed
        product of the edges' shares) and ``length`` (number of edges).

    Raises:
        ConfigError: the target is no feature or logit node of the graph.
    """
    ids = graph.nodes["node_id"].to_numpy()
    targets = ids[graph.target_index]
    if target is None:
        target = str(targets[graph.n_features + int(graph.probability.argmax())])
    if target not in targets:
        raise ConfigError(f"The node {target!r} is no feature or logit of this graph: choose one of its node ids.")
    share = (graph.weights / graph.incoming[:, None].clamp_min(1e-10)).double().numpy()
    magnitude = np.abs(share)
    # best[t]: the products of the k best paths from target row t to the end; via: where each goes next.
    best = np.zeros((len(targets), k))
    via: dict[tuple[int, int], tuple[int, int] | None] = {}
    end = int(np.flatnonzero(targets == target)[0])
    best[end, 0] = 1.0
    via[end, 0] = None

    def extend(column: int) -> list[tuple[float, int, int]]:
        products = magnitude[:, column, None] * best
        flat = products.ravel()
        top = np.argpartition(flat, -k)[-k:] if len(flat) > k else np.arange(len(flat))
        ranked = top[np.argsort(-flat[top], kind="stable")]
        return [(float(flat[at]), *divmod(int(at), k)) for at in ranked if flat[at] > 0]

    for row in reversed(range(graph.n_features)):  # features are sorted by layer, so this runs from the top down
        if row == end:
            continue
        for rank, (product, next_row, next_rank) in enumerate(extend(row)):
            best[row, rank] = product
            via[row, rank] = (next_row, next_rank)

    if not direct:
        best[end] = 0.0
    sources = graph.source_index
    kind = graph.nodes["kind"].to_numpy()[sources]
    found: list[tuple[float, int, int, int]] = []
    for column in np.flatnonzero(np.isin(kind, kinds)).tolist():
        found += [(product, column, row, rank) for product, row, rank in extend(column)]
    found.sort(key=lambda item: -item[0])
    rows = []
    for _, column, row, rank in found[:k]:
        path, signed = [str(ids[sources[column]])], 1.0
        at: tuple[int, int] | None = (row, rank)
        while at is not None:
            signed *= share[at[0], column]
            path.append(str(targets[at[0]]))
            # The first columns are the features, in the order of the first rows.
            column, at = at[0], via[at]
        rows.append({"path": path, "share": signed, "length": len(path) - 1})
    return pd.DataFrame(rows, columns=["path", "share", "length"])
