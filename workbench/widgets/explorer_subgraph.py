"""The explorer's subgraph: the pinned nodes and the supernodes as cards, what runs between them, what they explain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.attribution import Graph
from workbench.attribution.supernodes import suggest_supernodes
from workbench.clt import CLT
from workbench.widgets.kit.plain import plain_json

# A card's key is a node id, or this and the name of a supernode: no id begins so.
_GROUP = "s/"
# More groups than these are no overview.
SUGGESTED = 8


def card_edges(graph: Graph, pinned: Iterable[str], groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the edges between the cards of a subgraph, summed over the members of supernodes.

    Args:
        pinned: node ids; one that is in a supernode has no card of its own.
        groups: the supernodes: name → node ids.

    Returns:
        Columns as of :func:`~workbench.attribution.supernodes.supernode_edges`; ``source`` and ``target`` are node
        ids, or ``s/`` and the name of a supernode.

    Raises:
        ConfigError: an id is unknown, or a node is in two groups.
    """
    keyed = {f"{_GROUP}{name}": ids for name, ids in groups.items()}
    grouped = {node_id for ids in groups.values() for node_id in ids}
    cards = [*keyed, *(node_id for node_id in pinned if node_id not in grouped)]
    edges = graph.with_supernodes(keyed).supernode_edges()
    return edges[edges["source"].isin(cards) & edges["target"].isin(cards)].reset_index(drop=True)


def subgraph_edges(graph: Graph, pinned: Iterable[str], groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return what :func:`card_edges` does, with the names of supernodes as they are."""
    edges = card_edges(graph, pinned, groups)
    plain = {end: edges[end].astype(str).str.removeprefix(_GROUP) for end in ("source", "target")}
    return edges.assign(**plain)


def subgraph_answer(graph: Graph, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of a subgraph and the edges between its cards, as JSON.

    Args:
        params: ``pinned`` (node ids) and ``supernodes`` (a list of ``{"name", "ids"}``).

    Raises:
        ConfigError: an id is unknown, or a node is in two groups.
    """
    pinned = [str(node_id) for node_id in params.get("pinned", ())]
    groups = {str(group["name"]): [str(node) for node in group["ids"]] for group in params.get("supernodes", ())}
    scores = graph.subgraph_scores([*pinned, *(node_id for ids in groups.values() for node_id in ids)])
    edges = card_edges(graph, pinned, groups)
    answer: dict[str, Any] = plain_json(
        {
            "replacement": scores.replacement,
            "completeness": scores.completeness,
            "edges": {name: edges[name].tolist() for name in ("source", "target", "weight", "share", "edges")},
        }
    )
    return answer


def suggested_groups(graph: Graph, clt: CLT | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return supernodes that seem to make sense, the most influential first, as ``[{"name", "ids"}]``.

    Args:
        clt: the transcoder of the graph, whose decoders then count too.
        params: ``among``: the node ids to group; none for the features of the whole graph.

    Raises:
        ConfigError: the graph has too many features.
        CLTError: the CLT does not have the features of the graph.
    """
    among = {str(node_id) for node_id in params.get("among", ())}
    groups = suggest_supernodes(graph, clt=clt, k=None if among else SUGGESTED)
    kept = [
        {"name": name, "ids": [node_id for node_id in ids if not among or node_id in among]}
        for name, ids in groups.items()
    ]
    return [group for group in kept if len(group["ids"]) > 1][:SUGGESTED]
