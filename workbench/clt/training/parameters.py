"""The trainable state of a transcoder: normalised weights, one tensor a layer or a (source, target) pair.

Training happens on inputs and outputs that have zero mean and unit mean square a layer; ``export``
folds both away, so that a CLT reads and writes what the model itself holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT


@dataclass(frozen=True)
class Normalisation:
    """Mean and root mean square of every site; sites are reads by layer, then writes by layer."""

    mean: Float[Tensor, "site d_model"]
    scale: Float[Tensor, " site"]

    @classmethod
    def of(cls, activations: Float[Tensor, "site token d_model"]) -> Normalisation:
        """Measure a sample of activations."""
        mean = activations.mean(dim=1)
        scale = (activations - mean[:, None]).pow(2).mean(dim=(1, 2)).sqrt()
        return cls(mean=mean, scale=scale.clamp_min(torch.finfo(scale.dtype).tiny))

    def apply_(self, activations: Float[Tensor, "site token d_model"]) -> Float[Tensor, "site token d_model"]:
        """Normalise in place."""
        return activations.sub_(self.mean[:, None]).div_(self.scale[:, None, None])


@dataclass(frozen=True)
class Parameters:
    """Weights in normalised units.

    Attributes:
        W_enc: by layer.
        W_dec: ``W_dec[layer][j]`` is what the features of ``layer`` write to layer + j; separate
            tensors, so that each gradient is used as the kernels return it.
        W_skip: by layer, applied as ``x @ W_skip.T``; empty without a skip.
    """

    config: CLTConfig
    W_enc: list[Float[Tensor, "feature d_model"]]
    b_enc: list[Float[Tensor, " feature"]]
    W_dec: list[list[Float[Tensor, "feature d_model"]]]
    b_dec: list[Float[Tensor, " d_model"]]
    W_skip: list[Float[Tensor, "d_model d_model"]]

    @classmethod
    def zeros(cls, config: CLTConfig, *, dtype: torch.dtype = torch.float32) -> Parameters:
        """Return parameters that are all zero."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype)

        layers, features, d_model = range(config.n_layers), config.n_features, config.d_model
        return cls(
            config=config,
            W_enc=[zeros(features, d_model) for _ in layers],
            b_enc=[zeros(features) for _ in layers],
            W_dec=[[zeros(features, d_model) for _ in config.targets(layer)] for layer in layers],
            b_dec=[zeros(d_model) for _ in layers],
            W_skip=[zeros(d_model, d_model) for _ in layers] if config.skip else [],
        )

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor with its name in a checkpoint."""
        for layer in range(self.config.n_layers):
            yield f"W_enc.{layer}", self.W_enc[layer]
            yield f"b_enc.{layer}", self.b_enc[layer]
            for j, decoder in enumerate(self.W_dec[layer]):
                yield f"W_dec.{layer}.{layer + j}", decoder
            yield f"b_dec.{layer}", self.b_dec[layer]
            if self.W_skip:
                yield f"W_skip.{layer}", self.W_skip[layer]

    def tensors(self) -> list[Tensor]:
        """Return every tensor, in the order of ``named``."""
        return [tensor for _, tensor in self.named()]

    def fold(self, normalisation: Normalisation, threshold: Float[Tensor, "layer feature"]) -> CLT:
        """Return the transcoder in the model's own units; activations keep their values."""
        (x_mean, y_mean), (x_scale, y_scale) = normalisation.mean.chunk(2), normalisation.scale.chunk(2)
        W_enc = torch.stack(self.W_enc) / x_scale[:, None, None]
        b_enc = torch.stack(self.b_enc) - torch.einsum("lfd,ld->lf", W_enc, x_mean)
        W_dec = tuple(
            torch.stack([decoder * y_scale[layer + j] for j, decoder in enumerate(decoders)], dim=1)
            for layer, decoders in enumerate(self.W_dec)
        )
        b_dec = torch.stack(self.b_dec) * y_scale[:, None] + y_mean
        W_skip = None
        if self.W_skip:
            W_skip = torch.stack(self.W_skip) * (y_scale / x_scale)[:, None, None]
            b_dec = b_dec - torch.einsum("loi,li->lo", W_skip, x_mean)
        return CLT(self.config, W_enc, b_enc, threshold.clone(), W_dec, b_dec, W_skip)

    @classmethod
    def unfold(cls, clt: CLT, config: CLTConfig, normalisation: Normalisation) -> Parameters:
        """Return a transcoder's weights in normalised units; decoders that it lacks are zero, its skip stays.

        This is the warm start from a narrower window: per-layer → windowed → full, with zero tails.
        """
        n_layers = config.n_layers
        (x_mean, y_mean), (x_scale, y_scale) = normalisation.mean.chunk(2), normalisation.scale.chunk(2)
        out = cls.zeros(config)
        for layer in range(n_layers):
            out.W_enc[layer].copy_(clt.W_enc[layer] * x_scale[layer])
            out.b_enc[layer].copy_(clt.b_enc[layer] + clt.W_enc[layer] @ x_mean[layer])
            for j, decoder in enumerate(out.W_dec[layer][: clt.W_dec[layer].shape[1]]):
                decoder.copy_(clt.W_dec[layer][:, j] / y_scale[layer + j])
            b_dec = clt.b_dec[layer] - y_mean[layer]
            if clt.W_skip is not None and out.W_skip:
                out.W_skip[layer].copy_(clt.W_skip[layer] * x_scale[layer] / y_scale[layer])
                b_dec = b_dec + clt.W_skip[layer] @ x_mean[layer]
            out.b_dec[layer].copy_(b_dec / y_scale[layer])
        return out
