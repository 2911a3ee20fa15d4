from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.clt.training import kernels
from workbench.clt.training.kernels import (
    Active,
    SparseDecode,
    above,
    activation_gradient,
    add_decoded,
    dense_decoded,
    feature_sums,
    to_dense,
    top_k,
    transpose,
    weight_gradient,
)

Case = tuple[Active, Tensor, Tensor]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Active features of random pre-activations, chosen either way, a decoder, and a gradient of its output."""
    n_tokens, n_features, d_model = (draw(st.integers(1, high)) for high in (7, 12, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    pre = random(n_tokens, n_features)
    if draw(st.booleans()):
        active = top_k(pre, draw(st.integers(1, n_features)))
    else:
        # A high threshold leaves some tokens, or all, without any active feature.
        active = above(pre, draw(st.sampled_from([0.0, 0.7, 1.5, 9.0])))
    return active, random(n_features, d_model), random(n_tokens, d_model)


def test_top_k_keeps_the_largest_and_never_a_negative_one() -> None:
    active = top_k(torch.tensor([[3.0, -1.0, 5.0, 1.0], [-2.0, 7.0, -3.0, -4.0]]), 2)

    assert to_dense(active, 4).tolist() == [[3.0, 0.0, 5.0, 0.0], [0.0, 7.0, 0.0, 0.0]]


def test_a_threshold_keeps_what_exceeds_it_and_nothing_else() -> None:
    active = above(torch.tensor([[3.0, -1.0, 5.0, 1.0], [-2.0, 1.0, -3.0, 0.5], [0.0, 0.0, 0.0, 2.0]]), 1.0)

    assert to_dense(active, 4).tolist() == [[3.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]]
    assert active.offsets.tolist() == [0, 2, 2, 3]


@given(cases())
@settings(deadline=None)
def test_decoding_equals_the_dense_product(case: Case) -> None:
    active, decoder, grad = case
    out = grad.clone()

    add_decoded(out, active, decoder)

    torch.testing.assert_close(out, grad + dense_decoded(active, decoder), rtol=1e-12, atol=1e-12)


@given(cases())
@settings(deadline=None)
def test_gradients_equal_the_dense_ones(case: Case) -> None:
    active, decoder, grad = case
    n_features = decoder.shape[0]
    dense = to_dense(active, n_features)

    for_decoder = weight_gradient(transpose(active, n_features), active.values, grad)
    for_values = activation_gradient(active, grad, decoder)
    for_bias = feature_sums(active, active.values, n_features)

    everywhere = grad @ decoder.T
    torch.testing.assert_close(for_decoder, dense.T @ grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        for_values, everywhere[active.token.long(), active.feature.long()], rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(for_bias, dense.sum(0), rtol=1e-12, atol=1e-12)


@given(cases())
@settings(deadline=None, max_examples=20)
def test_autograd_agrees_with_finite_differences(case: Case) -> None:
    active, decoder, _ = case
    values = active.values.clone().requires_grad_()

    assert torch.autograd.gradcheck(
        lambda v, d: SparseDecode.apply(v, active, d), (values, decoder.clone().requires_grad_())
    )


def test_without_mkl_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    active = above(torch.randn(20, 30, dtype=torch.float64), 0.5)
    decoder = torch.randn(30, 8, dtype=torch.float64)
    with_mkl, without = torch.zeros(2, 20, 8, dtype=torch.float64)
    add_decoded(with_mkl, active, decoder)

    monkeypatch.setattr(kernels, "_CSR", False)
    add_decoded(without, active, decoder)

    torch.testing.assert_close(with_mkl, without)
