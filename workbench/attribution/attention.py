"""Attention with a frozen pattern: a linear map between positions, pulled back without autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        normalized: at the input norm's output.
        residual: at the residual stream that the layer reads.
    """

    output: Float[Tensor, "target position d_model"]
    value: Float[Tensor, "target position kv_head_and_d_head"]
    normalized: Float[Tensor, "target position d_model"]
    residual: Float[Tensor, "target position d_model"]


@dataclass(frozen=True)
class FrozenAttention:
    """One layer's attention for one prompt: pattern, W_V, W_O and the norms around it.

    Attributes:
        output_maps: W_O by key-value head, transposed, its query heads side by side.
        value_map: W_V transposed, the key-value heads above each other.
        pattern: by key-value head, from (query, query head of the group) to key.
    """

    output_maps: Float[Tensor, "kv_head d_model rep_and_d_head"]
    value_map: Float[Tensor, "kv_head_and_d_head d_model"]
    pattern: Float[Tensor, "kv_head key query rep"]
    b_V: Float[Tensor, " kv_head_and_d_head"] | None
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
        n_kv_heads = len(W_V)
        return cls(
            output_maps=rearrange(
                W_O, "(kv rep) d_head d_model -> kv d_model (rep d_head)", kv=n_kv_heads
            ).contiguous(),
            value_map=rearrange(W_V, "kv d_model d_head -> (kv d_head) d_model").contiguous(),
            pattern=rearrange(pattern, "(kv rep) query key -> kv key query rep", kv=n_kv_heads).contiguous(),
            b_V=None if b_V is None else b_V.flatten(),
            b_O=b_O,
            norm=norm,
            post_norm=post_norm,
        )

    def pull_back(self, gradient: Float[Tensor, "target position d_model"]) -> AttentionGradients:
        """Return the gradients inside the layer from the gradient at its output to the residual stream.

        Args:
            gradient: at the positions from 0 to that of the targets.
        """
        n_targets, n_positions, _ = gradient.shape
        output = gradient if self.post_norm is None else self.post_norm.pull_back(gradient)
        flat = output.reshape(n_targets * n_positions, -1)
        n_kv_heads, d_head = len(self.output_maps), len(self.value_map) // len(self.output_maps)
        value = gradient.new_empty(n_targets, n_positions, n_kv_heads, d_head)
        for head, (output_map, pattern) in enumerate(zip(self.output_maps, self.pattern, strict=True)):
            # Query heads that share a key-value head are summed here, before W_V, so W_V is applied once.
            mixed = (flat @ output_map).view(n_targets, -1, d_head)
            mixing = pattern[:n_positions, :n_positions].reshape(n_positions, -1)
            value[:, :, head] = mixing @ mixed
        value = value.flatten(2)
        normalized = value @ self.value_map
        return AttentionGradients(output, value, normalized, self.norm.pull_back(normalized))
