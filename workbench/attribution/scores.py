"""Graph scores, as in Ameisen et al., "Circuit Tracing" (2025), section "Evaluating attribution graphs"."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.attribution.graph import GraphScores
from workbench.attribution.influence import influence, normalized_rows


def graph_scores(
    weights: Float[Tensor, "target source"],
    *,
    is_error: Bool[Tensor, " source"],
    is_token: Bool[Tensor, " source"],
    feature_layer: Int[Tensor, " feature"],
    probability: Float[Tensor, " logit"],
    row_sum_error: float,
) -> tuple[GraphScores, Float[Tensor, " source"]]:
    """Return the scores of a graph and the influence of its sources.

    Args:
        weights: without the bias columns, which are dropped before rows are normalised.
    """
    normalized = normalized_rows(weights)
    total = influence(normalized, feature_layer, probability)
    from_tokens, from_errors = total[is_token].sum(), total[is_error].sum()
    error_input = normalized[:, is_error].sum(dim=1)
    # The output weight of a target: how much of the logits' probability passes through it.
    output = torch.cat([total[: len(feature_layer)], probability])
    # Tokens and errors have no input, so they count as fully explained and as fully unexplained sources do
    # in the paper's definition: with their own influence and no error share.
    rest = total[len(feature_layer) :].sum()
    completeness = (((1 - error_input) * output).sum() + rest) / (output.sum() + rest)
    scores = GraphScores(
        replacement=float(from_tokens / (from_tokens + from_errors).clamp_min(1e-30)),
        completeness=float(completeness),
        error_share=float(error_input.mean()),
        row_sum_error=row_sum_error,
    )
    return scores, total
