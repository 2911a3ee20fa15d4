"""Attention with a frozen pattern: a linear map between positions, pushed and pulled back without autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.norms import FrozenNorm
from workbench.errors import ModelError


@dataclass(frozen=True)
class FrozenAttention:
    """One layer's attention for one prompt: pattern, W_V, W_O and the norms around it.

    Query heads that share a key-value head follow each other.
    """

    W_V: Float[Tensor, "kv_head d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    pattern: Float[Tensor, "head query key"]
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
        b_V = None if b_V is None else b_V.reshape(len(W_V), -1)
        return cls(W_V=W_V, W_O=W_O, pattern=pattern, b_V=b_V, b_O=b_O, norm=norm, post_norm=post_norm)

    @property
    def n_heads(self) -> int:
        return len(self.W_O)

    @property
    def n_kv_heads(self) -> int:
        return len(self.W_V)

    @property
    def d_head(self) -> int:
        return int(self.W_O.shape[1])

    def values(self, x: Float[Tensor, "*source position d_model"]) -> Float[Tensor, "*source position kv_head d_head"]:
        """Return the values, without biases, of a part of the residual stream at the positions from 0."""
        return torch.einsum("...pd,kdh->...pkh", self.norm.push(x), self.W_V)

    def head_writes(
        self, values: Float[Tensor, "*source position kv_head d_head"]
    ) -> Float[Tensor, "*source head position d_model"]:
        """Return what each head would write, before the pattern moves it, given the values at each position."""
        grouped = rearrange(self.W_O, "(kv rep) d_head d_model -> kv rep d_head d_model", kv=self.n_kv_heads)
        return torch.einsum("...pkh,krhd->...krpd", values, grouped).flatten(-4, -3)

    def moved(
        self, writes: Float[Tensor, "*source head position d_model"]
    ) -> Float[Tensor, "*source head query d_model"]:
        """Return what each head adds to the residual stream, after the pattern and a post-norm."""
        n = writes.shape[-2]
        added = self.pattern[:, :n, :n] @ writes
        return added if self.post_norm is None else self.post_norm.push(added)

    @cached_property
    def folded(self) -> FoldedAttention:
        """The same map with norms folded into the matrices, for pulling many gradients back."""
        return FoldedAttention.of(self)


@dataclass(frozen=True)
class FoldedAttention:
    """The transpose of a frozen attention in as few operations as there are.

    Norm weights and centring are folded into the matrices and the norms' scales into the pattern, so that a gradient
    passes in three products and nothing is multiplied element by element.

    Attributes:
        output_maps: by key-value head: a post-norm's transpose without its scale, then W_O transposed.
        pattern: by key-value head, from (query, query head of the group) to key; divided by the scales of the
            post-norm at the query and of the input norm at the key.
        value_map: W_V transposed, then the input norm's transpose without its scale.
        output_biases, value_biases: by site of the bias: the vector whose product with the gradient at the layer's
            output, or with the values' gradient, is the bias's effect, and the factor at each position.
    """

    output_maps: Float[Tensor, "kv_head d_model rep_and_d_head"]
    pattern: Float[Tensor, "kv_head key query rep"]
    value_map: Float[Tensor, "kv_head_and_d_head d_model"]
    output_biases: dict[str, tuple[Float[Tensor, " d_model"], Float[Tensor, " position"]]]
    value_biases: dict[str, tuple[Float[Tensor, " kv_head_and_d_head"], Float[Tensor, " position"]]]

    def to(self, dtype: torch.dtype) -> FoldedAttention:
        """Return the same map with matrices and pattern in another precision; biases keep theirs."""
        if self.value_map.dtype == dtype:
            return self
        return replace(
            self,
            output_maps=self.output_maps.to(dtype),
            pattern=self.pattern.to(dtype),
            value_map=self.value_map.to(dtype),
        )

    @classmethod
    def of(cls, attention: FrozenAttention) -> FoldedAttention:
        """Fold norms and scales into the matrices and the pattern."""
        norm, post, n_kv = attention.norm, attention.post_norm, attention.n_kv_heads
        ones = torch.ones_like(norm.scale[:, 0])
        W_O, query_scale = attention.W_O, ones
        output_biases, value_biases = {}, {}
        if post is not None:
            W_O, query_scale = post.centre(W_O) * post.weight, post.scale[:, 0]
            if post.bias is not None:
                output_biases["ln1_post"] = (post.bias, ones)
        if attention.b_O is not None:
            b_O = attention.b_O if post is None else post.centre(attention.b_O) * post.weight
            output_biases["b_O"] = (b_O, 1 / query_scale)
        # What the products call a value's gradient is the true one divided by the scale.
        key_scale = norm.scale[:, 0]
        if attention.b_V is not None:
            value_biases["b_V"] = (attention.b_V.flatten(), key_scale)
        if norm.bias is not None:
            through = torch.einsum("d,kdh->kh", norm.bias, attention.W_V)
            value_biases["ln1"] = (through.flatten(), key_scale)
        pattern = attention.pattern / query_scale[:, None] / key_scale
        value_map = rearrange(attention.W_V, "kv d_model d_head -> (kv d_head) d_model")
        return cls(
            output_maps=rearrange(W_O, "(kv rep) d_head d_model -> kv d_model (rep d_head)", kv=n_kv).contiguous(),
            pattern=rearrange(pattern, "(kv rep) query key -> kv key query rep", kv=n_kv).contiguous(),
            value_map=norm.centre(value_map * norm.weight).contiguous(),
            output_biases=output_biases,
            value_biases=value_biases,
        )

    def values(
        self, rows: Float[Tensor, "target position d_model"]
    ) -> Float[Tensor, "target position kv_head_and_d_head"]:
        """Return the gradient at the values from the gradient at the layer's output, at positions from 0."""
        n_targets, n_positions, _ = rows.shape
        flat = rows.reshape(n_targets * n_positions, -1).to(self.value_map.dtype)
        n_kv, d_head = len(self.output_maps), len(self.value_map) // len(self.output_maps)
        found = []
        for output_map, pattern in zip(self.output_maps, self.pattern, strict=True):
            # Query heads that share a key-value head are summed here, before W_V, so W_V is applied once.
            mixed = (flat @ output_map).view(n_targets, -1, d_head)
            found.append(pattern[:n_positions, :n_positions].reshape(n_positions, -1) @ mixed)
        return found[0] if n_kv == 1 else torch.cat(found, dim=-1)

    def values_at(
        self, rows: Float[Tensor, "target d_model"], position: Int[Tensor, " target"], n_positions: int
    ) -> Float[Tensor, "target position kv_head_and_d_head"]:
        """Return the same for gradients that are zero but at one position of each target."""
        n_kv, d_head = len(self.output_maps), len(self.value_map) // len(self.output_maps)
        found = []
        rows = rows.to(self.value_map.dtype)
        for output_map, pattern in zip(self.output_maps, self.pattern, strict=True):
            mixed = (rows @ output_map).view(len(rows), -1, d_head)
            found.append(pattern[:n_positions, position].transpose(0, 1) @ mixed)
        return found[0] if n_kv == 1 else torch.cat(found, dim=-1)

    def operations(self, n_rows: int, n_output_rows: int, n_positions: int) -> int:
        """Return the floating-point operations of a passage.

        Args:
            n_rows: gradient rows that come out, over all targets.
            n_output_rows: gradient rows that go in.
            n_positions: query positions that each row is mixed from.
        """
        _, d_model, mixed = self.output_maps.shape
        products = n_output_rows * d_model * mixed * len(self.output_maps)
        mixing = n_rows * n_positions * mixed * len(self.output_maps)
        return 2 * (products + mixing + n_rows * self.value_map.numel())
