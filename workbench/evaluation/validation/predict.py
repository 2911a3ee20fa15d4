"""What a graph predicts that an edit does, over all of its paths."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution import Graph


def predicted_changes(
    graph: Graph, sources: Int[Tensor, "edit feature"] | list[list[int]], factor: float
) -> tuple[Float[Tensor, "feature edit"], Float[Tensor, "logit edit"]]:
    """Return the linear effect, over all paths, of scaling features: relative changes of features, changes of logits.

    A feature's activation is its pre-activation, so a change of the latter by its edges changes what it writes by the
    same share: r = B·r + r₀ with B[t, s] = A[t, s] / a_t, for the edited features r = factor − 1. Thresholds, and
    everything that a graph freezes, are left out.

    Args:
        sources: for every edit the rows of its features in ``graph.nodes``.
        factor: what their activations are multiplied by.
    """
    n, weights = graph.n_features, graph.weights.double()
    activation = torch.from_numpy(graph.nodes["activation"].to_numpy("float64")[:n].copy())
    given, held = _given(sources, n, factor - 1)
    relative = _through(graph, weights[:n, :n], given, held, activation)
    return relative, weights[n:, :n] @ relative


def influence_between(graph: Graph, sources: list[int]) -> Float[Tensor, "feature source"]:
    """Return the influence of some features on all others: Σ_k Âᵏ of the shares |A| / Σ|incoming|.

    Source: Ameisen et al., "Circuit Tracing" (2025), appendix "Graph pruning".
    """
    n = graph.n_features
    given, held = _given([[source] for source in sources], n, 1.0)
    return _through(graph, graph.weights[:n, :n].double().abs(), given, held, graph.incoming[:n].double())


def _given(sources: Int[Tensor, "edit feature"] | list[list[int]], n: int, amount: float) -> tuple[Tensor, Tensor]:
    given = torch.zeros(n, len(sources), dtype=torch.float64)
    for edit, rows in enumerate(sources):
        given[rows, edit] = amount
    held = torch.zeros(n, len(sources), dtype=torch.bool)
    for edit, rows in enumerate(sources):
        held[rows, edit] = True
    return given, held


def _through(
    graph: Graph,
    weights: Float[Tensor, "feature feature"],
    given: Float[Tensor, "feature edit"],
    held: Tensor,
    scale: Float[Tensor, " feature"],
) -> Float[Tensor, "feature edit"]:
    """Carry changes upwards; the graph is acyclic and its rows are sorted by layer, so one pass does it."""
    total, end = given.clone(), 0
    for size in torch.bincount(graph.feature_layer).tolist():
        start, end = end, end + size
        arrived = weights[start:end, :start] @ total[:start] / scale[start:end, None].clamp_min(1e-10)
        total[start:end] = torch.where(held[start:end], given[start:end], arrived)
    return total
