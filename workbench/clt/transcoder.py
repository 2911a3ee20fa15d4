"""A cross-layer transcoder ready for use: JumpReLU features, decoders by source layer.

Source of the method: Ameisen et al., "Circuit Tracing" (2025), section "Building an interpretable
replacement model".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.config import CLTConfig


@dataclass(frozen=True)
class CLT:
    """The weights of a cross-layer transcoder.

    a^l = JumpReLU_θ(W_enc^l x^l + b_enc^l);  ŷ^m = Σ_l W_dec^{l→m} a^l + W_skip^m x^m + b_dec^m.

    Attributes:
        W_dec: one tensor a source layer; ``W_dec[l][f, j]`` is what feature f writes to layer l + j.
        W_skip: applied as ``x @ W_skip[layer].T``; None for a transcoder without skip.
    """

    config: CLTConfig
    W_enc: Float[Tensor, "layer feature d_model"]
    b_enc: Float[Tensor, "layer feature"]
    threshold: Float[Tensor, "layer feature"]
    W_dec: tuple[Float[Tensor, "feature target d_model"], ...]
    b_dec: Float[Tensor, "layer d_model"]
    W_skip: Float[Tensor, "layer d_model d_model"] | None = None

    @property
    def n_layers(self) -> int:
        return self.config.n_layers

    @property
    def n_features(self) -> int:
        return self.config.n_features

    def pre_activations(self, layer: int, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... feature"]:
        """Return the features' inputs to their JumpReLU."""
        return x @ self.W_enc[layer].T + self.b_enc[layer]

    def encode(self, layer: int, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... feature"]:
        """Return the activations of one layer's features, zero where the threshold is not passed."""
        pre = self.pre_activations(layer, x)
        return torch.where(pre > self.threshold[layer], pre, torch.zeros((), dtype=pre.dtype, device=pre.device))

    def encode_all(self, x: Float[Tensor, "layer ... d_model"]) -> list[Float[Tensor, "... feature"]]:
        """Return the activations of every layer."""
        return [self.encode(layer, x[layer]) for layer in range(self.n_layers)]

    def decoder(self, source: int, target: int) -> Float[Tensor, "feature d_model"]:
        """Return what the features of layer ``source`` write to layer ``target``."""
        return self.W_dec[source][:, target - source]

    def decode(self, target: int, activations: Sequence[Float[Tensor, "... feature"]]) -> Float[Tensor, "... d_model"]:
        """Return Σ_l W_dec^{l→target} a^l + b_dec^target, without the skip.

        Args:
            activations: by source layer; only the layers that write to ``target`` are read.
        """
        out = self.b_dec[target].expand(*activations[target].shape[:-1], -1)
        for source in self.config.sources(target):
            out = out + activations[source] @ self.decoder(source, target)
        return out

    def skip(self, layer: int, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Return W_skip^layer x, zero for a transcoder without skip."""
        return torch.zeros_like(x) if self.W_skip is None else x @ self.W_skip[layer].T

    def reconstruct(self, x: Float[Tensor, "layer ... d_model"]) -> Float[Tensor, "layer ... d_model"]:
        """Return ŷ for every layer from what the transcoder reads at every layer."""
        activations = self.encode_all(x)
        return torch.stack(
            [self.decode(layer, activations) + self.skip(layer, x[layer]) for layer in range(self.n_layers)]
        )

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> CLT:
        """Return a copy in another dtype or on another device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype)

        return replace(
            self,
            W_enc=move(self.W_enc),
            b_enc=move(self.b_enc),
            threshold=move(self.threshold),
            W_dec=tuple(move(decoder) for decoder in self.W_dec),
            b_dec=move(self.b_dec),
            W_skip=None if self.W_skip is None else move(self.W_skip),
        )
