"""Pruning: the nodes and edges that carry a share of the influence.

Source: Ameisen et al., "Circuit Tracing" (2025), appendix "Graph pruning".
"""

from __future__ import annotations

from dataclasses import replace

import torch

from workbench.attribution.graph import Graph
from workbench.attribution.influence import influence, normalized_rows, threshold_of
from workbench.errors import ConfigError


def prune(graph: Graph, node_threshold: float, edge_threshold: float, *, keep_errors: bool) -> Graph:
    """Return the graph of the most influential nodes and edges; see ``Graph.prune``."""
    for name, value in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"The {name} is {value}, but it is a share of the influence: give a number from 0 to 1.")
    info = {**graph.info, "node_threshold": node_threshold, "edge_threshold": edge_threshold}
    if node_threshold == edge_threshold == 1:
        return replace(graph, info=info)
    kinds = graph.nodes["kind"].to_numpy()
    source_kind, target_kind = kinds[graph.source_index], kinds[graph.target_index]
    n_features = graph.n_features
    is_bias = torch.from_numpy(source_kind == "bias")
    fixed = torch.from_numpy((source_kind == "token") | ((source_kind == "error") & keep_errors))
    logit_weights, layers = graph.probability, graph.feature_layer

    unbiased = graph.weights.masked_fill(is_bias, 0)
    node_influence = influence(normalized_rows(unbiased), layers, logit_weights)
    # Biases take no part in the normalisation, so their influence is read off the same denominators.
    reach = torch.cat([node_influence[:n_features], logit_weights])
    shares = graph.weights.abs() / unbiased.abs().sum(dim=1, keepdim=True).clamp_min(1e-10)
    bias_influence = reach @ shares.masked_fill(~is_bias, 0)
    limit = threshold_of(node_influence, node_threshold)
    keep_source = (node_influence + bias_influence >= limit) | fixed
    keep_target = torch.cat([keep_source[:n_features], torch.ones(len(logit_weights), dtype=torch.bool)])

    kept = graph.weights * keep_source * keep_target[:, None]
    kept_unbiased = kept.masked_fill(is_bias, 0)
    totals = kept_unbiased.abs().sum(dim=1, keepdim=True).clamp_min(1e-10)
    reach = torch.cat([influence(kept_unbiased.abs() / totals, layers, logit_weights)[:n_features], logit_weights])
    edge_influence = kept.abs() / totals * reach[:, None]
    edge_limit = threshold_of(edge_influence[:, ~is_bias].flatten(), edge_threshold)
    keep_edge = (edge_influence >= edge_limit) & (kept != 0)

    # A feature without an edge out explains nothing, one without an edge in is explained by nothing.
    while True:
        has_out = keep_edge.any(dim=0) | fixed
        has_in = keep_edge.any(dim=1)
        new_source = keep_source & has_out
        new_source[:n_features] &= has_in[:n_features]
        if bool((new_source == keep_source).all()):
            break
        keep_source = new_source
        keep_target[:n_features] = keep_source[:n_features]
        keep_edge &= keep_source & keep_target[:, None]

    rows = torch.zeros(len(graph.nodes), dtype=torch.bool)
    rows[graph.source_index[keep_source.numpy()]] = True
    rows[graph.target_index[target_kind == "logit"]] = True
    return replace(
        graph,
        nodes=graph.nodes[rows.numpy()].reset_index(drop=True),
        weights=(graph.weights * keep_edge)[keep_target][:, keep_source],
        incoming=graph.incoming[keep_target],
        info=info,
    )
