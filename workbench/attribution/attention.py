"""Attention with a frozen pattern: a linear map between positions, pulled back without autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from workbench.attribution.norms import FrozenNorm
from workbench.errors import ModelError


@dataclass(frozen=True)
class AttentionGradients:
    """The gradients on the way back through one attention layer, where its biases are read.

    Attributes:
        output: at the attention's output, before a post-norm.
        value: at the values of the key-value heads, flattened.
        normalized: at the input norm's output; this times the norm is what reaches the residual stream.
    """

    output: Float[Tensor, "position target d_model"]
    value: Float[Tensor, "position target kv_head_and_d_head"]
    normalized: Float[Tensor, "position target d_model"]


@dataclass(frozen=True)
class FrozenAttention:
    """One layer's attention for one prompt: pattern, W_V, W_O and the norms around it."""

    pattern: Float[Tensor, "head query key"]
    W_V: Float[Tensor, "kv_head d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_V: Float[Tensor, "kv_head d_head"] | None
    b_O: Float[Tensor, " d_model"] | None
    norm: FrozenNorm
    post_norm: FrozenNorm | None

    @classmethod
    def of(
        cls, block: Any, pattern: Float[Tensor, "head query key"], norm: FrozenNorm, post_norm: FrozenNorm | None
    ) -> FrozenAttention:
        """Read the weights from a TransformerLens block.

        Raises:
            ModelError: the block's attention exposes no value or output matrix (a linear or latent attention).
        """
        attention = block.attn
        weights = [getattr(attention, name, None) for name in ("W_V", "W_O", "b_V", "b_O")]
        W_V, W_O, b_V, b_O = (None if weight is None else weight.detach() for weight in weights)
        if W_V is None or W_O is None:
            raise ModelError(
                f"The attention {type(attention).__name__} exposes no W_V and W_O: attribution needs softmax attention."
            )
        return cls(pattern, W_V, W_O, b_V, b_O, norm, post_norm)

    def pull_back(self, gradient: Float[Tensor, "position target d_model"], counts: list[int]) -> AttentionGradients:
        """Return the gradients inside the layer from the gradient at its output to the residual stream.

        Args:
            counts: how many targets, from the first, stand at or after each position. Targets are sorted
                by falling position, so that causality makes the rest of a position's rows zero.
        """
        n_heads, n_positions, _ = self.pattern.shape
        d_head = self.W_V.shape[-1]
        n_kv_heads = len(self.W_V)
        n_targets = gradient.shape[1]
        output_map = rearrange(self.W_O, "head d_head d_model -> d_model (head d_head)")
        value_map = rearrange(self.W_V, "head d_model d_head -> (head d_head) d_model")

        output = gradient if self.post_norm is None else torch.zeros_like(gradient)
        mixed = gradient.new_zeros(n_heads, n_positions, n_targets, d_head)
        for position, count in enumerate(counts):
            rows = gradient[position, :count]
            if self.post_norm is not None:
                rows = self.post_norm.pull_back(rows, position)
                output[position, :count] = rows
            mixed[:, position, :count] = rearrange(
                rows @ output_map, "target (head d_head) -> head target d_head", head=n_heads
            )
        # Query heads that share a key-value head are summed here, before W_V, so W_V is applied once.
        pattern = rearrange(self.pattern, "(kv rep) query key -> kv key (rep query)", kv=n_kv_heads)
        mixed = rearrange(mixed, "(kv rep) query target d_head -> kv (rep query) (target d_head)", kv=n_kv_heads)
        value = rearrange(
            torch.bmm(pattern, mixed), "kv key (target d_head) -> key target (kv d_head)", target=n_targets
        )
        normalized = torch.zeros_like(gradient)
        for position, count in enumerate(counts):
            torch.mm(value[position, :count], value_map, out=normalized[position, :count])
        return AttentionGradients(output=output, value=value, normalized=normalized)
