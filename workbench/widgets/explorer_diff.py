"""How another graph differs, as the graph explorer shows it: the nodes that changed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.attribution import Graph
from workbench.attribution.difference import GraphDifference
from workbench.attribution.graph import KINDS
from workbench.errors import ConfigError
from workbench.widgets.kit.binary import Column

# As many rows as anyone reads; the counts tell of the rest.
CHANGES = 500
PLACES = ("both", "a", "b")
"""Where a node is: in both graphs, in the one that is explored alone, in the other one alone."""


@dataclass(frozen=True)
class DrawnDifference:
    """The part of a difference that travels with the widget.

    Attributes:
        nodes: columns of the nodes that changed most, the largest change first: ``node_id`` (as ``node`` in
            ``GraphDifference.nodes``), ``where`` (counts in :data:`PLACES`), ``kind, layer, feature, position_a,
            position_b, token_a, token_b, label``, and ``value_a``, ``value_b``: the influence in each graph, of an
            output its probability; NaN where a pruned graph leaves it unknown.
        info: what is said of the whole: ``prompt`` and ``tokens`` of the other graph, ``counts`` of nodes by where
            they are, and ``same_features``: whether features were compared at all.
    """

    nodes: dict[str, Column]
    info: dict[str, Any]


def difference_from(graph: Graph, other: Graph | GraphDifference) -> GraphDifference:
    """Return the difference of a graph and another one, computed where it is not given.

    Raises:
        ConfigError: a given difference is that of another graph, or the graphs cannot be compared.
    """
    if isinstance(other, Graph):
        return graph.difference(other)
    if other.a.token_ids != graph.token_ids:
        raise ConfigError(
            f"The difference begins at the graph of {other.a.prompt!r}, not at that of {graph.prompt!r}: "
            "give graph.difference(other)."
        )
    return other


def drawn_difference(difference: GraphDifference, *, limit: int = CHANGES) -> DrawnDifference:
    """Choose the nodes whose influence, or as outputs whose probability, changed most between two graphs.

    Args:
        limit: how many.
    """
    table = difference.nodes
    values = {side: _values(table, side) for side in "ab"}
    known = {side: value.fillna(0).to_numpy(np.float64) for side, value in values.items()}
    # What counts for nothing in either graph has changed nothing.
    counts = table["where"][(known["a"] != 0) | (known["b"] != 0)].value_counts()
    order = np.argsort(-np.abs(known["b"] - known["a"]), kind="stable")[:limit]
    order = order[(known["a"] != known["b"])[order]]
    shown = table.iloc[order]
    nodes: dict[str, Column] = {
        "node_id": shown["node"].tolist(),
        "where": shown["where"].map(PLACES.index).to_numpy(np.uint8),
        "kind": shown["kind"].map(KINDS.index).to_numpy(np.uint8),
        **{name: shown[name].fillna("").tolist() for name in ("token_a", "token_b", "label")},
        **{name: shown[name].to_numpy(np.int32) for name in ("layer", "feature", "position_a", "position_b")},
        **{f"value_{side}": values[side].iloc[order].to_numpy(np.float32) for side in "ab"},
    }
    info = {
        "prompt": difference.b.prompt,
        "tokens": list(difference.b.tokens),
        "counts": {place: int(counts.get(place, 0)) for place in PLACES},
        "same_features": difference.same_features,
    }
    return DrawnDifference(nodes, info)


def _values(table: pd.DataFrame, side: str) -> pd.Series[float]:
    """Return a node's influence in one of the graphs; outputs have none and count with their probability."""
    return table[f"influence_{side}"].where(table["kind"] != "logit", table[f"probability_{side}"])
