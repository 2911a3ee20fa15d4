"""Feature activations of many prompts that begin alike: every shared beginning is run once.

The prompts form a tree of tokens. It is gone through from the root, all branches of one depth together, with the keys
and values of the attention kept along each branch; a token that many prompts share so far is computed once for all of
them. Nothing is padded: branches of one depth have equally many tokens behind them. The result is the plain run's up to
rounding, because a causal model's activations depend on what precedes them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.models import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Branches that go through the model together: enough to fill its matrices, few enough to hold their keys and values.
TOGETHER = 512
# Tokens whose keys and values are held at a time: 0.4 GB for a model of 30 layers with 3 key heads of 64.
_TOKENS_TOGETHER = 8192


class Active(NamedTuple):
    """Activations greater than zero, entry by entry.

    Attributes:
        row: which prompt, in the order they were given.
        position: where in it; position 0 has no features.
    """

    row: Int[np.ndarray, " entry"]
    position: Int[np.ndarray, " entry"]
    layer: Int[np.ndarray, " entry"]
    feature: Int[np.ndarray, " entry"]
    value: Float[np.ndarray, " entry"]


class _Branch(NamedTuple):
    """Prompts that are equal so far: a range of the sorted prompts, and how many tokens they share."""

    first: int
    end: int
    shared: int


class _Enough(Exception):  # noqa: N818 - it ends a run, it is no error
    """Raised in the highest layer that is needed."""


def active_features(
    model: LoadedModel,
    clt: CLT,
    rows: Sequence[tuple[int, ...]],
    positions: Sequence[Collection[int]],
    *,
    layers: Collection[int] | None = None,
    together: int = TOGETHER,
) -> Iterator[Active]:
    """Yield the active features of prompts at some of their positions, no logits computed.

    Args:
        rows: token ids, the start token first; they need not be equally long.
        positions: at which positions of each row features are wanted; position 0 never has any.
        layers: at which layers; the model is not run above the highest. By default all.
        together: how many rows go through the model together at most.
    """
    wanted_layers = frozenset(range(clt.n_layers) if layers is None else layers)
    order = sorted(range(len(rows)), key=lambda row: rows[row])
    together = max(1, min(together, _TOKENS_TOGETHER // max(map(len, rows), default=1)))
    for start in range(0, len(order), together):
        block = order[start : start + together]
        yield from _run_tree(
            model, clt, [rows[at] for at in block], [positions[at] for at in block], block, wanted_layers
        )


def _run_tree(
    model: LoadedModel,
    clt: CLT,
    rows: list[tuple[int, ...]],
    positions: list[Collection[int]],
    names: list[int],
    layers: frozenset[int],
) -> Iterator[Active]:
    """Go through the tree of sorted rows, one stretch without a fork after the other."""
    from transformers import DynamicCache

    last_wanted = [max(at, default=0) for at in positions]
    cache: Any = DynamicCache()
    branches, depth = [_branch(rows, 0, len(rows))], 0
    while branches:
        end = min(branch.shared for branch in branches)
        tokens = torch.tensor([rows[branch.first][depth:end] for branch in branches])
        wanted = torch.zeros(tokens.shape, dtype=torch.bool)
        for at, branch in enumerate(branches):
            here = {position for row in range(branch.first, branch.end) for position in positions[row]}
            for position in here:
                if max(depth, 1) <= position < end:
                    wanted[at, position - depth] = True
        found = _run_stretch(model, clt, tokens, cache, wanted, layers)
        if found is not None:
            yield from _for_each_row(found, branches, depth, positions, names)
        following = [(at, child) for at, branch in enumerate(branches) for child in _children(rows, branch, end)]
        # A branch is left where none of its prompts wants a later position.
        following = [(at, child) for at, child in following if max(last_wanted[child.first : child.end]) >= end]
        if not following:
            return
        parents = [at for at, _ in following]
        if parents != list(range(len(branches))):
            cache.batch_select_indices(torch.tensor(parents, device=model.device))
        branches, depth = [child for _, child in following], end


class _Found(NamedTuple):
    """Entries of one stretch: which branch, how far in the stretch, layer, feature, value."""

    branch: Int[Tensor, " entry"]
    offset: Int[Tensor, " entry"]
    layer: Int[Tensor, " entry"]
    feature: Int[Tensor, " entry"]
    value: Float[Tensor, " entry"]


def _run_stretch(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[Tensor, "branch position"],
    cache: Any,
    wanted: Bool[Tensor, "branch position"],
    layers: frozenset[int],
) -> _Found | None:
    branch, offset = wanted.nonzero(as_tuple=True)
    top = max(layers)
    entries: list[tuple[Tensor, Tensor, int, Tensor]] = []

    def read(layer: int) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            if len(branch) and layer in layers:
                inner = activation[branch.to(activation.device), offset.to(activation.device)]
                values = clt.encode(layer, inner.to(clt.W_enc.dtype))
                site, feature = values.nonzero(as_tuple=True)
                entries.append((site.cpu(), feature.cpu(), layer, values[site, feature].cpu()))
            if layer == top:
                raise _Enough

        return hook

    names = [(clt.config.read_hook.format(layer=layer), read(layer)) for layer in sorted(layers)]
    with model.lock, torch.no_grad(), model.bridge.hooks(fwd_hooks=names):
        decoder = cast("PreTrainedModel", model.bridge.original_model.base_model)
        try:
            decoder(input_ids=tokens.to(model.device), past_key_values=cache, use_cache=True)
        except _Enough:
            pass
    if not entries:
        return None
    site = torch.cat([entry[0] for entry in entries])
    return _Found(
        branch=branch[site],
        offset=offset[site],
        layer=torch.cat([torch.full_like(entry[0], entry[2]) for entry in entries]),
        feature=torch.cat([entry[1] for entry in entries]),
        value=torch.cat([entry[3] for entry in entries]).float(),
    )


def _for_each_row(
    found: _Found, branches: list[_Branch], depth: int, positions: list[Collection[int]], names: list[int]
) -> Iterator[Active]:
    """Give every prompt of a branch what was found for the branch, where it wants it."""
    site = (found.branch * 2**32 + found.offset).numpy()
    by_site = np.argsort(site, kind="stable")
    bounds = np.flatnonzero(np.diff(site[by_site], prepend=-1))
    pieces: list[Active] = []
    for entries in np.split(by_site, bounds[1:]) if len(bounds) else []:
        at = torch.from_numpy(entries)
        branch = branches[int(found.branch[entries[0]])]
        position = depth + int(found.offset[entries[0]])
        takers = [names[row] for row in range(branch.first, branch.end) if position in positions[row]]
        count = len(takers)
        pieces.append(
            Active(
                row=np.repeat(np.array(takers, dtype=np.int64), len(entries)),
                position=np.full(count * len(entries), position, dtype=np.int64),
                layer=np.tile(found.layer[at].numpy(), count),
                feature=np.tile(found.feature[at].numpy(), count),
                value=np.tile(found.value[at].numpy(), count),
            )
        )
    if pieces:
        yield Active(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def _children(rows: list[tuple[int, ...]], branch: _Branch, depth: int) -> list[_Branch]:
    """Return the branches that go on from one at a depth: itself where it has not ended there."""
    if branch.shared > depth:
        return [branch]
    children, first = [], branch.first
    while first < branch.end and len(rows[first]) == depth:
        # Sorted rows: those that end here stand before their continuations.
        first += 1
    for row in range(first, branch.end):
        if row + 1 == branch.end or rows[row + 1][depth] != rows[row][depth]:
            children.append(_branch(rows, first, row + 1))
            first = row + 1
    return children


def _branch(rows: list[tuple[int, ...]], first: int, end: int) -> _Branch:
    """Return a range of sorted rows with the number of tokens that they all share: those of its first and its last."""
    one, other = rows[first], rows[end - 1]
    shared = next((at for at, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
    return _Branch(first, end, shared)
