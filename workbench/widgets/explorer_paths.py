"""The best paths between nodes, as the graph explorer's pane asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from workbench.attribution import Graph
from workbench.attribution.paths import strongest_paths
from workbench.errors import ConfigError
from workbench.widgets.graph_view import node_facts

# As many as anyone compares by eye.
MOST_PATHS = 50


def best_paths(graph: Graph, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the best paths from some nodes to others, from the whole graph, as JSON.

    Args:
        params: ``source`` and ``target`` (lists of node ids; an empty source means all tokens, an empty target the
            most probable output), ``k`` (from 1 to 50) and ``sign`` (``"+"``, ``"-"`` or None for any).

    Returns:
        ``paths``, the best first: ``ids`` from source to target, ``share`` (the signed product of the edges'
        shares) and ``edges`` (each edge's signed share); ``nodes``: the facts of every node on them.

    Raises:
        ConfigError: a node is not in the graph, a target is no feature or logit, or an option cannot be used.
    """
    k = int(params.get("k", 5))
    if k > MOST_PATHS:
        raise ConfigError(f"{k} paths were asked for: ask for at most {MOST_PATHS}.")
    table = strongest_paths(
        graph,
        source=_ids(params.get("source")) or None,
        target=_ids(params.get("target")) or None,
        k=k,
        sign=params.get("sign"),
    )
    share = _shares(graph)
    paths = [
        {"ids": path, "share": product, "edges": [share(*edge) for edge in pairwise(path)]}
        for path, product in zip(table["path"].tolist(), table["share"].tolist(), strict=True)
    ]
    on_paths = dict.fromkeys(node for path in paths for node in path["ids"])
    return {"paths": paths, "nodes": [node_facts(graph, int(graph.row_of_node[node])) for node in on_paths]}


def _ids(nodes: Sequence[str] | None) -> list[str]:
    return [str(node) for node in nodes or ()]


def _shares(graph: Graph) -> Callable[[str, str], float]:
    """Return a function of the ids of an edge's source and target: its signed share of the target's input."""
    row_of, targets, sources = graph.row_of_node, graph.target_index, graph.source_index

    def share(source: str, target: str) -> float:
        row, column = int(targets.searchsorted(row_of[target])), int(sources.searchsorted(row_of[source]))
        return float(graph.weights[row, column]) / max(float(graph.incoming[row]), 1e-10)

    return share
