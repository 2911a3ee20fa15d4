"""Examples of features, held so that the best of many parts are the best of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from workbench.features.atlas.encode import Entries
from workbench.features.atlas.histogram import N_COARSE_BINS, bin_of


@dataclass(frozen=True)
class Examples:
    """Tokens at which features of one layer fire, each with the feature's activations around it.

    Attributes:
        at: row · row_length + position of the token.
        window: the feature's activations from ``before`` tokens before to ``after`` tokens after, in the same row.
    """

    feature: Int[np.ndarray, " example"]
    at: Int[np.ndarray, " example"]
    activation: Float[np.ndarray, " example"]
    window: Float[np.ndarray, "example offset"]

    def __len__(self) -> int:
        return len(self.feature)

    @classmethod
    def empty(cls, window: int) -> Examples:
        none = np.empty(0, np.float32)
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), none, none.reshape(0, window))

    @classmethod
    def of(
        cls, entries: Entries, chosen: Int[np.ndarray, " example"], row_length: int, before: int, after: int
    ) -> Examples:
        """Return some of the entries as examples.

        Args:
            chosen: indices of the entries.
        """
        feature, at = entries.feature[chosen], entries.at[chosen]
        row = at // row_length
        window = np.zeros((len(chosen), before + 1 + after), np.float32)
        window[:, before] = entries.activation[chosen]
        # Entries are sorted by feature and token: what is near in the text is near in the list.
        for step in (*range(-before, 0), *range(1, after + 1)):
            other = chosen + step
            inside = np.flatnonzero((other >= 0) & (other < len(entries)))
            other = other[inside]
            distance = entries.at[other] - at[inside]
            near = (
                (entries.feature[other] == feature[inside])
                & (entries.at[other] // row_length == row[inside])
                & (distance >= -before)
                & (distance <= after)
            )
            window[inside[near], before + distance[near]] = entries.activation[other[near]]
        return cls(feature, at, entries.activation[chosen], window)

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        return cls(
            np.concatenate([part.feature for part in parts]),
            np.concatenate([part.at for part in parts]),
            np.concatenate([part.activation for part in parts]),
            np.concatenate([part.window for part in parts]),
        )

    def take(self, index: Int[np.ndarray, " kept"]) -> Examples:
        return Examples(self.feature[index], self.at[index], self.activation[index], self.window[index])


def strongest(examples: Examples | Entries, k: int) -> Int[np.ndarray, " kept"]:
    """Return the indices of each feature's k strongest, by (activation falling, row, position), feature by feature."""
    order = np.lexsort((examples.at, -examples.activation, examples.feature))
    kept: Int[np.ndarray, " kept"] = order[rank_in_group(examples.feature[order]) < k]
    return kept


def spread(examples: Examples | Entries, key: Int[np.ndarray, " example"], k: int) -> Int[np.ndarray, " kept"]:
    """Return the indices of k of each feature in each quarter octave of activation: those that sort first by ``key``.

    The key is a hash of feature and token: a random choice that depends neither on the order nor on the parts in which
    tokens come.
    """
    group = spread_group(examples)
    order = np.lexsort((key, group))
    kept: Int[np.ndarray, " kept"] = order[rank_in_group(group[order]) < k]
    return kept


def spread_group(examples: Examples | Entries) -> Int[np.ndarray, " example"]:
    """Return a number for each pair of feature and quarter octave."""
    group: Int[np.ndarray, " example"] = examples.feature.astype(np.int64) * N_COARSE_BINS
    group += bin_of(examples.activation) // 2
    return group


def rank_in_group(sorted_groups: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the place of each item in its group, from 0, where groups stand together."""
    if not len(sorted_groups):
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    sizes = np.diff(np.r_[first, len(sorted_groups)])
    return np.arange(len(sorted_groups)) - np.repeat(first, sizes)


def token_hash(feature: Int[np.ndarray, " n"], at: Int[np.ndarray, " n"], layer: int) -> Int[np.ndarray, " n"]:
    """Return a hash of (layer, feature, token), positive; the finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        x = at.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += feature.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(layer + 1) * np.uint64(
            0x2545F4914F6CDD1D
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def last_in_group(
    sorted_groups: Int[np.ndarray, " n"],
    values: Float[np.ndarray, " n"] | Int[np.ndarray, " n"],
    k: int,
    out: np.ndarray,
) -> None:
    """Write to ``out[group]`` the value of each group's k-th item, where it has that many."""
    full: Bool[np.ndarray, " n"] = rank_in_group(sorted_groups) == k - 1
    out[sorted_groups[full]] = values[full]
