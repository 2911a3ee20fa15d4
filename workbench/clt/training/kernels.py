"""Sparse products of active features with decoder tables, from stock torch operations.

At 16 active of 512 features a dense product does 32 times the needed arithmetic; what follows
touches active rows only. Forward is a CSR product where torch was built with MKL (embedding_bag
elsewhere), the weight gradient an embedding_bag over the transposed pattern, the activation gradient
a sampled product. ``dense_decoded`` is the same written out: the reference for tests.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

# torch announces once a process that CSR tensors are a beta feature; that is no news to a user.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], torch.empty(0, dtype=torch.int64), torch.empty(0), (1, 1), check_invariants=False)

# Products of CSR matrices need MKL; other builds of torch have none on a CPU.
_CSR: bool = torch._C.has_mkl


class Active(NamedTuple):
    """The active features of some tokens, token by token.

    Attributes:
        values: their activations.
        feature: which feature each is (int32).
        token: which token each belongs to (int32).
        offsets: token t owns the entries ``offsets[t] : offsets[t + 1]`` (int32).
    """

    values: Float[Tensor, " active"]
    feature: Int[Tensor, " active"]
    token: Int[Tensor, " active"]
    offsets: Int[Tensor, " token_1"]

    @property
    def n_tokens(self) -> int:
        return len(self.offsets) - 1


class Transposed(NamedTuple):
    """The same pattern feature by feature.

    Attributes:
        order: from an entry's place here to its place in ``Active``.
        token: the tokens that feature f is active on are ``token[offsets[f] : offsets[f + 1]]``.
    """

    order: Int[Tensor, " active"]
    token: Int[Tensor, " active"]
    offsets: Int[Tensor, " feature_1"]


def top_k(pre: Float[Tensor, "token feature"], k: int) -> Active:
    """Return the k largest pre-activations of every token, negative ones as zero."""
    n_tokens = pre.shape[0]
    values, indices = pre.topk(k, dim=1, sorted=False)
    return Active(
        values=values.clamp_(min=0).view(-1),
        feature=indices.view(-1).to(torch.int32),
        token=torch.arange(n_tokens, dtype=torch.int32).repeat_interleave(k),
        offsets=torch.arange(0, n_tokens * k + 1, k, dtype=torch.int32),
    )


def above(pre: Float[Tensor, "token feature"], threshold: float) -> Active:
    """Return every pre-activation above a threshold that is not negative: JumpReLU."""
    flat = torch.nonzero(pre.view(-1) > threshold).view(-1)
    token = torch.div(flat, pre.shape[1], rounding_mode="floor")
    return Active(
        values=pre.view(-1)[flat],
        feature=(flat - token * pre.shape[1]).to(torch.int32),
        token=token.to(torch.int32),
        offsets=_offsets(token, pre.shape[0]),
    )


def _offsets(rows: Int[Tensor, " active"], n_rows: int) -> Int[Tensor, " row_1"]:
    offsets = torch.zeros(n_rows + 1, dtype=torch.int32)
    offsets[1:] = torch.bincount(rows, minlength=n_rows).cumsum(0)
    return offsets


def to_csr(active: Active, values: Float[Tensor, " active"], n_features: int) -> Float[Tensor, "token feature"]:
    """Return a sparse matrix in CSR layout with the pattern of ``active``; the memory is shared."""
    return torch.sparse_csr_tensor(
        active.offsets, active.feature, values, (active.n_tokens, n_features), check_invariants=False
    )


def to_dense(active: Active, n_features: int) -> Float[Tensor, "token feature"]:
    """Return the activations as an ordinary matrix."""
    dense = active.values.new_zeros(active.n_tokens, n_features)
    dense[active.token.long(), active.feature.long()] = active.values
    return dense


def transpose(active: Active, n_features: int) -> Transposed:
    """Return the pattern feature by feature; one sort serves every weight gradient of a layer."""
    # 16-bit keys sort faster, and no layer here has 32,768 features.
    keys = active.feature.to(torch.int16) if n_features < 2**15 else active.feature
    order = torch.argsort(keys, stable=True)
    return Transposed(order, active.token[order], _offsets(active.feature, n_features))


def add_decoded(out: Float[Tensor, "token d_model"], active: Active, decoder: Float[Tensor, "feature d_model"]) -> None:
    """Add Σ values · decoder[feature] to every token's row of ``out`` in place."""
    if _CSR:
        torch.addmm(out, to_csr(active, active.values, decoder.shape[0]), decoder, out=out)
    else:
        out += _bag_sums(decoder, active.feature, active.offsets, active.values)


def weight_gradient(
    pattern: Transposed, values: Float[Tensor, " active"], grad: Float[Tensor, "token d_model"]
) -> Float[Tensor, "feature d_model"]:
    """Return Σ_token values[token, f] · grad[token] for every feature f."""
    return _bag_sums(grad, pattern.token, pattern.offsets, values[pattern.order])


def _bag_sums(table: Tensor, rows: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(rows, table, offsets=offsets, include_last_offset=True, mode="sum", per_sample_weights=weights)


def feature_sums(active: Active, values: Float[Tensor, " active"], n_features: int) -> Float[Tensor, " feature"]:
    """Return Σ_token values[token, f] for every feature f."""
    return values.new_zeros(n_features).index_add_(0, active.feature, values)


def activation_gradient(
    active: Active, grad: Float[Tensor, "token d_model"], decoder: Float[Tensor, "feature d_model"]
) -> Float[Tensor, " active"]:
    """Return ⟨grad[token], decoder[feature]⟩ for every active feature: the gradient for its activation."""
    pattern = to_csr(active, torch.zeros_like(active.values), decoder.shape[0])
    sampled: Tensor = torch.sparse.sampled_addmm(pattern, grad, decoder.T, beta=0.0)
    return sampled.values()


def dense_decoded(active: Active, decoder: Float[Tensor, "feature d_model"]) -> Float[Tensor, "token d_model"]:
    """Return what ``add_decoded`` adds, by an ordinary matrix product."""
    return to_dense(active, decoder.shape[0]) @ decoder


class SparseDecode(torch.autograd.Function):
    """The kernels joined for autograd; the trainer calls them one by one.

    ``SparseDecode.apply(values, active, decoder)`` decodes ``values`` in the pattern of ``active``.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, active: Active, decoder: Tensor) -> Tensor:
        ctx.save_for_backward(values, decoder)
        ctx.active = active  # type: ignore[attr-defined]
        out = values.new_zeros(active.n_tokens, decoder.shape[1])
        add_decoded(out, active._replace(values=values), decoder)
        return out

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        values, decoder = ctx.saved_tensors  # type: ignore[attr-defined]
        active: Active = ctx.active  # type: ignore[attr-defined]
        grad = grad.contiguous()
        pattern = transpose(active, decoder.shape[0])
        return activation_gradient(active, grad, decoder), None, weight_gradient(pattern, values, grad)
