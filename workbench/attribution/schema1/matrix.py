"""The links of a file as a dense matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.attribution.schema1.check import Links, Node
from workbench.errors import FormatError
from workbench.memory import require_memory


def matrix_of(nodes: Sequence[Node], links: Links) -> tuple[Float[Tensor, "target source"], int]:
    """Return the dense matrix, and how many links could be of a feature or of an error.

    Args:
        nodes: features, errors, tokens, logits, in this order.

    Raises:
        FormatError: a link ends nowhere, points backwards or stands there twice.
        ResourceError: memory will not hold the matrix.
    """
    sources = [node for node in nodes if node.kind != "logit"]
    targets = [node for node in nodes if node.kind in ("feature", "logit")]
    require_memory(
        4 * len(sources) * len(targets),
        f"A graph of {len(targets):,} targets × {len(sources):,} sources",
        "prune the graph before it is written",
    )
    columns: dict[str, list[int]] = {}
    for at, node in enumerate(sources):
        columns.setdefault(node.name, []).append(at)
    rows = {node.name: at for at, node in enumerate(targets)}
    try:
        # A feature comes before an error of the same id, because features are sorted first.
        column = np.array([columns[name][0] for name in links.source], dtype=np.int64)
        row = np.array([rows[name] for name in links.target], dtype=np.int64)
    except KeyError as error:
        raise FormatError(_dangling(links, columns, rows, {node.name: node.kind for node in nodes})) from error
    ambiguous = _resolve_shared(links, columns, column, row, sources, targets)
    pairs, first, counts = np.unique(row * max(len(sources), 1) + column, return_index=True, return_counts=True)
    if len(pairs) < len(column):
        at = int(first[np.flatnonzero(counts > 1)[0]])
        raise FormatError(f"The link from {links.source[at]!r} to {links.target[at]!r} stands in the graph twice.")
    _check_forward(links, column, row, sources, targets)
    weights = torch.zeros(len(targets), len(sources))
    weights[torch.from_numpy(row), torch.from_numpy(column)] = torch.from_numpy(links.weight)
    return weights, ambiguous


def _resolve_shared(
    links: Links,
    columns: Mapping[str, list[int]],
    column: np.ndarray,
    row: np.ndarray,
    sources: Sequence[Node],
    targets: Sequence[Node],
) -> int:
    """Give links from ids that a feature and an error share to one of them; return how many were left to the rule."""
    shared = {name: pair for name, pair in columns.items() if len(pair) > 1}
    if not shared:
        return 0
    # By (id, row): whether one link has come, which the feature got and the error could have had.
    open_: dict[tuple[str, int], bool] = {}
    for at, name in enumerate(links.source):
        if name in shared:
            key, error = (name, int(row[at])), shared[name][1]
            if open_.get(key):
                column[at] = error
                open_[key] = False
            elif key not in open_:
                open_[key] = sources[error].layer < targets[row[at]].layer
    return sum(open_.values())


def _dangling(links: Links, columns: Mapping[str, list[int]], rows: Mapping[str, int], kinds: Mapping[str, str]) -> str:
    for at, (source, target) in enumerate(zip(links.source, links.target, strict=True)):
        for end, name, known in (("source", source, columns), ("target", target, rows)):
            if name not in known:
                what = (
                    f"a node of kind {kinds[name]!r}, which cannot be one" if name in kinds else "no node of the graph"
                )
                return f"links[{at}].{end} is {name!r}, {what}."
    raise AssertionError("only called when a link dangles")


def _check_forward(
    links: Links, column: np.ndarray, row: np.ndarray, sources: Sequence[Node], targets: Sequence[Node]
) -> None:
    """Check that features point to higher layers only: influence and paths run once from the top down."""
    source_layer = np.array([node.layer if node.kind == "feature" else -1 for node in sources], dtype=np.int64)
    top = 1 + max((node.layer for node in (*sources, *targets)), default=0)
    target_layer = np.array([node.layer if node.kind == "feature" else top for node in targets], dtype=np.int64)
    backward = source_layer[column] >= target_layer[row]
    if backward.any():
        at = int(np.flatnonzero(backward)[0])
        raise FormatError(
            f"links[{at}] goes from {links.source[at]!r} to {links.target[at]!r}, which lies no higher: "
            "features act on higher layers only."
        )
