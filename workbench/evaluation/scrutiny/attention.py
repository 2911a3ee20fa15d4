"""What a graph cannot show because attention patterns are frozen: how much runs through them, and what they hide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.attribution import Graph
from workbench.attribution.local_model import LocalModel, freeze
from workbench.attribution.sweep import sweep
from workbench.attribution.targets import outputs_of
from workbench.errors import InterventionError
from workbench.evaluation.controls import matched_controls
from workbench.evaluation.scrutiny.model import answer_logit
from workbench.evaluation.validation.predict import predicted_changes
from workbench.interventions import AnyEdit, CleanRun, Edit


@torch.no_grad()
def attention_share(clean: CleanRun, graph: Graph, targets: list[int]) -> float:
    """Return the share of the edges' influence that passes at least one attention layer.

    All edges are computed once more with attention cut out, so that the residual stream alone connects a source with a
    target. The share of an edge is |weight − rest| / (|weight − rest| + |rest|): the two parts can cancel. Edges count
    by their influence. Bias nodes do not count.

    Args:
        graph: not pruned; of the clean run's prompt.
        targets: the tokens that it explains, in its order.
    """
    local = freeze(clean.model, clean.clt, clean.tokens)
    rows = graph.nodes.iloc[: graph.n_features]
    size = clean.clt.n_features
    key = torch.from_numpy((rows["layer"] * len(graph.tokens) + rows["position"]).to_numpy("int64") * size)
    wanted = key + torch.from_numpy(rows["feature"].to_numpy("int64").copy())
    found = (local.features.layer * local.n_positions + local.features.position) * size + local.features.feature
    features = local.features.select(torch.isin(found.cpu(), wanted))
    rest = sweep(_without_attention(local), features, outputs_of(local, targets), progress=False).weights.cpu().double()
    n = int((graph.nodes["kind"] != "bias").to_numpy()[graph.source_index].sum())
    whole, rest = graph.weights[:, :n].double(), rest[:, :n]
    reach = torch.from_numpy(graph.nodes["influence"].to_numpy("float64")[graph.target_index].copy())
    reach[graph.n_features :] = graph.probability.double()
    influence = whole.abs() * (reach / graph.incoming.double().clamp_min(1e-10))[:, None]
    through = (whole - rest).abs()
    share = through / (through + rest.abs()).clamp_min(1e-30)
    return float((influence * share).sum() / influence.sum().clamp_min(1e-30))


def _without_attention(local: LocalModel) -> LocalModel:
    return replace(
        local,
        attentions=tuple(
            replace(attention, pattern=torch.zeros_like(attention.pattern)) for attention in local.attentions
        ),
    )


def ablations(
    clean: CleanRun,
    graph: Graph,
    logit_row: int,
    token_id: int,
    *,
    k: int,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Ablate the most influential features one by one, with attention free and with attention frozen.

    Returns:
        One row a feature: node_id; changes of the token's logit minus the mean logit: predicted (by the graph, over
        all its paths), measured and frozen, and control and control_frozen of a matched feature; these are NaN where
        no other feature is active there.
    """
    top = np.argsort(-graph.nodes["influence"].to_numpy()[: graph.n_features], kind="stable")[:k]
    _, predicted = predicted_changes(graph, [[int(row)] for row in top], 0.0)
    rows = []
    for at, row in enumerate(top):
        node = str(graph.nodes["node_id"].iloc[row])
        own: list[AnyEdit] = [Edit.node(node, factor=0)]
        try:
            other: list[Edit] | None = matched_controls(clean, own, 1, seed=seed + at)[0]
        except InterventionError:
            other = None  # no other feature is active there
        changes = [_change(clean, edits, token_id, frozen=frozen) for edits in (own, other) for frozen in (False, True)]
        rows.append((node, float(predicted[logit_row, at]), *changes))
        advance()
    return pd.DataFrame(rows, columns=["node_id", "predicted", "measured", "frozen", "control", "control_frozen"])


def hidden_share(free: Tensor, frozen: Tensor) -> float:
    """Return how much of effects is due to patterns that change: Σ|free − frozen| / Σ|free|; NaN without effects."""
    total = float(free.abs().sum())
    return float((free - frozen).abs().sum()) / total if total > 0 else float("nan")


def _change(clean: CleanRun, edits: list[AnyEdit] | list[Edit] | None, token_id: int, *, frozen: bool) -> float:
    if edits is None:
        return float("nan")
    logits = clean.intervene(edits, freeze_attention=frozen).logits
    return answer_logit(logits.after, token_id) - answer_logit(logits.before, token_id)
