"""One optimiser step's loss and gradients, written out by hand over the sparse kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt.kernels import (
    activation_gradient,
    add_decoded,
    feature_sums,
    top_k,
    transpose,
    weight_gradient,
)
from workbench.clt.parameters import Parameters


@dataclass(frozen=True)
class StepResult:
    """What a step saw.

    Attributes:
        fvu: fraction of variance unexplained, by layer.
        errors: ŷ − y in normalised units.
        values: top-k activations by layer; negative pre-activations stand as zero.
        indices: the features that they belong to.
    """

    fvu: Float[Tensor, " layer"]
    errors: Float[Tensor, "layer token d_model"]
    values: list[Float[Tensor, "token k"]]
    indices: list[Int[Tensor, "token k"]]

    @property
    def loss(self) -> float:
        """Mean over layers of the fraction of variance unexplained."""
        return float(self.fvu.mean())

    @property
    def l0(self) -> float:
        """Active features a token and layer."""
        return sum(float((values > 0).sum()) / values.shape[0] for values in self.values) / len(self.values)


def forward(
    parameters: Parameters,
    reads: Float[Tensor, "layer token d_model"],
    writes: Float[Tensor, "layer token d_model"],
    *,
    k: int,
) -> StepResult:
    """Encode, keep the top k, decode, compare. ``reads`` and ``writes`` are normalised."""
    config = parameters.config
    values, indices = [], []
    for layer in range(config.n_layers):
        pre = torch.addmm(parameters.b_enc[layer], reads[layer], parameters.W_enc[layer].T)
        layer_values, layer_indices = top_k(pre, k)
        values.append(layer_values)
        indices.append(layer_indices)
    errors = torch.neg(writes)
    for layer, bias in enumerate(parameters.b_dec):
        errors[layer] += bias
        if parameters.W_skip:
            errors[layer].addmm_(reads[layer], parameters.W_skip[layer].T)
    for layer in range(config.n_layers):
        for j, target in enumerate(config.targets(layer)):
            add_decoded(errors[target], values[layer], indices[layer], parameters.W_dec[layer][j])
    n_tokens, d_model = errors.shape[1:]
    fvu = torch.linalg.vector_norm(errors, dim=(1, 2)).pow_(2).div_(n_tokens * d_model)
    return StepResult(fvu=fvu, errors=errors, values=values, indices=indices)


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
        values, indices = result.values[layer], result.indices[layer]
        pattern = transpose(indices, config.n_features)
        values_grad = torch.zeros_like(values)
        for j, target in enumerate(config.targets(layer)):
            decoder = parameters.W_dec[layer][j]
            decoder.grad = weight_gradient(pattern, values, grad[target])
            values_grad += activation_gradient(indices, grad[target], decoder)
        values_grad.masked_fill_(values == 0, 0.0)
        parameters.W_enc[layer].grad = weight_gradient(pattern, values_grad, reads[layer])
        parameters.b_enc[layer].grad = feature_sums(indices, values_grad, config.n_features)
