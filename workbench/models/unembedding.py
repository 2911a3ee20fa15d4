"""From the final norm's output to logits, as the wrapped model itself does it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models.loaded import LoadedModel


def unembed(model: LoadedModel, final: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocabulary"]:
    """Return the model's own logits, soft cap included, at least in float32, from the final norm's output."""
    wrapped: Any = model.bridge.original_model
    logits: Tensor = wrapped.get_output_embeddings()(final)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    cap = getattr(wrapped.config.get_text_config(), "final_logit_softcapping", None)
    if cap:
        # In place: these are the largest tensors of an evaluation.
        logits = logits.div_(cap).tanh_().mul_(cap)
    return logits
