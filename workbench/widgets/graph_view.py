"""What of a graph goes over the wire: the nodes and edges to draw, and the connections of one node on request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution import Graph
from workbench.attribution.graph import KINDS
from workbench.widgets.kit.binary import Column

# As many rows as anyone reads; the totals count the rest.
CONNECTIONS = 200


@dataclass(frozen=True)
class DrawnGraph:
    """The part of a graph that travels with the widget.

    Attributes:
        nodes: columns of the drawn nodes, in the order of ``graph.nodes``; ``cumulative`` as in :func:`cumulative`.
        edges: columns of the drawn edges, the most influential first; ``source`` and ``target`` count drawn nodes.
    """

    nodes: dict[str, Column]
    edges: dict[str, Column]


def drawn_graph(
    graph: Graph,
    *,
    max_nodes: int,
    max_edges: int,
    keep: Collection[str] = (),
    density: Mapping[tuple[int, int], float] | None = None,
) -> DrawnGraph:
    """Choose the most influential nodes, and of the edges between them the most influential ones.

    Args:
        max_nodes: the largest number of nodes; token and logit nodes and those in ``keep`` are there in any case.
        keep: ids of nodes that must be there.
        density: (layer, feature) → share of the tokens at which it fires; NaN for what is not in it.
    """
    rows = _chosen_rows(graph, max_nodes, keep)
    nodes = graph.nodes.iloc[rows]
    columns: dict[str, Column] = {
        "node_id": nodes["node_id"].tolist(),
        "kind": nodes["kind"].cat.codes.to_numpy().astype(np.uint8),
        "label": nodes["label"].tolist(),
        "token": nodes["token"].astype(str).tolist(),
        "cumulative": cumulative(graph)[rows],
        "density": _densities(nodes, density or {}),
    }
    for name in ("layer", "position", "feature", "activation", "influence", "probability"):
        columns[name] = nodes[name].to_numpy()

    is_drawn = np.zeros(len(graph.nodes), dtype=bool)
    is_drawn[rows] = True
    targets = torch.from_numpy(np.flatnonzero(is_drawn[graph.target_index]))
    sources = torch.from_numpy(np.flatnonzero(is_drawn[graph.source_index]))
    edges = edges_between(graph, targets, sources, limit=max_edges)
    place = np.cumsum(is_drawn) - 1
    return DrawnGraph(
        nodes=columns,
        edges={
            "source": place[edges["source"].to_numpy()],
            "target": place[edges["target"].to_numpy()],
            "weight": edges["weight"].to_numpy(),
            "share": edges["share"].to_numpy(),
        },
    )


def cumulative(graph: Graph) -> Float[np.ndarray, " node"]:
    """Return for every node the node threshold above which pruning keeps it.

    Nodes are taken by influence, the largest first, until they carry the threshold's share of the total; a node's
    value is the share of those before it. Biases take no part in the total, tokens and logits are always kept (0).
    Unlike ``Graph.prune`` by default, errors are judged by their influence too: hundreds of them would hide the rest.
    """
    kind = graph.nodes["kind"].to_numpy()
    score = graph.nodes["influence"].to_numpy(np.float64)
    ranked = np.sort(score[(kind != "bias") & (kind != "logit") & (score > 0)])[::-1]
    before = np.concatenate([[0.0], np.cumsum(ranked)])
    # Nodes of equal influence are kept together.
    larger = len(ranked) - np.searchsorted(ranked[::-1], score, side="right")
    share: np.ndarray = before[larger] / max(before[-1], 1e-10)
    share[score <= 0] = 1.0
    share[(kind == "token") | (kind == "logit")] = 0.0
    return share.astype(np.float32)


def edges_between(
    graph: Graph,
    targets: Int[Tensor, " target"],
    sources: Int[Tensor, " source"],
    *,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return the edges between some rows and columns of ``graph.weights``, the most influential first.

    Unlike ``graph.edges`` this reads no more of the matrix than it is asked for.

    Args:
        limit: how many edges, None for all.

    Returns:
        Columns source and target (rows of ``graph.nodes``), weight, share, influence.
    """
    weights = graph.weights[targets][:, sources].float()
    share = weights / graph.incoming[targets].float().clamp_min(1e-10)[:, None]
    score = share.abs() * reach(graph)[targets][:, None]
    found = weights.flatten().nonzero().squeeze(1)
    order = score.flatten()[found].argsort(descending=True, stable=True)[:limit]
    at = found[order]
    row, column = at // max(len(sources), 1), at % max(len(sources), 1)
    return pd.DataFrame(
        {
            "source": graph.source_index[sources[column].numpy()],
            "target": graph.target_index[targets[row].numpy()],
            "weight": weights.flatten()[at].numpy(),
            "share": share.flatten()[at].numpy(),
            "influence": score.flatten()[at].numpy(),
        }
    )


