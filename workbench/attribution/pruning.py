"""Pruning: the nodes and edges that carry a share of the influence.

Source: Ameisen et al., "Circuit Tracing" (2025), appendix "Graph pruning".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from workbench.attribution.graph import Graph
from workbench.attribution.influence import influence, threshold_of
from workbench.errors import ConfigError


def prune(graph: Graph, node_threshold: float, edge_threshold: float, *, keep_errors: bool) -> Graph:
    """Return the graph of the most influential nodes and edges; see ``Graph.prune``."""
    for name, value in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"The {name} is {value}, but it is a share of the influence: give a number from 0 to 1.")
    # Of the first graph, when a pruned one is pruned again.
    total = graph.info.get("total_influence")
    thresholds = {"node_threshold": node_threshold, "edge_threshold": edge_threshold}
    info = {**graph.info, **thresholds, "total_influence": _total_influence(graph) if total is None else total}
    if node_threshold == edge_threshold == 1:
        return replace(graph, info=info)
    candidates = _influential(graph, node_threshold, keep_errors=keep_errors)

    # From here on the matrix holds the kept nodes alone, a small part of the whole.
    kinds = candidates.nodes["kind"].to_numpy()
    source_kind = kinds[candidates.source_index]
    n_features, weights = candidates.n_features, candidates.weights
    is_bias = torch.from_numpy(source_kind == "bias")
    fixed = torch.from_numpy((source_kind == "token") | ((source_kind == "error") & keep_errors))
    # Biases take no part in the normalisation; their edges are measured against the same denominators.
    absolute = weights.abs()
    unbiased = absolute.masked_fill(is_bias, 0)
    totals = unbiased.sum(dim=1, keepdim=True).clamp_min(1e-10)
    logit_weights = candidates.probability
    through = influence(unbiased / totals, candidates.feature_layer, logit_weights)[:n_features]
    edge_influence = absolute / totals * torch.cat([through, logit_weights])[:, None]
    limit = threshold_of(edge_influence[:, ~is_bias].flatten(), edge_threshold)
    keep_edge = (edge_influence >= limit) & (weights != 0)

    # A feature without an edge out explains nothing, one without an edge in is explained by nothing.
    keep_source = torch.ones(len(source_kind), dtype=torch.bool)
    keep_target = torch.ones(len(weights), dtype=torch.bool)
    while True:
        remaining = keep_source & (keep_edge.any(dim=0) | fixed)
        remaining[:n_features] &= keep_edge.any(dim=1)[:n_features]
        if bool((remaining == keep_source).all()):
            break
        keep_source = remaining
        keep_target[:n_features] = keep_source[:n_features]
        keep_edge &= keep_source & keep_target[:, None]
    return _select(replace(candidates, weights=weights * keep_edge, info=info), keep_source.numpy())


def _total_influence(graph: Graph) -> float:
    """Return the influence of all features, errors and tokens together."""
    counted = graph.nodes["kind"].isin(("feature", "error", "token"))
    return float(graph.nodes.loc[counted, "influence"].sum())


def _influential(graph: Graph, threshold: float, *, keep_errors: bool) -> Graph:
    """Return the graph of the nodes that carry a share of all nodes' influence."""
    kind = graph.nodes["kind"].to_numpy()[graph.source_index]
    score = torch.from_numpy(graph.nodes["influence"].to_numpy(np.float32, copy=True)[graph.source_index])
    limit = threshold_of(score[torch.from_numpy(kind != "bias")], threshold)
    fixed = (kind == "token") | ((kind == "error") & keep_errors)
    return _select(graph, (score.numpy() >= limit) | fixed)


def _select(graph: Graph, keep_source: np.ndarray) -> Graph:
    """Return the graph of some sources; the logits stay."""
    n_features = graph.n_features
    rows = np.zeros(len(graph.nodes), dtype=bool)
    rows[graph.source_index[keep_source]] = True
    rows[graph.target_index[n_features:]] = True
    keep_target = np.concatenate([keep_source[:n_features], np.ones(len(graph.weights) - n_features, dtype=bool)])
    columns = torch.from_numpy(np.flatnonzero(keep_source))
    targets = torch.from_numpy(np.flatnonzero(keep_target))
    return replace(
        graph,
        nodes=graph.nodes[rows].reset_index(drop=True),
        weights=graph.weights[targets][:, columns],
        incoming=graph.incoming[targets],
    )
