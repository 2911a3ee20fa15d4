from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from workbench.clt.training.kernels import (
    DENSE,
    SPARSE,
    Active,
    Kernels,
    SparseDecode,
    above,
    add_decoded,
    batch_top_k,
    between,
    feature_sums,
    to_dense,
    top_k,
    transpose,
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


@given(st.integers(1, 9), st.integers(1, 70), st.data())
@settings(deadline=None)
def test_top_k_takes_the_same_places_as_a_sort(n_tokens: int, n_features: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n_features))
    pre = torch.randn(n_tokens, n_features, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))

    dense = to_dense(top_k(pre, k), n_features)

    cut = pre.sort(dim=1, descending=True).values[:, k - 1 : k]
    assert torch.equal(dense, torch.where(pre >= cut, pre, 0.0).clamp_min(0))


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("shape", [(3, 7), (50, 64), (400, 256)], ids=str)
def test_batch_top_k_keeps_the_largest_of_all_tokens_together(shape: tuple[int, int], k: int) -> None:
    pre = torch.randn(shape, generator=torch.Generator().manual_seed(k))

    active = batch_top_k(pre, k)

    ranked = pre.flatten().sort(descending=True).values.clamp_min(0)
    wanted = ranked[: min(k * shape[0], len(ranked))]
    assert torch.equal(active.values.sort(descending=True).values, wanted[wanted > 0])
    assert torch.equal(to_dense(active, shape[1]), torch.where(pre >= wanted[-1], pre, 0.0).clamp_min(0))


def test_batch_top_k_is_right_when_its_sample_is_not() -> None:
    # Every 31st value is seen by the sample: it sees only large ones here, and would cut far too high.
    pre = torch.rand(310, 64, generator=torch.Generator().manual_seed(0))
    pre.view(-1)[::31] += 10

    active = batch_top_k(pre, 8)

    assert torch.equal(active.values.sort().values, pre.flatten().sort().values[-8 * 310 :])


def test_what_lies_between_two_thresholds_of_its_feature_is_found() -> None:
    pre = torch.tensor([[0.5, 0.5, 3.0], [1.0, 4.0, -1.0]])

    active = between(pre, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.7, 4.0, 3.0]))

    assert active.token.tolist() == [0, 0, 1]
    assert active.feature.tolist() == [0, 2, 1]
    assert active.values.tolist() == [0.5, 3.0, 4.0]


@pytest.mark.parametrize("kernels", [SPARSE, DENSE], ids=["sparse", "dense"])
@given(case=cases())
@settings(deadline=None)
def test_decoding_equals_the_product_with_the_dense_activations(kernels: Kernels, case: Case) -> None:
    active, decoder, grad = case
    out = grad.clone()

    kernels.add_decoded(out, active, decoder)

    torch.testing.assert_close(out, grad + to_dense(active, len(decoder)) @ decoder, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernels", [SPARSE, DENSE], ids=["sparse", "dense"])
@given(case=cases())
@settings(deadline=None)
def test_gradients_equal_those_of_dense_products(kernels: Kernels, case: Case) -> None:
    active, decoder, grad = case
    n_features = len(decoder)
    dense = to_dense(active, n_features)

    for_decoder = kernels.weight_gradient(transpose(active, n_features), active.values, grad)
    for_values = kernels.activation_gradient(active, grad, decoder)
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


@pytest.mark.parametrize("threshold", [2.0, -9.0], ids=["few are active", "all are active"])
def test_the_sizes_of_a_real_layer_take_the_fast_ways_and_give_the_same(threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pre, decoder = torch.randn(20_480, 40, generator=generator), torch.randn(40, 8, generator=generator)
    active = above(pre, threshold)
    out = torch.zeros(20_480, 8)

    add_decoded(out, active, decoder)

    torch.testing.assert_close(out, torch.where(pre > threshold, pre, 0.0) @ decoder, rtol=1e-4, atol=1e-4)
    assert torch.equal(transpose(active, 40).token, torch.nonzero((pre > threshold).T)[:, 1].int())
