"""From training to inference: thresholds of a JumpReLU that give the wanted L0 on held-out text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.activations.store import ActivationStore
from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.clt.transcoder import CLT

_CHUNK = 1_024


def chunks(store: ActivationStore) -> Iterator[Float[Tensor, "site token d_model"]]:
    """Yield a store's activations front to back."""
    for start in range(0, store.capacity, _CHUNK):
        yield store.read(torch.arange(start, min(start + _CHUNK, store.capacity)))


def thresholds(
    parameters: Parameters, normalisation: Normalisation, store: ActivationStore, *, k: int
) -> Float[Tensor, "layer feature"]:
    """Return the thresholds that k features a token and layer exceed on average.

    One a layer, repeated over its features; where thresholds were learned, those of a layer times one factor, so that
    they keep their ratios. This is the inference threshold of BatchTopK (Bussmann et al., 2024): tokens may use more or
    fewer than k features as long as the mean is k. Thresholds are never negative.
    """
    config = parameters.config
    n_kept = k * store.capacity
    bias = torch.stack(parameters.b_enc)
    learned = torch.stack(parameters.log_threshold).exp() if parameters.log_threshold else torch.ones_like(bias)
    largest: list[Tensor] = [torch.empty(0)] * config.n_layers
    for activations in chunks(store):
        reads = normalisation.apply_(activations)[: config.n_layers]
        for layer in range(config.n_layers):
            pre = torch.addmm(parameters.b_enc[layer], reads[layer], parameters.W_enc[layer].T)
            merged = torch.cat([largest[layer], (pre / learned[layer]).flatten()])
            largest[layer] = merged.topk(min(n_kept + 1, merged.numel())).values
    # Strictly greater than the (n + 1)-th largest value are exactly n values, ties apart.
    factor = torch.stack([values[min(n_kept, len(values) - 1)] for values in largest]).clamp_min(0)
    return factor[:, None] * learned


def batch_thresholds(
    parameters: Parameters, reads: Float[Tensor, "layer token d_model"], *, k: int, ranks: Ranks = ALONE
) -> Float[Tensor, " layer"]:
    """Return one threshold a layer that k features a token of this (normalised) batch exceed on average."""
    n_kept = k * reads.shape[1] * (ranks.world if ranks.by_data else 1)
    found = []
    for layer in range(parameters.config.n_layers):
        pre = torch.addmm(parameters.b_enc[layer], reads[layer], parameters.W_enc[layer].T)
        found.append(ranks.largest(pre, n_kept + 1)[-1])
    return torch.stack(found).clamp_min(1e-6)


@dataclass(frozen=True)
class Reconstruction:
    """How well a transcoder reconstructs held-out activations.

    Attributes:
        fvu: fraction of variance unexplained, by layer: Σ‖ŷ − y‖² / Σ‖y − mean y‖².
        l0: active features a token, by layer.
        dead: share of the features, by layer, that never fire.
    """

    fvu: Float[Tensor, " layer"]
    l0: Float[Tensor, " layer"]
    dead: Float[Tensor, " layer"]


def measure(clt: CLT, store: ActivationStore) -> Reconstruction:
    """Measure a finished transcoder on the activations of a store."""
    n_layers = clt.n_layers
    squared_error, squared, active = (torch.zeros(n_layers, dtype=torch.float64) for _ in range(3))
    total = torch.zeros(n_layers, clt.config.d_model, dtype=torch.float64)
    fired = torch.zeros(n_layers, clt.n_features, dtype=torch.bool)
    for block in chunks(store):
        reads, writes = block[:n_layers], block[n_layers:]
        activations = clt.encode_all(reads)
        for layer in range(n_layers):
            predicted = clt.decode(layer, activations) + clt.skip(layer, reads[layer])
            squared_error[layer] += (predicted - writes[layer]).double().pow(2).sum()
            squared[layer] += writes[layer].double().pow(2).sum()
            total[layer] += writes[layer].double().sum(0)
            active[layer] += (activations[layer] > 0).sum()
            fired[layer] |= (activations[layer] > 0).any(0)
    variance = squared - total.pow(2).sum(1) / store.capacity
    return Reconstruction(
        fvu=(squared_error / variance).float(),
        l0=(active / store.capacity).float(),
        dead=1 - fired.float().mean(1),
    )
