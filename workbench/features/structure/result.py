"""What was counted over a corpus, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from workbench.errors import ConfigError
from workbench.features.structure.kinds import kinds_by_layer

CLASSES = ("punctuation", "newline", "after the start token", "control")
# The mid-sentence tokens come after the classes that are compared with them.
MID = len(CLASSES)


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """What was counted; classes are those of ``CLASSES`` and, last, the mid-sentence tokens.

    Attributes:
        n_tokens: without start tokens.
        n_active: at how many tokens each feature fires.
        n_runs: in how many runs of consecutive positions.
        expected_runs: in how many they would stand in random order within the rows.
        tokens: how many there are of each class in each bin of entropy.
        entropy: the sum of their next-token entropies, in nats.
        fires: at how many of them each feature fires.
        table: the features' kinds, if they were given.
    """

    n_tokens: int
    n_active: Float[np.ndarray, "layer feature"]
    n_runs: Float[np.ndarray, "layer feature"]
    expected_runs: Float[np.ndarray, "layer feature"]
    tokens: Float[np.ndarray, "class bin"]
    entropy: Float[np.ndarray, "class bin"]
    fires: Float[np.ndarray, "class bin layer feature"]
    table: pd.DataFrame | None = None

    def kinds(self) -> pd.DataFrame:
        """Return the share of each kind by layer; see :func:`kinds_by_layer`.

        Raises:
            ConfigError: no table of kinds was given.
        """
        if self.table is None:
            raise ConfigError("No table of kinds was given: pass table=bench.atlas.table().")
        return kinds_by_layer(self.table)

    def smear(self) -> pd.DataFrame:
        """Return how far each feature smears over positions, one row a feature that fires.

        Returns:
            ``layer, feature, density`` (share of the tokens), ``mean_run`` and ``expected_run`` (in positions) and
            ``smear``, their ratio: 1 for a feature whose positions do not hang together.
        """
        layer, feature = np.nonzero(self.n_active)
        active, runs = self.n_active[layer, feature], self.n_runs[layer, feature]
        expected = self.expected_runs[layer, feature]
        return pd.DataFrame(
            {
                "layer": layer.astype(np.int32),
                "feature": feature.astype(np.int32),
                "density": active / self.n_tokens,
                "mean_run": active / runs,
                "expected_run": active / expected,
                "smear": expected / runs,
            }
        )

    def smear_by_layer(self) -> pd.DataFrame:
        """Return the quartiles of the smear in each layer: ``layer, n_features, lower, median, upper``."""
        by_layer = self.smear().groupby("layer")["smear"]
        quartiles = {"lower": by_layer.quantile(0.25), "median": by_layer.median(), "upper": by_layer.quantile(0.75)}
        return pd.DataFrame({"n_features": by_layer.size()} | quartiles).reset_index()

    def classes(self) -> pd.DataFrame:
        """Return how many features fire at each class of tokens and at mid-sentence tokens of equal entropy.

        Returns:
            ``token_class, layer, active`` and ``matched`` (mean number of active features a token), ``ratio``,
            ``n_tokens`` (of the class, in bins that hold a mid-sentence token too), ``left_out`` (in bins that hold
            none), ``entropy`` and ``matched_entropy`` (nats). A class that never occurred is left out.
        """
        rows = []
        for number, name in enumerate(CLASSES):
            match = self._matches[number]
            if match is None:
                continue
            n = match.weight.sum()
            active, matched = match.rate.sum(axis=1), match.matched_rate.sum(axis=1)
            bins = match.bins
            share = match.weight / n
            entropy = self.entropy[number, bins].sum() / n
            mid_entropy = (share * self.entropy[MID, bins] / self.tokens[MID, bins]).sum()
            for layer in range(len(active)):
                rows.append(
                    {
                        "token_class": name,
                        "layer": layer,
                        "active": active[layer],
                        "matched": matched[layer],
                        "ratio": active[layer] / matched[layer] if matched[layer] else np.nan,
                        "n_tokens": int(n),
                        "left_out": int(self.tokens[number].sum() - n),
                        "entropy": entropy,
                        "matched_entropy": mid_entropy,
                    }
                )
        columns = ["token_class", "layer", "active", "matched", "ratio", "n_tokens", "left_out"]
        return pd.DataFrame(rows, columns=[*columns, "entropy", "matched_entropy"])

    def gathering(self, token_class: str, *, k: int = 20) -> pd.DataFrame:
        """Return the features that prefer a class of tokens most over mid-sentence tokens of equal entropy.

        Args:
            token_class: one of ``CLASSES``.
            k: how many features.

        Returns:
            ``layer, feature, rate`` (share of the class's tokens), ``matched_rate``, ``difference``, ``z``: the
            difference in its standard errors, which take tokens as drawn independently.

        Raises:
            ConfigError: the class is unknown or never occurred, or ``k`` is less than 1.
        """
        if token_class not in CLASSES or k < 1:
            raise ConfigError(
                f"The class is {token_class!r} and k is {k}: give one of {', '.join(CLASSES)}, and at least 1."
            )
        match = self._matches[CLASSES.index(token_class)]
        if match is None:
            raise ConfigError(
                f"No token of the class {token_class!r} has a mid-sentence token of equal entropy: give more text."
            )
        difference = match.rate - match.matched_rate
        error = np.sqrt(np.maximum(match.variance, 1e-12))
        best = np.argsort(-difference.ravel(), kind="stable")[:k]
        layer, feature = np.unravel_index(best, difference.shape)
        return pd.DataFrame(
            {
                "layer": layer.astype(np.int32),
                "feature": feature.astype(np.int32),
                "rate": match.rate[layer, feature],
                "matched_rate": match.matched_rate[layer, feature],
                "difference": difference[layer, feature],
                "z": (difference / error)[layer, feature],
            }
        )

    @cached_property
    def _matches(self) -> list[_Match | None]:
        return [_Match.of(self, number) for number in range(len(CLASSES))]

    def __repr__(self) -> str:
        layers, features = self.n_active.shape
        return f"Structure({layers} layers of {features:,} features, {self.n_tokens:,} tokens)"


@dataclass(frozen=True)
class _Match:
    """One class beside mid-sentence tokens, in the bins of entropy that hold both.

    Attributes:
        weight: tokens of the class in each bin.
        variance: of the difference of the rates.
    """

    bins: Int[np.ndarray, " bin"]
    weight: Float[np.ndarray, " bin"]
    rate: Float[np.ndarray, "layer feature"]
    matched_rate: Float[np.ndarray, "layer feature"]
    variance: Float[np.ndarray, "layer feature"]

    @classmethod
    def of(cls, counted: Structure, number: int) -> _Match | None:
        bins = np.flatnonzero((counted.tokens[number] > 0) & (counted.tokens[MID] > 0))
        if not len(bins):
            return None
        weight = counted.tokens[number, bins].astype(np.float64)
        n = weight.sum()
        mid_rates = counted.fires[MID, bins] / counted.tokens[MID, bins][:, None, None]
        rate = counted.fires[number, bins].sum(axis=0) / n
        matched = np.tensordot(weight / n, mid_rates, axes=1)
        spread = (weight / n) ** 2 / counted.tokens[MID, bins]
        variance = rate * (1 - rate) / n + np.tensordot(spread, mid_rates * (1 - mid_rates), axes=1)
        return cls(bins, weight, rate, matched, variance)
