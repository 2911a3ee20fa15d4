"""The local replacement model under edits: what the features alone predict that an edit does.

Attention patterns and normalisation denominators stay as in the clean run, error nodes stay what they were, and every
MLP output changes by what the features' changed activations write, thresholds included. It differs from the mode
``direct`` in that features respond; from the model itself in all that is replaced or frozen.

Source: Ameisen et al., "Circuit Tracing" (2025), section "The local replacement model".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.interventions.clean import CleanRun
from workbench.interventions.hooks import Hook
from workbench.interventions.plan import Plan
from workbench.models import READ_HOOK, WRITE_HOOK

RESIDUAL_HOOK = "blocks.{layer}.hook_out"


class Replacement(NamedTuple):
    """What the local replacement model did under edits.

    Attributes:
        residuals: the residual stream behind every layer from the lowest edited one on.
        changes: of the features' activations at these layers.
        final: the final norm's output.
    """

    residuals: Mapping[int, Float[Tensor, "position d_model"]]
    changes: Mapping[int, Float[Tensor, "position feature"]]
    final: Float[Tensor, "position d_model"]


@torch.no_grad()
def local_replacement(clean: CleanRun, plan: Plan) -> Replacement:
    """Run the local replacement model under edits.

    Edited features are held at what their edits say; all others respond.

    Raises:
        InterventionError: a factor is of an inactive feature.
    """
    clt, n_layers = clean.clt, clean.model.n_layers
    first = min(plan.by_layer, default=n_layers)
    residuals: dict[int, Tensor] = {}
    changes: dict[int, Tensor] = {}
    read_changes: dict[int, Tensor] = {}
    if first == n_layers:
        return Replacement(residuals, changes, clean.final)

    def read(layer: int) -> Callable[..., None]:
        before = clean.activations(layer)
        plan.check_active(layer, before[: plan.n_prompt])
        edited = plan.changes(layer, before)

        def hook(x: Tensor, hook: Any) -> None:
            after = clt.encode(layer, x[0].to(clt.W_enc.dtype))
            after[0] = 0
            change = after - before
            for one in edited:
                held = one.after != one.before
                change[held, one.feature] = (one.after - one.before)[held].to(change)
            changes[layer] = change
            read_changes[layer] = (x[0] - clean.reads[layer]).to(clt.W_enc.dtype)
            read_changes[layer][0] = 0

        return hook

    def write(layer: int) -> Callable[..., Tensor]:
        def hook(y: Tensor, hook: Any) -> Tensor:
            out = clean.writes[layer].to(clt.W_enc.dtype)
            for source in clt.config.sources(layer):
                if source in changes:
                    out = out + changes[source] @ clt.decoder(source, layer)
            return (out + clt.skip(layer, read_changes[layer])).to(y)[None]

        return hook

    def keep(layer: int) -> Callable[..., None]:
        def hook(x: Tensor, hook: Any) -> None:
            residuals[layer] = x.detach()[0]

        return hook

    def keep_start(x: Tensor, hook: Any) -> Tensor:
        return x[:, :1]

    hooks: list[Hook] = []
    for layer in range(first, n_layers):
        hooks.append((clt.config.read_hook.format(layer=layer), read(layer)))
        mlp_input = READ_HOOK.format(layer=layer)
        # What the MLP computes is thrown away; the read hook stands before this one where both are the same.
        if clt.config.write_hook == WRITE_HOOK and mlp_input in clean.hook_points:
            hooks.append((mlp_input, keep_start))
        hooks.append((clt.config.write_hook.format(layer=layer), write(layer)))
        hooks.append((RESIDUAL_HOOK.format(layer=layer), keep(layer)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
        final = clean.run_from(first, [*hooks, *clean.frozen_attention, *clean.frozen_norms])
    return Replacement(residuals, changes, final)
