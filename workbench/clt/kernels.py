"""Sparse products of top-k features with decoder tables, from stock torch operations.

A layer's activations are ``indices`` and ``values`` of shape [token, k]. At k = 16 of 512 features a
dense product does 32 times the needed arithmetic; what follows touches active rows only. Forward is
a CSR product where torch was built with MKL (embedding_bag elsewhere), the weight gradient is an
embedding_bag over the transposed pattern, the activation gradient a sampled product. ``dense_*``
are the same functions written out: the reference for tests, and faster when few features are many.
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


class Transposed(NamedTuple):
    """Which tokens each feature is active on: row f is ``token[offsets[f] : offsets[f + 1]]``."""

    order: Int[Tensor, " token_k"]
    token: Int[Tensor, " token_k"]
    offsets: Int[Tensor, " feature_1"]


def top_k(pre: Float[Tensor, "token feature"], k: int) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
    """Return the k largest pre-activations of every token, negative ones as zero, and their features (int32)."""
    values, indices = pre.topk(k, dim=1, sorted=False)
    return values.clamp_(min=0), indices.to(torch.int32)


def to_csr(
    values: Float[Tensor, "token k"], indices: Int[Tensor, "token k"], n_features: int
) -> Float[Tensor, "token feature"]:
    """Return the activations as a sparse matrix in CSR layout that shares their memory."""
    n_tokens, k = indices.shape
    rows = torch.arange(0, n_tokens * k + 1, k, dtype=indices.dtype)
    return torch.sparse_csr_tensor(
        rows, indices.reshape(-1), values.reshape(-1), (n_tokens, n_features), check_invariants=False
    )


def to_dense(
    values: Float[Tensor, "token k"], indices: Int[Tensor, "token k"], n_features: int
) -> Float[Tensor, "token feature"]:
    """Return the activations as an ordinary matrix."""
    return values.new_zeros(values.shape[0], n_features).scatter_(1, indices.long(), values)


def transpose(indices: Int[Tensor, "token k"], n_features: int) -> Transposed:
    """Return the pattern feature by feature; one sort serves every weight gradient of a layer."""
    flat = indices.reshape(-1)
    # 16-bit keys sort faster, and no layer here has 32,768 features.
    order = torch.argsort(flat.to(torch.int16) if n_features < 2**15 else flat, stable=True)
    offsets = torch.zeros(n_features + 1, dtype=torch.int32)
    offsets[1:] = torch.bincount(flat, minlength=n_features).cumsum(0)
    return Transposed(order, torch.div(order, indices.shape[1], rounding_mode="floor").to(torch.int32), offsets)


def add_decoded(
    out: Float[Tensor, "token d_model"],
    values: Float[Tensor, "token k"],
    indices: Int[Tensor, "token k"],
    decoder: Float[Tensor, "feature d_model"],
) -> None:
    """Add Σ_k values · decoder[indices] to ``out`` in place."""
    if _CSR:
        torch.addmm(out, to_csr(values, indices, decoder.shape[0]), decoder, out=out)
    else:
        out += embedding_bag(indices, decoder, mode="sum", per_sample_weights=values)


def weight_gradient(
    pattern: Transposed, values: Float[Tensor, "token k"], grad: Float[Tensor, "token d_model"]
) -> Float[Tensor, "feature d_model"]:
    """Return Σ_token values[token, f] · grad[token] for every feature f."""
    return embedding_bag(
        pattern.token,
        grad,
        offsets=pattern.offsets,
        include_last_offset=True,
        mode="sum",
        per_sample_weights=values.reshape(-1)[pattern.order],
    )


def feature_sums(
    indices: Int[Tensor, "token k"], values: Float[Tensor, "token k"], n_features: int
) -> Float[Tensor, " feature"]:
    """Return Σ_token values[token, f] for every feature f."""
    return values.new_zeros(n_features).index_add_(0, indices.reshape(-1), values.reshape(-1))


def activation_gradient(
    indices: Int[Tensor, "token k"], grad: Float[Tensor, "token d_model"], decoder: Float[Tensor, "feature d_model"]
) -> Float[Tensor, "token k"]:
    """Return ⟨grad[token], decoder[indices[token, k]]⟩, the gradient of the loss for the active features."""
    pattern = to_csr(grad.new_zeros(indices.shape), indices, decoder.shape[0])
    sampled: Tensor = torch.sparse.sampled_addmm(pattern, grad, decoder.T, beta=0.0)
    return sampled.values().view(indices.shape)


def dense_decoded(
    values: Float[Tensor, "token k"], indices: Int[Tensor, "token k"], decoder: Float[Tensor, "feature d_model"]
) -> Float[Tensor, "token d_model"]:
    """Return what ``add_decoded`` adds, by an ordinary matrix product."""
    return to_dense(values, indices, decoder.shape[0]) @ decoder


class SparseDecode(torch.autograd.Function):
    """The kernels joined for autograd; the trainer calls them one by one and keeps its buffers."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, indices: Tensor, decoder: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices, decoder)
        out = values.new_zeros(values.shape[0], decoder.shape[1])
        add_decoded(out, values, indices, decoder)
        return out

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        values, indices, decoder = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = grad.contiguous()
        pattern = transpose(indices, decoder.shape[0])
        return activation_gradient(indices, grad, decoder), None, weight_gradient(pattern, values, grad)
