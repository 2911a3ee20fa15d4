"""Active features and their products with decoder tables: one small interface, sparse on a CPU, dense on a GPU.

At 16 active of 512 features a dense product does 32 times the needed arithmetic, so on a CPU only active rows are
touched, with stock torch operations: forward is an ``embedding_bag`` over the decoder, the weight gradient one over the
transposed pattern, the activation gradient a sampled product. The encoder's backward pass is the same weight gradient,
taken over what the encoder read. On a GPU, and on a CPU where so much is active that it pays, the same functions
multiply ordinary matrices; that form is also the reference of the tests. The tensors decide, there is no switch.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

# torch announces once a process that CSR tensors are a beta feature; that is no news to a user.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], torch.empty(0, dtype=torch.int64), torch.empty(0), (1, 1), check_invariants=False)

# A sparse product costs about five times as much an entry as a dense one (AVX2, d_model 576).
_DENSE_FROM = 0.2
# From this many keys on torch sorts integers by radix, five times faster than by comparison: from a quarter of them on
# it pays to fill up.
_RADIX = 32_768
# The k largest of n lie in the k groups of this size with the largest maxima: two small selections instead of one.
_GROUP = 8


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
    n_tokens, device = pre.shape[0], pre.device
    values, indices = _row_top_k(pre, k)
    return Active(
        values=values.clamp_(min=0).view(-1),
        feature=indices.view(-1).to(torch.int32),
        token=torch.arange(n_tokens, dtype=torch.int32, device=device).repeat_interleave(k),
        offsets=torch.arange(0, n_tokens * k + 1, k, dtype=torch.int32, device=device),
    )


def _row_top_k(pre: Float[Tensor, "token feature"], k: int) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
    """Return the k largest values of every row and where they stand, in any order."""
    n_tokens, n_features = pre.shape
    n_groups = n_features // _GROUP
    if pre.is_cuda or n_features % _GROUP or n_groups < 2 * k:
        found = pre.topk(k, dim=1, sorted=False)
        return found.values, found.indices
    # Group g is the columns g, g + n_groups, g + 2 n_groups, …: maxima over them are taken many columns at a time.
    best = pre.view(n_tokens, _GROUP, n_groups).amax(1).topk(k, dim=1, sorted=False).indices
    members = torch.arange(0, n_features, n_groups)
    candidates = (best[:, None, :] + members[:, None]).view(n_tokens, -1)
    values, chosen = pre.gather(1, candidates).topk(k, dim=1, sorted=False)
    return values, candidates.gather(1, chosen)


def batch_top_k(pre: Float[Tensor, "token feature"], k: int) -> Active:
    """Return the k · tokens largest positive pre-activations of all tokens together.

    BatchTopK (Bussmann et al., "BatchTopK Sparse Autoencoders", 2024, section 3): a token may use more than k
    features when another uses fewer.
    """
    flat = pre.view(-1)
    n = min(k * pre.shape[0], flat.numel())
    bound = _rank_bound(flat, n)
    found = _flat_nonzero(pre > bound)
    if len(found) < n and bound > 0:  # the sample misled
        found = _flat_nonzero(pre > 0)
    values = flat[found]
    if len(values) > n:
        kept = values > values.kthvalue(len(values) - n).values
        found, values = found[kept], values[kept]
    return _at(found, values, *pre.shape)


def _rank_bound(flat: Float[Tensor, " value"], n: int) -> float:
    """Return a number, zero at least, that almost surely n or a few more of the values exceed.

    Selecting among a million numbers takes longer than the products around it. A sample tells almost where to cut;
    the caller selects among the few that are left.
    """
    # Not a divisor of any number of features, so that all of them are sampled.
    stride = 31
    sample = flat[::stride]
    expected = n / stride
    rank = math.ceil(expected + 5 * math.sqrt(expected))
    if rank >= len(sample):
        return 0.0
    return max(0.0, float(sample.kthvalue(len(sample) - rank).values))


def above(pre: Float[Tensor, "token feature"], threshold: float | Float[Tensor, " feature"]) -> Active:
    """Return every pre-activation above a threshold that is not negative: JumpReLU."""
    found = _flat_nonzero(pre > threshold)
    return _at(found, pre.view(-1)[found], *pre.shape)


def between(
    pre: Float[Tensor, "token feature"], low: Float[Tensor, " feature"], high: Float[Tensor, " feature"]
) -> Active:
    """Return the pre-activations that exceed ``low`` and not ``high``."""
    found = _flat_nonzero((pre > low).logical_and_(pre <= high))
    return _at(found, pre.view(-1)[found], *pre.shape)


def _at(found: Int[Tensor, " active"], values: Float[Tensor, " active"], n_tokens: int, n_features: int) -> Active:
    token = torch.div(found, n_features, rounding_mode="floor")
    return Active(
        values=values,
        feature=(found - token * n_features).to(torch.int32),
        token=token.to(torch.int32),
        offsets=_offsets(token, n_tokens),
    )


def _flat_nonzero(mask: Bool[Tensor, "token feature"]) -> Int[Tensor, " active"]:
    """Return the flat indices of what is true, ascending."""
    flat = mask.view(-1)
    if mask.is_cuda or flat.numel() % 8:
        return torch.nonzero(flat).view(-1)
    # Eight booleans make one integer; most are zero, and only the others are looked at one by one.
    words = flat.view(torch.int64)
    hit = torch.nonzero(words).view(-1)
    inner = torch.nonzero(words[hit].view(torch.bool)).view(-1)
    return hit[inner >> 3].mul_(8).add_(inner & 7)


def _offsets(rows: Int[Tensor, " active"], n_rows: int) -> Int[Tensor, " row_1"]:
    offsets = torch.zeros(n_rows + 1, dtype=torch.int32, device=rows.device)
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
    # 16-bit keys sort faster.
    small = n_features < 2**15
    keys = active.feature.to(torch.int16) if small else active.feature
    n_active = len(keys)
    if _RADIX // 4 <= n_active < _RADIX and not keys.is_cuda:
        keys = torch.cat([keys, keys.new_full((_RADIX - n_active,), torch.iinfo(keys.dtype).max)])
    order = torch.argsort(keys, stable=True)[:n_active]
    return Transposed(order, active.token[order], _offsets(active.feature, n_features))


def add_decoded(out: Float[Tensor, "token d_model"], active: Active, decoder: Float[Tensor, "feature d_model"]) -> None:
    """Add Σ values · decoder[feature] to every token's row of ``out`` in place."""
    _kernels(active.values, active.n_tokens, decoder.shape[0]).add_decoded(out, active, decoder)


