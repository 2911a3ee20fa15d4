"""Losses and gradients that are written out by hand, against autograd on dense products."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.clt import CLTConfig
from workbench.clt.training.objective import Activation, Objective
from workbench.clt.training.parameters import Form, Normalisation, Parameters
from workbench.clt.training.step import backward, forward

N_LAYERS = 4


class JumpReLU(torch.autograd.Function):
    """JumpReLU as the paper defines its gradients: the identity where active, a rectangle for the threshold."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        inside = ((pre - threshold) / ctx.bandwidth).abs() < 0.5
        return grad * (pre > threshold), (-threshold / ctx.bandwidth * inside * grad).sum(0), None


class Problem(NamedTuple):
    parameters: Parameters
    reads: Tensor
    writes: Tensor
    dead: Tensor


def problem(*, window: int, skip: bool, tied: bool, learned: bool, seed: int, sizes: tuple[int, int, int]) -> Problem:
    n_tokens, n_features, d_model = sizes
    config = CLTConfig(model="m", n_layers=N_LAYERS, d_model=d_model, n_features=n_features, window=window, skip=skip)
    parameters = Parameters.zeros(config, Form(tied=tied, thresholds=learned), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    for name, tensor in parameters.named():
        tensor.copy_(random(*tensor.shape) / (1 if tensor.ndim == 1 else d_model**0.5))
        if name.startswith("log_threshold"):
            tensor.mul_(0.5).sub_(0.5)
    reads, writes = random(N_LAYERS, n_tokens, d_model), random(N_LAYERS, n_tokens, d_model)
    return Problem(parameters, reads, writes, random(N_LAYERS, n_features) > 0.3)


def dense_activations(pre: Tensor, layer: int, p: Parameters, o: Objective, k: int, threshold: Tensor | None) -> Tensor:
    if o.activation == "jumprelu":
        return JumpReLU.apply(pre, p.log_threshold[layer].exp(), o.bandwidth)  # type: ignore[no-any-return]
    if threshold is not None:
        return pre * (pre > threshold[layer])
    ranked = pre if o.activation == "topk" else pre.flatten()
    n = min(k, pre.shape[1]) * (1 if o.activation == "topk" else len(pre))
    return (pre * (pre >= ranked.sort(descending=True).values[..., n - 1 : n])).relu()


def dense_loss(case: Problem, o: Objective, k: int, threshold: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the FVU and the whole loss, as the definitions read."""
    p, reads, writes, _ = case
    predicted = [bias.expand_as(writes[layer]) for layer, bias in enumerate(p.b_dec)]
    auxiliary = list(torch.zeros_like(writes))
    for layer, weight in enumerate(p.W_skip):
        predicted[layer] = predicted[layer] + reads[layer] @ weight.T
    terms = torch.zeros((), dtype=torch.float64)
    for layer in range(N_LAYERS):
        pre = reads[layer] @ p.W_enc[layer].T + p.b_enc[layer]
        acts = dense_activations(pre, layer, p, o, k, threshold)
        decoders = [p.decoder(layer, j) for j in range(len(p.config.targets(layer)))]
        norm = torch.stack(decoders, dim=1).square().sum((1, 2)).sqrt()
        terms = terms + o.sparsity * torch.tanh(o.saturation * norm * acts).sum()
        dead = torch.zeros_like(case.dead[layer]) if o.dead is None else o.dead[layer]
        if o.pre_activation:
            missing = (p.log_threshold[layer].exp() - pre).relu() * norm.detach()
            terms = terms + o.pre_activation * missing[:, dead].sum()
        dormant = torch.where(dead, pre, -torch.inf)
        n_aux = min(o.aux_k, int(dead.sum()))
        cut = dormant.sort(dim=1, descending=True).values[:, n_aux - 1 : n_aux] if n_aux else torch.inf
        for j, decoder in enumerate(decoders):
            predicted[layer + j] = predicted[layer + j] + acts @ decoder
            auxiliary[layer + j] = auxiliary[layer + j] + torch.where(dormant >= cut, pre, 0.0).relu() @ decoder
    errors = torch.stack(predicted) - writes
    fvu = errors.square().mean()
    loss = fvu + terms / (N_LAYERS * reads.shape[1])
    if o.aux_k and o.dead is not None and bool(o.dead.any()):
        left, missing = (torch.stack(auxiliary) + errors.detach()).square(), errors.detach().square()
        loss = loss + o.aux_coefficient * (left.mean((1, 2)) / missing.mean((1, 2))).mean()
    return fvu, loss


SIZES = st.tuples(st.integers(2, 23), st.integers(2, 16), st.integers(2, 6))
WAYS: dict[str, tuple[Activation, bool]] = {
    "topk": ("topk", False),
    "batchtopk": ("batchtopk", False),
    "one threshold a layer": ("topk", True),
    "jumprelu": ("jumprelu", False),
}


@pytest.mark.parametrize("extras", [False, True], ids=["reconstruction alone", "all terms"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("skip", [False, True], ids=["plain", "skip"])
@pytest.mark.parametrize("window", [1, 2, N_LAYERS])
@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 9_999), sizes=SIZES, k=st.integers(1, 5))
@settings(deadline=None, max_examples=4)
def test_loss_and_gradients_equal_autograd_on_dense_products(
    way: str, window: int, skip: bool, tied: bool, extras: bool, seed: int, sizes: tuple[int, int, int], k: int
) -> None:
    activation, fixed = WAYS[way]
    learned = activation == "jumprelu"
    case = problem(window=window, skip=skip, tied=tied, learned=learned, seed=seed, sizes=sizes)
    objective = Objective(activation=activation)
    if extras:
        objective = Objective(
            activation=activation,
            bandwidth=0.8,
            saturation=1.5,
            sparsity=0.2,
            pre_activation=0.1 if learned else 0.0,
            aux_k=3,
            aux_coefficient=0.3,
            dead=case.dead,
        )
    threshold = torch.tensor([0.0, 0.3, 0.9, 99.0], dtype=torch.float64) if fixed else None

    with torch.no_grad():
        result = forward(case.parameters, case.reads, case.writes, k=k, threshold=threshold, objective=objective)
        backward(case.parameters, case.reads, result, objective)
    by_hand = {name: tensor.grad for name, tensor in case.parameters.named()}
    for tensor in case.parameters.tensors():
        tensor.grad = None
        tensor.requires_grad_()
    fvu, loss = dense_loss(case, objective, k, threshold)
    loss.backward()  # type: ignore[no-untyped-call]

    assert result.loss == pytest.approx(fvu.item(), rel=1e-12)
    for name, tensor in case.parameters.named():
        wanted = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        torch.testing.assert_close(by_hand[name], wanted, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_l0_counts_positive_activations_only() -> None:
    case = problem(window=1, skip=False, tied=False, learned=False, seed=0, sizes=(9, 8, 5))
    for bias in case.parameters.b_enc:
        bias.fill_(-1e6)

    result = forward(case.parameters, case.reads, case.writes, k=3)

    assert result.l0.tolist() == [0] * N_LAYERS


@pytest.mark.parametrize("window", [2, N_LAYERS])
@pytest.mark.parametrize("tied", [False, True])
def test_a_per_layer_transcoder_starts_a_wider_one_at_exactly_its_own_loss(window: int, tied: bool) -> None:
    case = problem(window=1, skip=False, tied=False, learned=False, seed=1, sizes=(200, 16, 6))
    activations = torch.cat([case.reads, case.writes])
    normalisation = Normalisation.of(activations)
    threshold = torch.full((N_LAYERS, 16), 0.4, dtype=torch.float64)
    narrow = case.parameters.fold(normalisation, threshold)
    reads, writes = normalisation.apply_(activations).float().chunk(2)
    wide_config = narrow.config.model_copy(update={"window": window})

    before = Parameters.unfold(narrow, narrow.config, normalisation)
    after = Parameters.unfold(narrow, wide_config, normalisation, Form(tied=tied))

    for fixed in (None, threshold[:, 0]):
        started, own = (forward(p, reads, writes, k=4, threshold=fixed) for p in (after, before))
        assert torch.equal(started.fvu, own.fvu)
