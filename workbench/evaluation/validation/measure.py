"""What an edit does in the model: the output, other features, and the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.interventions import AnyEdit, CleanRun, Intervention
from workbench.interventions.local_replacement import RESIDUAL_HOOK, local_replacement
from workbench.interventions.plan import Plan


@dataclass(frozen=True)
class Places:
    """Feature nodes whose activations are followed, in the order of their layers."""

    layer: Int[Tensor, " node"]
    feature: Int[Tensor, " node"]
    position: Int[Tensor, " node"]


@dataclass(frozen=True)
class Effects:
    """What one set of edits did in the model.

    Attributes:
        logit: change of the target's logit minus the mean logit.
        kl: KL(clean ‖ edited) of the next token, nats.
        activations: changes of the followed features' activations.
        residuals: change of the residual stream behind every layer that was run.
    """

    logit: float
    kl: float
    activations: Float[Tensor, " node"]
    residuals: Mapping[int, Float[Tensor, "position d_model"]]


@torch.no_grad()
def clean_residuals(clean: CleanRun) -> dict[int, Float[Tensor, "position d_model"]]:
    """Return the residual stream of the clean run behind every layer."""
    kept: dict[int, Tensor] = {}
    with clean.model.lock, clean.model.bridge.hooks(fwd_hooks=_keeping(clean, kept)):
        clean.run_from(0, [])
    return kept


@torch.no_grad()
def measure(
    clean: CleanRun,
    edits: Sequence[AnyEdit],
    *,
    token_id: int,
    places: Places,
    residuals: Mapping[int, Float[Tensor, "position d_model"]],
) -> Effects:
    """Run the model under edits, nothing held, and return what followed."""
    kept: dict[int, Tensor] = {}
    with clean.model.lock, clean.model.bridge.hooks(fwd_hooks=_keeping(clean, kept)):
        result = clean.intervene(edits)
    change = result.logits.after - result.logits.before
    return Effects(
        logit=float(change[token_id] - change.mean()),
        kl=result.kl,
        activations=_activation_changes(result, places),
        # Positions before the first edit were not run: nothing changes there.
        residuals={layer: after - residuals[layer][-len(after) :] for layer, after in kept.items()},
    )


@torch.no_grad()
def replacement_cosines(
    clean: CleanRun,
    edits: Sequence[AnyEdit],
    measured: Sequence[Mapping[int, Float[Tensor, "position d_model"]]],
    residuals: Mapping[int, Float[Tensor, "position d_model"]],
) -> list[dict[int, float]]:
    """Return the cosine of the perturbation that the local replacement model predicts with measured ones, by layer.

    Args:
        measured: changes of the residual stream; those of the same edits, or of controls.

    Source: "Circuit Tracing" (2025), section "Evaluating mechanistic faithfulness".
    """
    plan = Plan.of(edits, clean.clt, model_name=clean.model.name, token_ids=clean.tokens.tolist())
    predicted = {layer: after - residuals[layer] for layer, after in local_replacement(clean, plan).residuals.items()}
    return [{layer: _cosine(predicted[layer], own[layer]) for layer in predicted if layer in own} for own in measured]


def _cosine(predicted: Float[Tensor, "position d_model"], measured: Float[Tensor, "later d_model"]) -> float:
    predicted = predicted[-len(measured) :].flatten().double()
    scale = predicted.norm() * measured.flatten().double().norm()
    return float(predicted @ measured.flatten().double() / scale) if float(scale) > 0 else float("nan")


def _keeping(clean: CleanRun, kept: dict[int, Tensor]) -> list[tuple[str, Callable[..., None]]]:
    def keep(layer: int) -> Callable[..., None]:
        def hook(x: Tensor, hook: Any) -> None:
            kept[layer] = x.detach()[0]

        return hook

    return [(RESIDUAL_HOOK.format(layer=layer), keep(layer)) for layer in range(clean.model.n_layers)]


def _activation_changes(result: Intervention, places: Places) -> Float[Tensor, " node"]:
    clean, clt = result.clean, result.clean.clt
    changes = torch.zeros(len(places.layer), dtype=torch.float64)
    for layer in places.layer.unique().tolist():  # type: ignore[no-untyped-call]
        if layer <= result.first_layer:
            continue
        here = (places.layer == layer).nonzero().flatten()
        at, features = places.position[here], places.feature[here]
        read = result.reads_after[layer].to(clt.W_enc.dtype)[at]
        pre = (read * clt.W_enc[layer][features]).sum(-1) + clt.b_enc[layer][features]
        after = torch.where(pre > clt.threshold[layer][features], pre, 0.0)
        changes[here] = (after - clean.activations(layer)[at, features]).double().cpu()
    return changes
