"""Activation capture by TransformerLens hooks, never computing logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.loaded import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Hook names are templates over the layer, as a CLT's config stores them.
READ_HOOK = "blocks.{layer}.mlp.hook_in"
WRITE_HOOK = "blocks.{layer}.hook_mlp_out"


def run_decoder(
    model: LoadedModel,
    tokens: Int[Tensor, "batch position"],
    hooks: Sequence[tuple[str, Callable[..., Any]]],
    *,
    gradient: bool = False,
) -> Float[Tensor, "batch position d_model"]:
    """Run everything but the unembedding under hooks; return the final norm's output.

    The inner decoder of the wrapped model is called directly, because the unembedding of a
    vocabulary of 262,144 costs more than all layers of a small model together. Other threads wait for
    the model's lock meanwhile.

    Args:
        gradient: keep what autograd needs to reach what the hooks put in.

    Raises:
        ModelError: a hook's name is unknown to the bridge.
    """
    known = model.bridge.hook_dict
    for name, _ in hooks:
        if name not in known:
            raise ModelError(f"The model {model.name!r} has no hook {name!r}: see bench.model.hook_dict for its hooks.")
    with model.lock, torch.set_grad_enabled(gradient), model.bridge.hooks(fwd_hooks=list(hooks)):
        decoder = cast("PreTrainedModel", model.bridge.original_model.base_model)
        return cast(Tensor, decoder(input_ids=tokens.to(model.device), use_cache=False).last_hidden_state)


def capture(model: LoadedModel, tokens: Int[Tensor, "batch position"], names: Sequence[str]) -> dict[str, Tensor]:
    """Return the activations at the named hooks, by name."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            kept[name] = activation.detach()

        return hook

    run_decoder(model, tokens, [(name, keep(name)) for name in names])
    missing = [name for name in names if name not in kept]
    if missing:
        raise ModelError(f"The hook {missing[0]!r} never fired in {model.name!r}: choose a hook on the forward path.")
    return kept


def capture_reads_and_writes(
    model: LoadedModel,
    tokens: Int[Tensor, "batch position"],
    *,
    read_hook: str = READ_HOOK,
    write_hook: str = WRITE_HOOK,
    dtype: torch.dtype | None = None,
) -> tuple[Float[Tensor, "layer batch position d_model"], Float[Tensor, "layer batch position d_model"]]:
    """Return what a CLT reads and what it must write at every layer of a batch of token rows."""
    layers = range(model.n_layers)
    reads, writes = ([hook.format(layer=layer) for layer in layers] for hook in (read_hook, write_hook))
    kept = capture(model, tokens, [*reads, *writes])
    dtype = dtype or model.dtype
    return (
        torch.stack([kept[name].to(dtype) for name in reads]),
        torch.stack([kept[name].to(dtype) for name in writes]),
    )