def weight_gradient(
    pattern: Transposed, values: Float[Tensor, " active"], grad: Float[Tensor, "token d_model"]
) -> Float[Tensor, "feature d_model"]:
    """Return Σ_token values[token, f] · grad[token] for every feature f."""
    return _kernels(values, grad.shape[0], len(pattern.offsets) - 1).weight_gradient(pattern, values, grad)


def activation_gradient(
    active: Active, grad: Float[Tensor, "token d_model"], decoder: Float[Tensor, "feature d_model"]
) -> Float[Tensor, " active"]:
    """Return ⟨grad[token], decoder[feature]⟩ for every active feature: the gradient for its activation."""
    kernels = _kernels(active.values, active.n_tokens, decoder.shape[0])
    return kernels.activation_gradient(active, grad, decoder)


def feature_sums(active: Active, values: Float[Tensor, " active"], n_features: int) -> Float[Tensor, " feature"]:
    """Return Σ_token values[token, f] for every feature f."""
    return values.new_zeros(n_features).index_add_(0, active.feature, values)


class Kernels(Protocol):
    """One way to do the three products."""

    def add_decoded(self, out: Tensor, active: Active, decoder: Tensor) -> None: ...

    def weight_gradient(self, pattern: Transposed, values: Tensor, grad: Tensor) -> Tensor: ...

    def activation_gradient(self, active: Active, grad: Tensor, decoder: Tensor) -> Tensor: ...


class SparseKernels:
    """Active rows only. Column tiles of 64 to 320 gained less than it costs to cut the tables into them."""

    def add_decoded(self, out: Tensor, active: Active, decoder: Tensor) -> None:
        out += _bag_sums(decoder, active.feature, active.offsets, active.values)

    def weight_gradient(self, pattern: Transposed, values: Tensor, grad: Tensor) -> Tensor:
        return _bag_sums(grad, pattern.token, pattern.offsets, values[pattern.order])

    def activation_gradient(self, active: Active, grad: Tensor, decoder: Tensor) -> Tensor:
        pattern = to_csr(active, torch.zeros_like(active.values), decoder.shape[0])
        sampled: Tensor = torch.sparse.sampled_addmm(pattern, grad, decoder.T, beta=0.0)
        return sampled.values()


def _bag_sums(table: Tensor, rows: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(rows, table, offsets=offsets, include_last_offset=True, mode="sum", per_sample_weights=weights)


class DenseKernels:
    """Ordinary matrix products: the reference, and the way of a GPU."""

    def add_decoded(self, out: Tensor, active: Active, decoder: Tensor) -> None:
        out.addmm_(to_dense(active, decoder.shape[0]), decoder)

    def weight_gradient(self, pattern: Transposed, values: Tensor, grad: Tensor) -> Tensor:
        counts = pattern.offsets.diff()
        dense = values.new_zeros(len(counts), grad.shape[0])
        feature = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        dense[feature, pattern.token.long()] = values[pattern.order]
        return dense @ grad

    def activation_gradient(self, active: Active, grad: Tensor, decoder: Tensor) -> Tensor:
        return (grad @ decoder.T)[active.token.long(), active.feature.long()]


SPARSE, DENSE = SparseKernels(), DenseKernels()


def _kernels(values: Float[Tensor, " active"], n_tokens: int, n_features: int) -> Kernels:
    return DENSE if values.is_cuda or len(values) > _DENSE_FROM * n_tokens * n_features else SPARSE


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
