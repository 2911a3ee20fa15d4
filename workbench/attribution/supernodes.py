"""Supernodes: features that play the same part, grouped, named, and the edges between the groups.

Source of the idea: Ameisen et al., "Circuit Tracing" (2025), section "Grouping features into supernodes", where
groups are made by hand. What is suggested here is a first draft: read the members before a claim rests on a group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.attribution.clustering import average_linkage, cut
from workbench.attribution.graph import Graph
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError

SIMILARITY = 0.5
# Similarities of more pairs than this take gigabytes and minutes; a picture of so many features shows nothing.
MAX_FEATURES = 4000
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def suggest_supernodes(
    graph: Graph, *, clt: CLT | None = None, k: int | None = None, similarity: float = SIMILARITY
) -> dict[str, list[str]]:
    """Return groups of features that seem to play the same part, by name, the most influential group first.

    Two features are as similar as the mean of these cosines:

    - of their inputs: the signed shares that the features, errors and tokens have in each;
    - of their outputs: the signed shares that each has in the features and logits above;
    - of their decoders, summed over the layers that they write to, where a CLT is given.

    Features that stand neither at the same position nor in the same or neighbouring layers count as not similar.
    Groups are built by average linkage as long as their mean similarity is at least ``similarity``. Features that
    are like no other are in no group. The same graph gives the same groups, in whatever order its nodes stand.

    A group is named by the terms of its members' labels and by their tokens, each weighted by influence, so label
    the graph first (``bench.label(graph)``); without labels the layers stand in the name::

        groups = suggest_supernodes(graph, clt=bench.clt)
        graph = with_supernodes(graph, groups)

    Args:
        graph: a pruned graph of at most 4,000 features.
        clt: the transcoder of the graph.
        k: how many groups at most, the most influential ones; None for all.
        similarity: from −1 to 1; the higher, the smaller the groups.

    Raises:
        ConfigError: the graph has too many features, or an option cannot be used.
        CLTError: the CLT does not have the features of the graph.
    """
    if k is not None and k < 1:
        raise ConfigError(f"{k} supernodes were asked for: ask for at least 1.")
    if not -1 <= similarity <= 1:
        raise ConfigError(f"The similarity is {similarity}, but it is a cosine: give a number from -1 to 1.")
    if graph.n_features > MAX_FEATURES:
        raise ConfigError(
            f"The graph has {graph.n_features:,} features, too many to compare all pairs (the limit is "
            f"{MAX_FEATURES:,}): prune it first."
        )
    nodes = graph.nodes
    order = _canonical(nodes.iloc[: graph.n_features])
    features = nodes.iloc[order]
    near = _similarity(graph, features, order, clt)
    labels = cut(average_linkage(near), len(features), similarity=similarity)
    weight = features["influence"].to_numpy(np.float64)
    groups = [np.flatnonzero(labels == label) for label in range(int(labels.max(initial=-1)) + 1)]
    groups = sorted((group for group in groups if len(group) > 1), key=lambda group: -weight[group].sum())[:k]
    named: dict[str, list[str]] = {}
    for group in groups:
        members = features.iloc[group]
        named[_unique(supernode_name(members), named)] = members["node_id"].astype(str).tolist()
    return named


def _canonical(nodes: pd.DataFrame) -> Int[np.ndarray, " node"]:
    """Return an order of nodes that does not depend on the order of the table, so that sums are bitwise the same."""
    columns = [nodes[name].to_numpy() for name in ("node_id", "position", "layer")]
    return np.lexsort((columns[0].astype(str), columns[1], columns[2], nodes["kind"].cat.codes.to_numpy()))


def _similarity(
    graph: Graph, features: pd.DataFrame, order: Int[np.ndarray, " feature"], clt: CLT | None
) -> Float[np.ndarray, "feature feature"]:
    share = (graph.weights / graph.incoming[:, None].clamp_min(1e-10)).double()
    sources, targets = graph.nodes.iloc[graph.source_index], graph.nodes.iloc[graph.target_index]
    columns = _canonical(sources)
    columns = columns[(sources["kind"] != "bias").to_numpy()[columns]]
    rows = _canonical(targets)
    # The first rows and columns of the matrix are the features.
    incoming = share[torch.from_numpy(order)][:, torch.from_numpy(columns)]
    outgoing = share[torch.from_numpy(rows)][:, torch.from_numpy(order)].T
    cosines = [_cosines(incoming), _cosines(outgoing)]
    if clt is not None:
        cosines.append(_cosines(_decoders(clt, features)))
    near: np.ndarray = torch.stack(cosines).mean(dim=0).numpy()
    near[~_comparable(features)] = 0.0
    return near


def _cosines(rows: Float[Tensor, "feature _"]) -> Float[Tensor, "feature feature"]:
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
    cosines: Tensor = unit @ unit.T
    return cosines


def _decoders(clt: CLT, features: pd.DataFrame) -> Float[Tensor, "feature d_model"]:
    layer, feature = (torch.from_numpy(features[name].to_numpy(np.int64)) for name in ("layer", "feature"))
    if len(features) and (int(layer.max()) >= clt.n_layers or int(feature.max()) >= clt.n_features):
        raise CLTError(
            f"The graph has features up to layer {int(layer.max())}, index {int(feature.max())}, but the CLT has "
            f"{clt.n_layers} layers of {clt.n_features}: give the CLT that the graph was made with."
        )
    rows = torch.empty(len(features), clt.config.d_model, dtype=torch.float64)
    for source in layer.unique().tolist():  # type: ignore[no-untyped-call]
        here = layer == source
        rows[here] = clt.W_dec[source][feature[here]].sum(dim=1).double().cpu()
    return rows


def _comparable(features: pd.DataFrame) -> Bool[np.ndarray, "feature feature"]:
    layer, position = features["layer"].to_numpy(), features["position"].to_numpy()
    comparable: np.ndarray = (position[:, None] == position) | (np.abs(layer[:, None] - layer) <= 1)
    return comparable


def supernode_name(members: pd.DataFrame) -> str:
    """Return a name for a group: the two weightiest terms of the members' labels, and their tokens.

    A label's terms are what stands in quotes in it, or the whole label; without labels the layers take their place.

    Args:
        members: rows of ``graph.nodes``.
    """
    weight = members["influence"].to_numpy(np.float64)
    terms = [_QUOTED.findall(label) or [label] for label in members["label"].astype(str)]
    what = _weightiest(terms, weight, " ")
    if what:
        what = f"→ {what}" if any(_QUOTED.search(label) for label in members["label"].astype(str)) else what
    else:
        low, high = int(members["layer"].min()), int(members["layer"].max())
        what = f"layer {low}" if low == high else f"layers {low}–{high}"
    where = _weightiest([[repr(token)] for token in members["token"].astype(str)], weight, ", ")
    return f"{what} at {where}"


def _weightiest(terms: list[list[str]], weight: Float[np.ndarray, " member"], separator: str) -> str:
    """Join the two terms with the largest total weight; an ellipsis stands for more."""
    total: dict[str, float] = {}
    for own, value in zip(terms, weight, strict=True):
        for term in dict.fromkeys(own):
            if term:
                total[term] = total.get(term, 0.0) + float(value)
    ranked = sorted(total, key=lambda term: (-total[term], term))
    return separator.join(ranked[:2]) + (" …" if len(ranked) > 2 else "")


def _unique(name: str, taken: Iterable[str]) -> str:
    candidates = [name, *(f"{name} ({number})" for number in range(2, len(list(taken)) + 2))]
    return next(candidate for candidate in candidates if candidate not in set(taken))


def with_supernodes(graph: Graph, groups: Mapping[str, Iterable[str]]) -> Graph:
    """Return the graph with these supernodes, name → node ids, in the column ``supernode``, and no others.

    Raises:
        ConfigError: a name is empty, an id is unknown, or a node is in two groups.
    """
    column = np.full(len(graph.nodes), "", dtype=object)
    for name, members in groups.items():
        if not name:
            raise ConfigError("A supernode has an empty name: give it one.")
        if isinstance(members, str):
            raise ConfigError(f"The supernode {name!r} has a text for its members: give a list of node ids.")
        rows = graph.row_of_node.loc[graph.select(members)["node_id"]].to_numpy(np.int64)
        twice = rows[(column[rows] != "") & (column[rows] != name)]
        if len(twice):
            raise ConfigError(
                f"The node {graph.nodes['node_id'].iloc[twice[0]]!r} is in the supernodes {column[twice[0]]!r} and "
                f"{name!r}: leave it out of one."
            )
        column[rows] = name
    return replace(graph, nodes=graph.nodes.assign(supernode=column))


def supernode_edges(graph: Graph) -> pd.DataFrame:
    """Return the edges between supernodes: the edges between their members, summed.

    A node in no supernode is a group of its own, under its id. Edges inside a group are left out, so that a group
    is explained by what is outside it; two groups can point at each other, where their layers overlap.

    Returns:
        ``source`` and ``target`` (names of supernodes, or node ids), ``weight`` (the sum), ``share`` (the sum over
        Σ|weight| of what the target's members receive from features, errors and tokens outside the target, in the
        unpruned graph) and ``edges`` (how many were summed); the largest |share| first. Positive and negative
        edges cancel in the sum.
    """
    nodes = graph.nodes
    name = nodes["supernode"].astype(object).where(nodes["supernode"].astype(str) != "", nodes["node_id"])
    code, names = pd.factorize(name)
    of_target, of_source = (torch.from_numpy(code[index]) for index in (graph.target_index, graph.source_index))
    target, source = graph.weights.nonzero(as_tuple=True)
    weight = graph.weights[target, source].double()
    inside = of_target[target] == of_source[source]
    is_bias = torch.from_numpy((nodes["kind"] == "bias").to_numpy()[graph.source_index])[source]
    total = torch.zeros(len(names), dtype=torch.float64).index_add_(0, of_target, graph.incoming.double())
    internal = inside & ~is_bias
    total.index_add_(0, of_target[target[internal]], -weight[internal].abs())

    table = pd.DataFrame(
        {
            "source": of_source[source[~inside]].numpy(),
            "target": of_target[target[~inside]].numpy(),
            "weight": weight[~inside].numpy(),
        }
    )
    table = table.groupby(["source", "target"], as_index=False).agg(weight=("weight", "sum"), edges=("weight", "size"))
    table["share"] = table["weight"] / total.numpy()[table["target"].to_numpy()].clip(1e-10)
    table = table.iloc[np.argsort(-table["share"].abs().to_numpy(), kind="stable")]
    categories = pd.Index(names)
    return pd.DataFrame(
        {
            "source": pd.Categorical.from_codes(table["source"].to_numpy(), categories=categories),
            "target": pd.Categorical.from_codes(table["target"].to_numpy(), categories=categories),
            "weight": table["weight"].to_numpy(np.float32),
            "share": table["share"].to_numpy(np.float32),
            "edges": table["edges"].to_numpy(np.int32),
        }
    )
