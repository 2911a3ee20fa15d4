"""Normalisation layers with a frozen denominator: linear maps, pulled back by their transpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class FrozenNorm:
    """x ↦ (C x) / scale ⊙ weight + bias with a constant ``scale`` a position.

    C subtracts the mean for a LayerNorm (only 1/σ is frozen, the centring stays linear) and is the
    identity for an RMSNorm.
    """

    scale: Float[Tensor, "position 1"]
    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    centred: bool

    @classmethod
    def of(cls, norm: Any, scale: Float[Tensor, "position 1"]) -> FrozenNorm:
        """Read weight, bias and kind from a TransformerLens normalisation component."""
        original = norm.original_component
        weight = getattr(original, "weight", None)
        bias = getattr(original, "bias", None)
        d_model = int(norm.config.d_model)
        if weight is None:
            weight = torch.ones(d_model, dtype=scale.dtype, device=scale.device)
        elif norm.uses_weight_offset:
            weight = 1.0 + weight
        return cls(
            scale=scale,
            weight=weight.detach(),
            bias=None if bias is None or norm.uses_rms_norm else bias.detach(),
            centred=not norm.uses_rms_norm,
        )

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Return C x; C is symmetric, so this is its transpose too."""
        return x - x.mean(dim=-1, keepdim=True) if self.centred else x

    def push(self, x: Float[Tensor, "... position d_model"]) -> Float[Tensor, "... position d_model"]:
        """Return the norm's output without its bias.

        Args:
            x: at the positions from 0.
        """
        return self.centre(x) * (self.weight / self.scale[: x.shape[-2]])

    def pull_back(
        self, gradient: Float[Tensor, "... position d_model"], *, first: int = 0, weighted: bool = True
    ) -> Float[Tensor, "... position d_model"]:
        """Return the gradient at the norm's input from the gradient at its output.

        Args:
            gradient: at consecutive positions.
            first: the first of these positions.
            weighted: False when the gradient is taken before the norm's weight (``hook_normalized``).
        """
        scale = self.scale[first : first + gradient.shape[-2]]
        return self.centre(gradient * (self.weight / scale) if weighted else gradient / scale)

    def pull_back_at(
        self, gradient: Float[Tensor, "target d_model"], position: Tensor, *, weighted: bool = True
    ) -> Float[Tensor, "target d_model"]:
        """Return the gradient at the norm's input, for one position a target."""
        scale = self.scale[position]
        return self.centre(gradient * self.weight / scale if weighted else gradient / scale)
