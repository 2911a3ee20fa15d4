"""The trainable state of a transcoder: normalised weights, one tensor a layer or a (source, target) pair.

Training happens on inputs and outputs that have zero mean and unit mean square a layer; ``export``
folds both away, so that a CLT reads and writes what the model itself holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT

# A threshold of zero has no logarithm; this one lets as much pass.
_LEAST_THRESHOLD = 1e-6


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


class Form(NamedTuple):
    """What is trained of a transcoder beside its shape; the export is of one form, whatever this is.

    Attributes:
        tied: one decoder row a feature for all the layers that it writes to, and a scalar for each of them.
        thresholds: every feature has a JumpReLU threshold that is learned.
    """

    tied: bool = False
    thresholds: bool = False


@dataclass(frozen=True)
class Parameters:
    """Weights in normalised units.

    Attributes:
        W_enc: by layer.
        W_dec: ``W_dec[layer][j]`` is what the features of ``layer`` write to layer + j; separate
            tensors, so that each gradient is used as the kernels return it. Tied: ``W_dec[layer]`` has one.
        W_skip: by layer, applied as ``x @ W_skip.T``; empty without a skip.
        decoder_scale: tied: ``decoder_scale[layer][j]`` times the one decoder row is what is written to layer + j;
            empty otherwise.
        log_threshold: by layer, natural logarithms of learned thresholds; empty where none are learned.
    """

    config: CLTConfig
    W_enc: list[Float[Tensor, "feature d_model"]]
    b_enc: list[Float[Tensor, " feature"]]
    W_dec: list[list[Float[Tensor, "feature d_model"]]]
    b_dec: list[Float[Tensor, " d_model"]]
    W_skip: list[Float[Tensor, "d_model d_model"]]
    decoder_scale: list[list[Float[Tensor, " feature"]]]
    log_threshold: list[Float[Tensor, " feature"]]

    @classmethod
    def zeros(cls, config: CLTConfig, form: Form = Form(), *, dtype: torch.dtype = torch.float32) -> Parameters:
        """Return parameters that are all zero."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype)

        layers, features, d_model = range(config.n_layers), config.n_features, config.d_model
        return cls(
            config=config,
            W_enc=[zeros(features, d_model) for _ in layers],
            b_enc=[zeros(features) for _ in layers],
            W_dec=[
                [zeros(features, d_model) for _ in (range(1) if form.tied else config.targets(layer))]
                for layer in layers
            ],
            b_dec=[zeros(d_model) for _ in layers],
            W_skip=[zeros(d_model, d_model) for _ in layers] if config.skip else [],
            decoder_scale=[[zeros(features) for _ in config.targets(layer)] for layer in layers] if form.tied else [],
            log_threshold=[zeros(features) for _ in layers] if form.thresholds else [],
        )

    @property
    def form(self) -> Form:
        return Form(tied=bool(self.decoder_scale), thresholds=bool(self.log_threshold))

    def table(self, layer: int, j: int) -> tuple[Float[Tensor, "feature d_model"], Float[Tensor, " feature"] | None]:
        """Return the tensors that ``decoder`` is made of: rows, and what they are to be multiplied by if anything."""
        if self.decoder_scale:
            return self.W_dec[layer][0], self.decoder_scale[layer][j]
        return self.W_dec[layer][j], None

    def decoder(self, layer: int, j: int) -> Float[Tensor, "feature d_model"]:
        """Return what the features of ``layer`` write to layer + j."""
        rows, scale = self.table(layer, j)
        return rows if scale is None else scale[:, None] * rows

    def decoder_norm(self, layer: int) -> Float[Tensor, " feature"]:
        """Return the length of all that a feature writes, to all layers together."""
        squares = torch.stack([decoder.square().sum(1) for decoder in self.W_dec[layer]]).sum(0)
        if self.decoder_scale:
            squares = squares * torch.stack(self.decoder_scale[layer]).square().sum(0)
        return squares.sqrt()

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
            for j, scale in enumerate(self.decoder_scale[layer] if self.decoder_scale else ()):
                yield f"decoder_scale.{layer}.{layer + j}", scale
            if self.log_threshold:
                yield f"log_threshold.{layer}", self.log_threshold[layer]

    def tensors(self) -> list[Tensor]:
        """Return every tensor, in the order of ``named``."""
        return [tensor for _, tensor in self.named()]

    def fold(self, normalisation: Normalisation, threshold: Float[Tensor, "layer feature"]) -> CLT:
        """Return the transcoder in the model's own units; activations keep their values."""
        (x_mean, y_mean), (x_scale, y_scale) = normalisation.mean.chunk(2), normalisation.scale.chunk(2)
        W_enc = torch.stack(self.W_enc) / x_scale[:, None, None]
        b_enc = torch.stack(self.b_enc) - torch.einsum("lfd,ld->lf", W_enc, x_mean)
        W_dec = tuple(
            torch.stack([self.decoder(layer, target - layer) * y_scale[target] for target in targets], dim=1)
            for layer, targets in enumerate(map(self.config.targets, range(self.config.n_layers)))
        )
        b_dec = torch.stack(self.b_dec) * y_scale[:, None] + y_mean
        W_skip = None
        if self.W_skip:
            W_skip = torch.stack(self.W_skip) * (y_scale / x_scale)[:, None, None]
            b_dec = b_dec - torch.einsum("loi,li->lo", W_skip, x_mean)
        return CLT(self.config, W_enc, b_enc, threshold.clone(), W_dec, b_dec, W_skip)

    @classmethod
    def unfold(cls, clt: CLT, config: CLTConfig, normalisation: Normalisation, form: Form = Form()) -> Parameters:
        """Return a transcoder's weights in normalised units; decoders that it lacks are zero, its skip stays.

        This is the warm start from a narrower window: per-layer → windowed → full, with zero tails. Tied decoders
        start from those to the own layer and the multiples of them that come closest to the others.
        """
        n_layers = config.n_layers
        (x_mean, y_mean), (x_scale, y_scale) = normalisation.mean.chunk(2), normalisation.scale.chunk(2)
        out = cls.zeros(config, form)
        for layer in range(n_layers):
            out.W_enc[layer].copy_(clt.W_enc[layer] * x_scale[layer])
            out.b_enc[layer].copy_(clt.b_enc[layer] + clt.W_enc[layer] @ x_mean[layer])
            for j in range(min(len(config.targets(layer)), clt.W_dec[layer].shape[1])):
                out.set_decoder(layer, j, clt.W_dec[layer][:, j] / y_scale[layer + j])
            b_dec = clt.b_dec[layer] - y_mean[layer]
            if clt.W_skip is not None and out.W_skip:
                out.W_skip[layer].copy_(clt.W_skip[layer] * x_scale[layer] / y_scale[layer])
                b_dec = b_dec + clt.W_skip[layer] @ x_mean[layer]
            out.b_dec[layer].copy_(b_dec / y_scale[layer])
            if out.log_threshold:
                out.log_threshold[layer].copy_(clt.threshold[layer].clamp_min(_LEAST_THRESHOLD).log())
        return out

    def set_decoder(self, layer: int, j: int, rows: Float[Tensor, "feature d_model"]) -> None:
        """Set what the features of ``layer`` write to layer + j; tied, to other layers the nearest multiple of it."""
        if not self.decoder_scale:
            self.W_dec[layer][j].copy_(rows)
            return
        if j == 0:
            self.W_dec[layer][0].copy_(rows)
        own = self.W_dec[layer][0]
        multiple = (rows * own).sum(1) / own.square().sum(1).clamp_min(torch.finfo(own.dtype).tiny)
        self.decoder_scale[layer][j].copy_(multiple if j else torch.ones_like(multiple))
