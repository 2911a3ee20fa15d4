"""From rows of text to sparse activations: which feature fires where, how strongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csc_array
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import ModelError
from workbench.files import is_finite
from workbench.models import LoadedModel, run_decoder


@dataclass(frozen=True)
class Entries:
    """The active features of one layer, sorted by feature, then by token.

    Attributes:
        at: row · row_length + position of the token.
        activation: after the JumpReLU, above zero.
    """

    feature: Int[np.ndarray, " entry"]
    at: Int[np.ndarray, " entry"]
    activation: Float[np.ndarray, " entry"]

    def __len__(self) -> int:
        return len(self.feature)

    @classmethod
    def gathered(cls, parts: Sequence[Entries], n_features: int) -> Entries:
        """Return the entries of consecutive batches, sorted by feature; within a feature their order stays."""
        feature = np.concatenate([part.feature for part in parts])
        # A stable sort of 16-bit keys is a radix sort, which takes a tenth of the time.
        order = np.argsort(feature.astype(np.uint16) if n_features <= 1 << 16 else feature, kind="stable")
        at = np.concatenate([part.at for part in parts])[order]
        return cls(feature[order], at, np.concatenate([part.activation for part in parts])[order])

    def sparse(self, n_tokens: int, n_features: int, row_length: int) -> csc_array:
        """Return the activations at positions ≥ 1 as a sparse matrix [token, feature]."""
        row, position = np.divmod(self.at, row_length)
        token = row * (row_length - 1) + position - 1
        ends = np.searchsorted(self.feature, np.arange(n_features + 1))
        return csc_array((self.activation, token, ends), shape=(n_tokens, n_features))

    def dense(self, n_tokens: int, n_features: int, row_length: int) -> Float[Tensor, "token feature"]:
        """Return the same as a matrix, for a few thousand tokens."""
        return torch.from_numpy(self.sparse(n_tokens, n_features, row_length).toarray())


@dataclass(frozen=True)
class Encoded:
    """What a CLT makes of some rows.

    Attributes:
        layers: by layer the active features.
        scales: by layer the denominator of the norm that the CLT reads behind, at positions ≥ 1; empty by default.
    """

    layers: list[Entries]
    scales: list[Float[np.ndarray, " token"]]


def encode(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[np.ndarray, "row position"],
    *,
    first_row: int = 0,
    scale_hook: str | None = None,
) -> Encoded:
    """Run the model on a batch of rows and return what fires at positions ≥ 1.

    Args:
        first_row: the number of the first row, from which ``Entries.at`` counts.
        scale_hook: template of the hook with the norm's denominator, if that is wanted.

    Raises:
        ModelError: the model's activations hold a NaN or an infinity.
    """
    row_length = tokens.shape[1]
    layers: dict[int, Entries] = {}
    scales: dict[int, Float[np.ndarray, " token"]] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            inner = activation[:, 1:].flatten(0, 1).to(clt.W_enc.dtype)
            # Made sparse at once: what a layer reads, or a dense layer of features, is never kept.
            values = clt.encode(layer, inner).float().cpu().numpy()
            flat = np.flatnonzero(values > 0)
            token, feature = np.divmod(flat, values.shape[1])
            row, position = np.divmod(token, row_length - 1)
            at = (first_row + row) * row_length + position + 1
            layers[layer] = Entries(feature.astype(np.int32), at.astype(np.int64), values.ravel()[flat])

        return hook

    def keep_scale(layer: int) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            scales[layer] = activation[:, 1:].flatten(0, 1).float().cpu().numpy()[:, 0]

        return hook

    of_layers = range(clt.n_layers)
    hooks = [(clt.config.read_hook.format(layer=layer), keep(layer)) for layer in of_layers]
    if scale_hook:
        hooks += [(scale_hook.format(layer=layer), keep_scale(layer)) for layer in of_layers]
    with torch.no_grad():
        final = run_decoder(model, torch.from_numpy(tokens.astype(np.int64)), hooks)
    if not is_finite(final):
        raise ModelError(
            f"The activations of {model.name!r} hold a NaN or an infinity: open it in float32, or check the model."
        )
    return Encoded([layers[layer] for layer in of_layers], [scales[layer] for layer in of_layers] if scale_hook else [])
