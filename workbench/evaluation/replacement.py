"""The replacement model: the model under study with its MLPs replaced by a transcoder.

Source of the method: Ameisen et al., "Circuit Tracing" (2025), section "From Cross-Layer Transcoder
to Replacement Model". It is used for evaluation only; graphs come from the local replacement model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError
from workbench.models import READ_HOOK, LoadedModel, run_decoder

Hook = tuple[str, Callable[..., Any]]


def check_belongs(model: LoadedModel, clt: CLT) -> None:
    """Check that a transcoder was trained on this model.

    Raises:
        CLTError: the fingerprints differ, or where the transcoder knows none, the shapes.
    """
    config = clt.config
    if config.fingerprint and config.fingerprint != model.fingerprint:
        raise CLTError(
            f"This CLT was trained on {config.model!r} (fingerprint {config.fingerprint[:12]}), not on "
            f"{model.name!r} (fingerprint {model.fingerprint[:12]}): choose the CLT of this model."
        )
    if (config.n_layers, config.d_model) != (model.n_layers, model.d_model):
        raise CLTError(
            f"This CLT has {config.n_layers} layers of width {config.d_model}, but {model.name!r} has "
            f"{model.n_layers} of width {model.d_model}: choose the CLT of this model."
        )


def replacement_hooks(
    model: LoadedModel,
    clt: CLT,
    *,
    layers: Collection[int] | None = None,
    errors: Float[Tensor, "layer batch position d_model"] | None = None,
) -> list[Hook]:
    """Return the hooks that turn one forward pass into one of the replacement model.

    The features of layer l are computed from what this very pass reads at layer l, and written to
    layers l … l + window − 1. Position 0 keeps the model's own MLP outputs: its activations are
    orders of magnitude larger than elsewhere and no transcoder is trained on them.

    The hooks hold the state of one pass: ask for new ones for each batch.

    Args:
        layers: whose MLPs are replaced; None for all. Features of other layers still write there.
        errors: added to what the transcoder writes. With the errors of the clean run the
            replacement model equals the model.

    Raises:
        CLTError: the transcoder is of another model.
        ConfigError: a layer is out of range.
    """
    check_belongs(model, clt)
    config = clt.config
    replaced = frozenset(range(clt.n_layers) if layers is None else layers)
    outside = sorted(layer for layer in replaced if not 0 <= layer < clt.n_layers)
    if outside:
        raise ConfigError(f"Layer {outside[0]} is out of range: {model.name!r} has layers 0 to {clt.n_layers - 1}.")

    reads: list[Tensor] = [torch.empty(0)] * clt.n_layers
    activations: list[Tensor] = [torch.empty(0)] * clt.n_layers
    needed = {source for layer in replaced for source in config.sources(layer)}

    def read(layer: int) -> Callable[..., None]:
        def hook(x: Tensor, hook: Any) -> None:
            reads[layer] = x.detach().to(clt.W_enc.dtype)
            activations[layer] = clt.encode(layer, reads[layer])

        return hook

    def keep_start(x: Tensor, hook: Any) -> Tensor:
        return x[:, :1]

    def write(layer: int) -> Callable[..., Tensor]:
        def hook(y: Tensor, hook: Any) -> Tensor:
            written = clt.decode(layer, activations)
            if clt.W_skip is not None:
                written = written + clt.skip(layer, reads[layer])
            if errors is not None:
                written = written + errors[layer].to(written)
            # No later layer reads features from below this window: what it held can go.
            lowest = config.sources(layer)[0]
            activations[:lowest] = [torch.empty(0)] * lowest
            return torch.cat([y[:, :1], written[:, 1:].to(y)], dim=1)

        return hook

    hooks: list[Hook] = []
    for layer in range(clt.n_layers):
        if layer in needed:
            hooks.append((config.read_hook.format(layer=layer), read(layer)))
        if layer in replaced:
            mlp_input = READ_HOOK.format(layer=layer)
            # The MLP's own output is wanted at position 0 alone, and the MLPs are most of the cost of a pass.
            if mlp_input in model.bridge.hook_dict:
                hooks.append((mlp_input, keep_start))
            hooks.append((config.write_hook.format(layer=layer), write(layer)))
    return hooks


@torch.no_grad()
def run_replacement(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[Tensor, "batch position"],
    *,
    layers: Collection[int] | None = None,
    errors: Float[Tensor, "layer batch position d_model"] | None = None,
) -> Float[Tensor, "batch position d_model"]:
    """Run the replacement model; return the final norm's output, what the unembedding reads.

    See :func:`replacement_hooks` for the arguments.

    Raises:
        CLTError: the transcoder is of another model.
        ConfigError: a layer is out of range.
        ModelError: the transcoder's hooks are unknown to the model.
    """
    return run_decoder(model, tokens, replacement_hooks(model, clt, layers=layers, errors=errors))
