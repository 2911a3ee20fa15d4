from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt import CLTConfig
from workbench.clt.training.kernels import above, to_dense, top_k
from workbench.clt.training.parameters import Parameters
from workbench.clt.training.step import backward, forward

N_LAYERS, N_FEATURES, D_MODEL, N_TOKENS, K = 4, 11, 6, 23, 3


def random_parameters(*, window: int, skip: bool) -> Parameters:
    config = CLTConfig(model="m", n_layers=N_LAYERS, d_model=D_MODEL, n_features=N_FEATURES, window=window, skip=skip)
    parameters = Parameters.zeros(config, dtype=torch.float64)
    generator = torch.Generator().manual_seed(window)
    for tensor in parameters.tensors():
        tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / D_MODEL**0.5)
    return parameters


def random_activations(seed: int) -> Float[Tensor, "layer token d_model"]:
    shape = (N_LAYERS, N_TOKENS, D_MODEL)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_loss(parameters: Parameters, reads: Tensor, writes: Tensor, threshold: Tensor | None) -> Tensor:
    """The same loss written with ordinary products, for autograd."""
    predicted = [bias.expand(N_TOKENS, -1) for bias in parameters.b_dec]
    for layer, weight in enumerate(parameters.W_skip):
        predicted[layer] = predicted[layer] + reads[layer] @ weight.T
    for layer in range(N_LAYERS):
        pre = reads[layer] @ parameters.W_enc[layer].T + parameters.b_enc[layer]
        active = top_k(pre, K) if threshold is None else above(pre, float(threshold[layer]))
        for j, decoder in enumerate(parameters.W_dec[layer]):
            predicted[layer + j] = predicted[layer + j] + to_dense(active, N_FEATURES) @ decoder
    return (torch.stack(predicted) - writes).pow(2).mean()


@pytest.mark.parametrize("threshold", [None, torch.tensor([0.0, 0.3, 0.9, 99.0])], ids=["top-k", "JumpReLU"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("window", [1, 2, N_LAYERS])
def test_loss_and_gradients_equal_autograd_on_dense_products(window: int, skip: bool, threshold: Tensor | None) -> None:
    parameters = random_parameters(window=window, skip=skip)
    reads, writes = random_activations(1), random_activations(2)

    with torch.no_grad():
        result = forward(parameters, reads, writes, k=K, threshold=threshold)
        backward(parameters, reads, result)
    by_hand = {name: tensor.grad for name, tensor in parameters.named()}
    for tensor in parameters.tensors():
        tensor.grad = None
        tensor.requires_grad_()
    loss = dense_loss(parameters, reads, writes, threshold)
    loss.backward()  # type: ignore[no-untyped-call]

    assert result.loss == pytest.approx(loss.item(), rel=1e-12)
    for name, tensor in parameters.named():
        torch.testing.assert_close(by_hand[name], tensor.grad, rtol=1e-10, atol=1e-13, msg=name)


def test_l0_counts_positive_activations_only() -> None:
    parameters = random_parameters(window=1, skip=False)
    for bias in parameters.b_enc:
        bias.fill_(-1e6)

    result = forward(parameters, random_activations(1), random_activations(2), k=K)

    assert result.l0.tolist() == [0] * N_LAYERS
