"""What is counted of each feature, part by part: the parts of a text add up to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from workbench.errors import FormatError
from workbench.features.atlas.encode import Entries
from workbench.features.atlas.examples import (
    Examples,
    last_in_group,
    rank_in_group,
    spread,
    spread_group,
    strongest,
    token_hash,
)
from workbench.features.atlas.histogram import N_BINS, N_COARSE_BINS, bin_of
from workbench.features.atlas.plan import AtlasPlan


def position_edges(row_length: int) -> list[int]:
    """Return the edges of the bins in which positions are counted: single ones first, then ever wider bins."""
    edges = [start for power in range(12) for start in (2**power, 3 * 2**power // 2)]
    return [*sorted({edge for edge in edges if edge < row_length}), row_length]


@dataclass(frozen=True)
class LayerStatistics:
    """Counts of the features of one layer over some text.

    Attributes:
        total: Σ activation.
        histogram: counts of activations in the bins of ``workbench.features.atlas.histogram``.
        positions: counts in the bins of ``position_edges``.
        token_key: feature · d_vocab + token id of the tokens on which features fire, rising; of each feature those
            with the largest totals.
        token_count: at how many tokens.
        token_total: Σ activation there.
        top: the strongest examples.
        spread: candidates for examples at every strength.
    """

    n_active: Int[np.ndarray, " feature"]
    total: Float[np.ndarray, " feature"]
    maximum: Float[np.ndarray, " feature"]
    histogram: Int[np.ndarray, "feature bin"]
    positions: Int[np.ndarray, "feature position_bin"]
    token_key: Int[np.ndarray, " pair"]
    token_count: Int[np.ndarray, " pair"]
    token_total: Float[np.ndarray, " pair"]
    top: Examples
    spread: Examples

    @classmethod
    def empty(cls, plan: AtlasPlan, n_features: int) -> LayerStatistics:
        none = np.empty(0, np.int64)
        zero = np.zeros(n_features, np.int64)
        return cls(
            n_active=zero,
            total=np.zeros(n_features),
            maximum=np.zeros(n_features, np.float32),
            histogram=np.zeros((n_features, N_BINS), np.int64),
            positions=np.zeros((n_features, len(position_edges(plan.row_length)) - 1), np.int64),
            token_key=none,
            token_count=none,
            token_total=np.empty(0),
            top=Examples.empty(plan.window),
            spread=Examples.empty(plan.window),
        )

    @classmethod
    def of(
        cls,
        entries: Entries,
        token_ids: Int[np.ndarray, " entry"],
        *,
        layer: int,
        n_features: int,
        d_vocab: int,
        plan: AtlasPlan,
        before: LayerStatistics | None = None,
    ) -> LayerStatistics:
        """Count the entries of one layer.

        Args:
            token_ids: the token of each entry.
            before: what the result will be merged with; what cannot enter its examples any more is left out.
        """
        feature, value = entries.feature.astype(np.int64), entries.activation
        n_active = np.bincount(feature, minlength=n_features)
        maximum = np.zeros(n_features, np.float32)
        if len(entries):
            first = np.flatnonzero(np.r_[True, feature[1:] != feature[:-1]])
            maximum[feature[first]] = np.maximum.reduceat(value, first)
        edges = np.asarray(position_edges(plan.row_length))
        place = np.searchsorted(edges, entries.at % plan.row_length, side="right") - 1
        bins = bin_of(value)
        key, inverse = np.unique(feature * d_vocab + token_ids, return_inverse=True)
        top = _can_be_top(entries, before, n_features, plan)
        drawn, hashes = _can_be_drawn(entries, before, n_features, layer, plan)
        examples = (plan.row_length, plan.before, plan.after)
        return cls(
            n_active=n_active,
            total=np.bincount(feature, weights=value, minlength=n_features),
            maximum=maximum,
            histogram=np.bincount(feature * N_BINS + bins, minlength=n_features * N_BINS).reshape(n_features, N_BINS),
            positions=np.bincount(feature * (len(edges) - 1) + place, minlength=n_features * (len(edges) - 1)).reshape(
                n_features, len(edges) - 1
            ),
            token_key=key,
            token_count=np.bincount(inverse, minlength=len(key)),
            token_total=np.bincount(inverse, weights=value, minlength=len(key)),
            top=Examples.of(entries, top[strongest(_taken(entries, top), plan.n_top)], *examples),
            spread=Examples.of(entries, drawn[spread(_taken(entries, drawn), hashes, plan.n_spread_bin)], *examples),
        )

    def merged(self, later: LayerStatistics, *, layer: int, d_vocab: int, plan: AtlasPlan) -> LayerStatistics:
        """Return the counts of both texts together."""
        top = Examples.joined([self.top, later.top])
        drawn = Examples.joined([self.spread, later.spread])
        hashes = token_hash(drawn.feature, drawn.at, layer)
        return LayerStatistics(
            n_active=self.n_active + later.n_active,
            total=self.total + later.total,
            maximum=np.maximum(self.maximum, later.maximum),
            histogram=self.histogram + later.histogram,
            positions=self.positions + later.positions,
            **_merged_tokens([self, later], d_vocab, plan.n_tokens_kept),
            top=top.take(strongest(top, plan.n_top)),
            spread=drawn.take(spread(drawn, hashes, plan.n_spread_bin)),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the counts as named arrays, for a file; what is mostly zeros goes without them."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _SPARSE}
        occupied = np.flatnonzero(self.histogram)
        arrays |= {"histogram.filled": occupied, "histogram.values": self.histogram.ravel()[occupied]}
        for name in _EXAMPLES:
            examples: Examples = getattr(self, name)
            filled = np.flatnonzero(examples.window)
            arrays |= {
                f"{name}.feature": examples.feature,
                f"{name}.at": examples.at,
                f"{name}.activation": examples.activation,
                f"{name}.filled": filled,
                f"{name}.values": examples.window.ravel()[filled],
            }
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], plan: AtlasPlan) -> LayerStatistics:
        """Return what ``to_arrays`` was made of.

        Raises:
            FormatError: an array is missing.
        """
        try:
            given: dict[str, Any] = {
                field.name: arrays[field.name] for field in fields(cls) if field.name not in _SPARSE
            }
            histogram = np.zeros((len(given["n_active"]), N_BINS), np.int64)
            histogram.ravel()[arrays["histogram.filled"]] = arrays["histogram.values"]
            examples: dict[str, Any] = {}
            for name in _EXAMPLES:
                feature = arrays[f"{name}.feature"]
                window = np.zeros((len(feature), plan.window), np.float32)
                window.ravel()[arrays[f"{name}.filled"]] = arrays[f"{name}.values"]
                examples[name] = Examples(feature, arrays[f"{name}.at"], arrays[f"{name}.activation"], window)
        except (KeyError, IndexError, ValueError) as error:
            raise FormatError(f"A part of the atlas lacks {error}: delete its build folder and build again.") from error
        return cls(**given, histogram=histogram, **examples)


_EXAMPLES = ("top", "spread")
_SPARSE = ("histogram", *_EXAMPLES)


def _taken(entries: Entries, index: Int[np.ndarray, " kept"]) -> Entries:
    return Entries(entries.feature[index], entries.at[index], entries.activation[index])


def _can_be_top(
    entries: Entries, before: LayerStatistics | None, n_features: int, plan: AtlasPlan
) -> Int[np.ndarray, " kept"]:
    """Return the entries that are stronger than the weakest of a full list of examples."""
    least = np.zeros(n_features, np.float32)
    if before is not None:
        last_in_group(before.top.feature, before.top.activation, plan.n_top, least)
    # Of equal strength the earlier token counts, and this text comes later.
    return np.flatnonzero(entries.activation > least[entries.feature])


def _can_be_drawn(
    entries: Entries, before: LayerStatistics | None, n_features: int, layer: int, plan: AtlasPlan
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"]]:
    """Return the entries whose hash can still be drawn, and their hashes."""
    hashes = token_hash(entries.feature, entries.at, layer)
    if before is None or not len(before.spread):
        return np.arange(len(entries)), hashes
    limit = np.full(n_features * N_COARSE_BINS, np.iinfo(np.int64).max)
    drawn = before.spread
    kept = token_hash(drawn.feature, drawn.at, layer)
    last_in_group(spread_group(drawn), kept, plan.n_spread_bin, limit)
    possible: Bool[np.ndarray, " entry"] = hashes < limit[spread_group(entries)]
    index = np.flatnonzero(possible)
    return index, hashes[index]


def _merged_tokens(parts: Sequence[LayerStatistics], d_vocab: int, kept: int) -> dict[str, np.ndarray]:
    key, inverse = np.unique(np.concatenate([part.token_key for part in parts]), return_inverse=True)
    count = np.zeros(len(key), np.int64)
    total = np.zeros(len(key))
    # One part after the other, so that sums are formed in the order of the text.
    start = 0
    for part in parts:
        index = inverse[start : start + len(part.token_key)]
        count[index] += part.token_count
        total[index] += part.token_total
        start += len(part.token_key)
    feature = key // d_vocab
    order = np.lexsort((key, -total, feature))
    best = np.sort(order[rank_in_group(feature[order]) < kept])
    return {"token_key": key[best], "token_count": count[best], "token_total": total[best]}
