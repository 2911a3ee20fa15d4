"""The best paths between nodes, as the graph explorer's pane asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from workbench.attribution import Graph
from workbench.attribution.paths import strongest_paths
from workbench.errors import ConfigError
from workbench.widgets.graph_view import node_facts

# As many as anyone compares by eye.
MOST_PATHS = 50


def checked_query(graph: Graph, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question for paths with everything that it leaves out.

    Args:
        query: ``source`` and ``target`` (lists of node ids; no source means all tokens, no target the most probable
            output), ``k`` (from 1 to 50, by default 5) and ``sign`` (``"+"``, ``"-"`` or None for any).

    Raises:
        ConfigError: there is another key, a node is not in the graph, or k or the sign cannot be used.
    """
    unknown = query.keys() - {"source", "target", "k", "sign"}
    if unknown:
        raise ConfigError(f"Paths have no {min(unknown)!r}: give source, target, k and sign.")
    source, target = (graph.select(query.get(end) or ())["node_id"].tolist() for end in ("source", "target"))
    k, sign = int(query.get("k", 5)), query.get("sign")
    if not 1 <= k <= MOST_PATHS:
        raise ConfigError(f"{k} paths were asked for: ask for 1 to {MOST_PATHS}.")
    if sign not in (None, "+", "-"):
        raise ConfigError(f"The sign {sign!r} is unknown: give '+', '-' or None.")
    return {"source": source, "target": target, "k": k, "sign": sign}


def paths_of(graph: Graph, query: Mapping[str, Any]) -> pd.DataFrame:
    """Return the best paths as a table; see :func:`workbench.attribution.paths.strongest_paths`.

    Args:
        query: as in :func:`checked_query`.

    Raises:
        ConfigError: the query cannot be used, or a target is no feature or logit.
    """
    wanted = checked_query(graph, query)
    return strongest_paths(
        graph, source=wanted["source"] or None, target=wanted["target"] or None, k=wanted["k"], sign=wanted["sign"]
    )


def best_paths(graph: Graph, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the best paths from some nodes to others, from the whole graph, as JSON.

    Args:
        query: as in :func:`checked_query`.

    Returns:
        ``paths``, the best first: ``ids`` from source to target, ``share`` (the signed product of the edges'
        shares) and ``edges`` (each edge's signed share); ``nodes``: the facts of every node on them.

    Raises:
        ConfigError: the query cannot be used, or a target is no feature or logit.
    """
    table = paths_of(graph, query)
    share = _shares(graph)
    paths = [
        {"ids": path, "share": product, "edges": [share(*edge) for edge in pairwise(path)]}
        for path, product in zip(table["path"].tolist(), table["share"].tolist(), strict=True)
    ]
    on_paths = dict.fromkeys(node for path in paths for node in path["ids"])
    return {"paths": paths, "nodes": [node_facts(graph, int(graph.row_of_node[node])) for node in on_paths]}


def _shares(graph: Graph) -> Callable[[str, str], float]:
    """Return a function of the ids of an edge's source and target: its signed share of the target's input."""
    row_of, targets, sources = graph.row_of_node, graph.target_index, graph.source_index

    def share(source: str, target: str) -> float:
        row, column = int(targets.searchsorted(row_of[target])), int(sources.searchsorted(row_of[source]))
        return float(graph.weights[row, column]) / max(float(graph.incoming[row]), 1e-10)

    return share
