"""Subgraph scores: how much some chosen nodes explain by themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from workbench.attribution.graph import Graph, GraphScores
from workbench.attribution.influence import influence


def subgraph_scores(graph: Graph, nodes: Iterable[str]) -> GraphScores:
    """Return the scores of a graph in which only some features count, all others being error.

    A feature outside the set becomes an error node: what it writes stays, whatever wrote to it is no longer asked
    for. Nothing is renormalised, so its |share| of each target's input counts as error with the error nodes'. Token
    and logit nodes always belong to the subgraph, error nodes always are error, bias nodes take no part. Hence:

    - with every feature of an unpruned graph these are the graph's own scores;
    - without any feature, what is left are the direct edges from tokens to logits;
    - a further feature never lowers the replacement or the completeness score;
    - in a pruned graph, what pruning has cut off counts as error too, because shares are measured against the
      whole graph: the score is never better than that of the same nodes in the whole graph.

    With s(t) the |shares| of a target's input and o(t) its output (the influence of a feature of the subgraph over
    paths inside it, the probability of a logit), E the influence of all that is error and T that of the tokens::

        replacement  = T / (T + E)
        completeness = 1 − E / (Σ o(t) + T + E)

    Args:
        nodes: ids of nodes of any kind, such as ``explorer.pinned["node_id"]``.

    Returns:
        ``replacement``, ``completeness`` and ``error_share`` (unweighted, over the features of the subgraph and the
        logits) of the subgraph; ``row_sum_error`` of the graph.

    Raises:
        ConfigError: the graph has no node with one of the ids.

    Source: circuit-tracer, pull request 42, for the idea that what is outside counts as error. There the edges of a
    node outside are merged with those of an error node; here no weights are added up, so that none can cancel.
    """
    wanted = graph.select(dict.fromkeys(nodes))
    rows = graph.row_of_node.loc[wanted.loc[wanted["kind"] == "feature", "node_id"]].to_numpy(np.int64)
    # Features are the first rows of the table, the first targets and the first sources; in order, so by layer.
    inside = torch.from_numpy(np.sort(rows))
    n_features = graph.n_features
    targets = torch.cat([inside, torch.arange(n_features, len(graph.weights))])
    kind = graph.nodes["kind"].to_numpy()[graph.source_index]
    tokens = torch.from_numpy(np.flatnonzero(kind == "token"))

    total = graph.incoming[targets, None].clamp_min(1e-10)
    kept = graph.weights[targets][:, torch.cat([inside, tokens])].abs() / total
    # A target without any input is not in error; see normalized_rows.
    has_input = (graph.incoming[targets] > 0).to(kept.dtype)
    error = (has_input - kept.sum(dim=1)).clamp_min(0)
    within = influence(torch.cat([kept, error[:, None]], dim=1), graph.feature_layer[inside], graph.probability)
    from_tokens, from_errors = within[len(inside) : -1].sum(), within[-1]
    output = within[: len(inside)].sum() + graph.probability.sum()
    return GraphScores(
        replacement=float(from_tokens / (from_tokens + from_errors).clamp_min(1e-30)),
        completeness=float(1 - from_errors / (output + from_tokens + from_errors)),
        error_share=float(error.mean()),
        row_sum_error=graph.full_scores.row_sum_error,
    )
