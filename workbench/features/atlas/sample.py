"""Rows of text with their activations in memory: for what needs pairs of features, or a rule beside a feature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_array
from torch import Tensor

from workbench.clt import CLT
from workbench.features.atlas.encode import Entries, encode
from workbench.models import LoadedModel


@dataclass(frozen=True)
class TokenSample:
    """Rows of text and what fires in them.

    Tokens are numbered from 0 over the positions ≥ 1 of all rows.

    Attributes:
        layers: by layer the active features; ``Entries.at`` counts within these rows.
        scales: by layer and token the denominator of the norm that the CLT reads behind; empty where there is none.
    """

    tokens: Int[np.ndarray, "row position"]
    layers: list[Entries]
    scales: list[Float[np.ndarray, " token"]]
    n_features: int

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        clt: CLT,
        tokens: Int[np.ndarray, "row position"],
        *,
        batch_rows: int,
        scale_hook: str | None = None,
        on_batch: Callable[[int], bool] = lambda n_tokens: False,
    ) -> TokenSample | None:
        """Run the model on the rows; None when ``on_batch`` asked for an end."""
        batches = []
        for first in range(0, len(tokens), batch_rows):
            rows = tokens[first : first + batch_rows]
            batches.append(encode(model, clt, rows, first_row=first, scale_hook=scale_hook))
            if on_batch(rows.shape[0] * (rows.shape[1] - 1)):
                return None
        of_layers = range(clt.n_layers)
        return cls(
            tokens,
            [Entries.gathered([batch.layers[layer] for batch in batches], clt.n_features) for layer in of_layers],
            [np.concatenate([batch.scales[layer] for batch in batches]) for layer in of_layers] if scale_hook else [],
            clt.n_features,
        )

    @property
    def n_tokens(self) -> int:
        return int(self.tokens.shape[0] * (self.tokens.shape[1] - 1))

    def sparse(self, layer: int) -> csc_array:
        """Return the activations of one layer as a sparse matrix [token, feature]."""
        return self.layers[layer].sparse(self.n_tokens, self.n_features, self.tokens.shape[1])

    def dense(self, layer: int) -> Float[Tensor, "token feature"]:
        """Return the activations of one layer."""
        return self.layers[layer].dense(self.n_tokens, self.n_features, self.tokens.shape[1])

    @cached_property
    def n_active(self) -> Int[np.ndarray, "layer feature"]:
        """At how many tokens each feature fires."""
        return np.stack([np.bincount(entries.feature, minlength=self.n_features) for entries in self.layers])

    def neighbour(self, offset: int) -> Int[np.ndarray, " token"]:
        """Return the token ``offset`` places from each token, −1 beyond the end of its row."""
        ids = np.full((len(self.tokens), self.tokens.shape[1] - 1), -1, np.int64)
        if offset <= 0:
            ids[:] = self.tokens[:, 1 + offset : self.tokens.shape[1] + offset]
        else:
            ids[:, :-offset] = self.tokens[:, 1 + offset :]
        return ids.ravel()

    @cached_property
    def position(self) -> Int[np.ndarray, " token"]:
        return np.tile(np.arange(1, self.tokens.shape[1]), len(self.tokens))

    def token_index(self, layer: int) -> Int[np.ndarray, " entry"]:
        """Return which token each entry of a layer is at."""
        row, position = np.divmod(self.layers[layer].at, self.tokens.shape[1])
        index: Int[np.ndarray, " entry"] = row * (self.tokens.shape[1] - 1) + position - 1
        return index
