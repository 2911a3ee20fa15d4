"""One optimiser step's loss and gradients, written out by hand over the sparse kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.kernels import (
    Active,
    above,
    activation_gradient,
    add_decoded,
    feature_sums,
    top_k,
    transpose,
    weight_gradient,
)
from workbench.clt.training.parameters import Parameters


@dataclass(frozen=True)
class StepResult:
    """What a step saw; ``fvu`` and ``l0`` are of the whole batch and of all features, the rest is this process's part.

    Attributes:
        fvu: fraction of variance unexplained, by layer.
        l0: active features a token, by layer.
        errors: ŷ − y in normalised units.
        active: the active features by layer.
    """

    fvu: Float[Tensor, " layer"]
    l0: Float[Tensor, " layer"]
    errors: Float[Tensor, "layer token d_model"]
    active: list[Active]

    @property
    def loss(self) -> float:
        """Mean over layers of the fraction of variance unexplained."""
        return float(self.fvu.mean())


def forward(
    parameters: Parameters,
    reads: Float[Tensor, "layer token d_model"],
    writes: Float[Tensor, "layer token d_model"],
    *,
    k: int,
    threshold: Float[Tensor, " layer"] | None = None,
    ranks: Ranks = ALONE,
) -> StepResult:
    """Encode, keep the top k (or with ``threshold`` what exceeds it), decode, compare.

    ``reads`` and ``writes`` are normalised.

    Args:
        ranks: who else holds a part of the batch or of the features.
    """
    config = parameters.config
    active = []
    for layer in range(config.n_layers):
        pre = torch.addmm(parameters.b_enc[layer], reads[layer], parameters.W_enc[layer].T)
        keep = min(k, config.n_features)
        active.append(top_k(pre, keep) if threshold is None else above(pre, float(threshold[layer])))
    if threshold is None:
        active = ranks.top_k(active, k)
    # What no feature writes is added by one process alone where the reconstruction is summed over several.
    first = ranks.is_first or not ranks.by_features
    errors = torch.neg(writes) if first else torch.zeros_like(writes)
    for layer, bias in enumerate(parameters.b_dec if first else ()):
        errors[layer] += bias
        if parameters.W_skip:
            errors[layer].addmm_(reads[layer], parameters.W_skip[layer].T)
    sums = []
    for layer in range(config.n_layers):
        for j, target in enumerate(config.targets(layer)):
            add_decoded(errors[target], active[layer], parameters.W_dec[layer][j])
        # Later layers write to later ones only: this one is complete, and is sent while they are decoded.
        sums += ranks.begin_feature_sum(errors[layer])
    for work in sums:
        work.wait()
    n_tokens, d_model = errors.shape[1:]
    fvu = torch.linalg.vector_norm(errors, dim=(1, 2)).pow_(2).div_(n_tokens * d_model)
    l0 = torch.stack([(found.values > 0).sum() / found.n_tokens for found in active])
    return StepResult(fvu=ranks.mean_tokens(fvu), l0=ranks.whole(l0), errors=errors, active=active)


def backward(parameters: Parameters, reads: Float[Tensor, "layer token d_model"], result: StepResult) -> None:
    """Set the gradient of the loss (the mean FVU of ``result``) on every parameter.

    Only features that are active on a token receive a gradient from it, so encoder and decoder
    gradients share one transposed pattern a layer.
    """
    config = parameters.config
    n_layers, n_tokens, d_model = result.errors.shape
    grad = result.errors * (2.0 / (n_layers * n_tokens * d_model))
    for layer in range(n_layers):
        parameters.b_dec[layer].grad = grad[layer].sum(0)
        if parameters.W_skip:
            parameters.W_skip[layer].grad = grad[layer].T @ reads[layer]
        active = result.active[layer]
        pattern = transpose(active, config.n_features)
        values_grad = torch.zeros_like(active.values)
        for j, target in enumerate(config.targets(layer)):
            decoder = parameters.W_dec[layer][j]
            decoder.grad = weight_gradient(pattern, active.values, grad[target])
            values_grad += activation_gradient(active, grad[target], decoder)
        values_grad.masked_fill_(active.values == 0, 0.0)
        parameters.W_enc[layer].grad = weight_gradient(pattern, values_grad, reads[layer])
        parameters.b_enc[layer].grad = feature_sums(active, values_grad, config.n_features)
