"""What a clustering found, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from workbench.features.clusters.grouping import standardised

_TOKENS_IN_NAME = 3


@dataclass(frozen=True, eq=False, repr=False)
class FeatureClusters:
    """Features grouped by the prompts on which they fire.

    Attributes:
        prompts: as they were given.
        features: (layer, index) of every feature whose profile varies.
        activations: each feature's strongest activation in each prompt.
        labels: the cluster of each feature, −1 for none, numbered from the largest on.
        tokens: for each cluster the tokens at its members' peaks: (text, share of the peaks), the most typical first.
        stability: of each cluster, from 0 to 1; NaN where there was nothing to resample.
        control_clusters: how many clusters each control has.
        control_features: how many features stand in clusters in each control.
    """

    prompts: tuple[str, ...]
    features: tuple[tuple[int, int], ...]
    activations: Float[np.ndarray, "feature prompt"]
    labels: Int[np.ndarray, " feature"]
    tokens: tuple[tuple[tuple[str, float], ...], ...]
    stability: Float[np.ndarray, " cluster"]
    control_clusters: tuple[int, ...]
    control_features: tuple[int, ...]

    @property
    def n_clusters(self) -> int:
        return len(self.tokens)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each cluster: the tokens that are most typical of it."""
        return tuple(
            " ".join(repr(text) for text, _ in tokens[:_TOKENS_IN_NAME]) or f"cluster {number}"
            for number, tokens in enumerate(self.tokens)
        )

    def table(self) -> pd.DataFrame:
        """Return one row a cluster, the largest first.

        Returns:
            ``cluster, name, n_features, first_layer, last_layer, stability, n_prompts`` (on how many at least half of
            the members fire), ``tokens``.
        """
        rows = []
        for cluster in range(self.n_clusters):
            members = np.flatnonzero(self.labels == cluster)
            layers = [self.features[at][0] for at in members]
            fires = (self.activations[members] > 0).mean(axis=0) >= 0.5
            rows.append(
                {
                    "cluster": cluster,
                    "name": self.names[cluster],
                    "n_features": len(members),
                    "first_layer": min(layers),
                    "last_layer": max(layers),
                    "stability": float(self.stability[cluster]),
                    "n_prompts": int(fires.sum()),
                    "tokens": ", ".join(f"{text!r} {share:.0%}" for text, share in self.tokens[cluster]),
                }
            )
        columns = ["cluster", "name", "n_features", "first_layer", "last_layer", "stability", "n_prompts", "tokens"]
        return pd.DataFrame(rows, columns=columns)

    def members(self) -> pd.DataFrame:
        """Return one row a feature: ``layer, feature, cluster, x, y, n_prompts, max_activation``.

        ``x`` and ``y`` place the features so that correlated ones stand close: the first two principal components of
        the standardised profiles.
        """
        places = self.projection
        return pd.DataFrame(
            {
                "layer": np.array([layer for layer, _ in self.features], dtype=np.int32),
                "feature": np.array([feature for _, feature in self.features], dtype=np.int32),
                "cluster": self.labels.astype(np.int32),
                "x": places[:, 0],
                "y": places[:, 1],
                "n_prompts": (self.activations > 0).sum(axis=1).astype(np.int32),
                "max_activation": self.activations.max(axis=1, initial=0).astype(np.float32),
            }
        )

    def prompt_table(self) -> pd.DataFrame:
        """Return one row a prompt and one column a cluster: the share of its members that fire."""
        shares = {
            cluster: (self.activations[self.labels == cluster] > 0).mean(axis=0) for cluster in range(self.n_clusters)
        }
        return pd.DataFrame(shares, index=pd.Index(self.prompts, name="prompt"))

    def control(self) -> pd.DataFrame:
        """Return what was found beside what permuted prompts give: ``data, n_clusters, n_features``."""
        names = ["found", *(f"permuted {number}" for number in range(len(self.control_clusters)))]
        return pd.DataFrame(
            {
                "data": names,
                "n_clusters": [self.n_clusters, *self.control_clusters],
                "n_features": [int((self.labels >= 0).sum()), *self.control_features],
            }
        )

    @cached_property
    def projection(self) -> Float[np.ndarray, "feature 2"]:
        """The first two principal components; squared distances in all of them are 2 · (1 − correlation)."""
        profiles = standardised(self.activations)
        left, scale, _ = np.linalg.svd(profiles - profiles.mean(axis=0), full_matrices=False)
        places = (left * scale)[:, :2]
        # The sign of a component is arbitrary: the same features are always drawn the same way.
        places *= np.where(places[np.abs(places).argmax(axis=0), range(places.shape[1])] < 0, -1, 1)
        return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))

    def __repr__(self) -> str:
        return (
            f"FeatureClusters({self.n_clusters} clusters of {len(self.features)} features, {len(self.prompts)} prompts)"
        )
