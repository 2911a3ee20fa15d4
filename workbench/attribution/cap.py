"""Which features enter a graph when more are active than it may hold: those of the largest estimated influence.

Influence is known only when every row is. Two sweeps of a part of the rows estimate it: the outputs' own rows give each
feature's direct influence; then the features of the largest direct influence get rows, and what flows into the others
is passed on like the mean of the known rows at the same layer and position. A sixteenth of the cap's rows choose
features whose graphs score almost like those of many more rows, and much better than those of the largest
activation × decoder norm: `workbench bench attribution` measures it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.influence import normalized_rows
from workbench.attribution.local_model import ActiveFeatures, LocalModel
from workbench.attribution.sweep import sweep
from workbench.attribution.targets import Outputs


class Choice(NamedTuple):
    """The features of a capped graph.

    Attributes:
        left_out_influence: estimated share of all features' influence that those left out have.
        operations: floating-point operations of the estimate.
    """

    features: ActiveFeatures
    left_out_influence: float
    operations: int


class Estimate(NamedTuple):
    """The influence of every active feature, estimated from some of their rows."""

    influence: Float[Tensor, " feature"]
    operations: int


def within_cap(local: LocalModel, features: ActiveFeatures, outputs: Outputs, cap: int | None) -> Choice:
    """Return the features that enter the graph, in their order."""
    if cap is None or len(features) <= cap:
        return Choice(features, 0.0, 0)
    # No more memory and work than a graph of the cap's size costs anyway, however many features are active.
    n_rows = min(cap // 16, 2 * cap**2 // len(features))
    estimate = estimate_influence(local, features, outputs, n_rows=n_rows)
    chosen = estimate.influence.topk(cap).indices.sort().values
    kept, total = estimate.influence[chosen].double().sum(), estimate.influence.double().sum()
    left_out = 1 - float(kept / total.clamp_min(1e-30))
    return Choice(features.select(chosen), max(left_out, 0.0), estimate.operations)


@torch.no_grad()
def estimate_influence(local: LocalModel, features: ActiveFeatures, outputs: Outputs, *, n_rows: int) -> Estimate:
    """Estimate the influence of features from the outputs' rows and those of ``n_rows`` features.

    With as many rows as features the estimate is exact.
    """
    none = torch.arange(0, device=features.layer.device)
    first = sweep(local, features, outputs, targets=none, progress=False)
    n_sources = first.columns.bias_start
    weight = outputs.weight.to(first.weights)
    direct = weight @ normalized_rows(first.weights[:, :n_sources])
    if not n_rows:
        return Estimate(direct[: len(features)], first.operations)
    known = direct[: len(features)].topk(n_rows).indices.sort().values
    second = sweep(local, features, outputs, targets=known, progress=False)
    rows = normalized_rows(second.weights[:n_rows, :n_sources])
    influence = _passed_on(direct, rows, known, features)
    return Estimate(influence[: len(features)], first.operations + second.operations)


def _passed_on(
    direct: Float[Tensor, " source"],
    rows: Float[Tensor, "known source"],
    known: Int[Tensor, " known"],
    features: ActiveFeatures,
) -> Float[Tensor, " source"]:
    """Return the direct influence and what features of every layer pass on, from the top layer down."""
    total = direct.clone()
    is_known = torch.zeros_like(features.layer, dtype=torch.bool)
    is_known[known] = True
    for layer in sorted(set(features.layer.tolist()), reverse=True):
        here = features.layer == layer
        with_row = (here[known]).nonzero(as_tuple=True)[0]
        if not len(with_row):
            continue
        flow = total[known[with_row]]
        position = features.position[known[with_row]]
        others = (here & ~is_known).nonzero(as_tuple=True)[0]
        unknown = torch.zeros_like(total[: int(features.position.max()) + 1])
        unknown.index_add_(0, features.position[others], total[others])
        for at in unknown.nonzero(as_tuple=True)[0].tolist():
            like = position == at
            if not bool(like.any()):
                like = position < at
            if bool(like.any()):
                flow = flow + unknown[at] * like / like.sum()
        total += flow @ rows[with_row]
    return total