def reach(graph: Graph) -> Float[Tensor, " target"]:
    """Return what an input of each target counts for: a feature's influence, a logit's probability."""
    influence = torch.from_numpy(graph.nodes["influence"].to_numpy(np.float32)[graph.target_index].copy())
    influence[graph.n_features :] = graph.probability.float()
    return influence


def connections(graph: Graph, row: int, *, limit: int = CONNECTIONS) -> dict[str, Any]:
    """Return the edges into and out of a node, from the whole graph, as JSON.

    Args:
        row: the node's row in ``graph.nodes``.
        limit: how many edges each way: those with the largest |share|.

    Returns:
        ``node``: the node's facts; ``incoming`` and ``outgoing``: ``ids``, ``weight``, ``share`` (sorted by signed
        share), ``total`` (how many edges there are), ``positive`` and ``negative`` (sums of all shares); ``others``:
        the facts of every node at the other ends.
    """
    of_source, of_target = graph.source_index, graph.target_index
    column, target = np.flatnonzero(of_source == row), np.flatnonzero(of_target == row)
    everything = torch.arange(len(of_target)), torch.arange(len(of_source))
    incoming = edges_between(graph, torch.from_numpy(target), everything[1])
    outgoing = edges_between(graph, everything[0], torch.from_numpy(column))
    ends = {
        "incoming": _strongest(graph, incoming, "source", limit),
        "outgoing": _strongest(graph, outgoing, "target", limit),
    }
    others = np.unique(np.concatenate([end.pop("rows") for end in ends.values()])).astype(int)
    return {"node": node_facts(graph, row), **ends, "others": [node_facts(graph, int(other)) for other in others]}


def node_facts(graph: Graph, row: int) -> dict[str, Any]:
    """Return a node's row as JSON; what a kind of node does not have is None."""
    node = graph.nodes.iloc[row]
    numbers = {name: float(node[name]) for name in ("activation", "influence", "probability")}
    return {
        "id": str(node["node_id"]),
        "kind": KINDS.index(node["kind"]),
        "layer": int(node["layer"]),
        "position": int(node["position"]),
        "feature": int(node["feature"]),
        "token": str(node["token"]),
        "label": str(node["label"]),
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
    }


def _chosen_rows(graph: Graph, max_nodes: int, keep: Collection[str]) -> Int[np.ndarray, " drawn"]:
    nodes = graph.nodes
    fixed = (nodes["kind"].isin(("token", "logit")) | nodes["node_id"].isin(list(keep))).to_numpy()
    others = np.flatnonzero(~fixed)
    by_influence = others[np.argsort(-nodes["influence"].to_numpy()[others], kind="stable")]
    free = max(max_nodes - int(fixed.sum()), 0)
    return np.sort(np.concatenate([np.flatnonzero(fixed), by_influence[:free]]))


def _densities(nodes: pd.DataFrame, density: Mapping[tuple[int, int], float]) -> Float[np.ndarray, " drawn"]:
    keys = zip(nodes["layer"].tolist(), nodes["feature"].tolist(), strict=True)
    return np.array([density.get(key, np.nan) for key in keys], dtype=np.float32)


def _strongest(graph: Graph, edges: pd.DataFrame, end: str, limit: int) -> dict[str, Any]:
    share = edges["share"].to_numpy()
    rows = edges.iloc[np.argsort(-np.abs(share), kind="stable")[:limit]].sort_values("share", ascending=False)
    ends = rows[end].to_numpy()
    return {
        "rows": ends,
        "ids": graph.nodes["node_id"].iloc[ends].tolist(),
        "weight": rows["weight"].tolist(),
        "share": rows["share"].tolist(),
        "total": len(edges),
        "positive": float(share[share > 0].sum()),
        "negative": float(share[share < 0].sum()),
    }
