"""Finding features: by text, label, direction, behaviour on prompts, density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.norms import FrozenNorm
from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.features.atlas.encode import encode
from workbench.features.atlas.identity import check_feature
from workbench.features.global_weights import read_norms
from workbench.features.logit_effects import total_decoder
from workbench.models import LoadedModel, token_id, token_strings, tokenize

Which = Literal["encoder", "decoder"]


class TokenActivations(TypedDict):
    """A text's tokens, the start token first, and a feature's activation at each."""

    tokens: Sequence[str]
    activations: Sequence[float]


class Search:
    """What an atlas can be asked for. All answers are DataFrames, one row a feature (or feature and token)."""

    model: LoadedModel
    clt: CLT

    if TYPE_CHECKING:

        def table(self) -> pd.DataFrame: ...
        def labels(self) -> dict[tuple[int, int], str]: ...

    def find(
        self,
        *,
        layer: int | tuple[int, int] | None = None,
        density: tuple[float, float] | None = None,
        kind: str | None = None,
        family: str | None = None,
        label_score: tuple[float, float] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of :meth:`table` within the given bounds (both included), by layer and feature.

        Raises:
            ConfigError: bounds are in the wrong order, or no feature has that kind or family.
        """
        table = self.table()
        keep = pd.Series(True, index=table.index)
        ranges = {"layer": (layer, layer) if isinstance(layer, int) else layer}
        for column, bounds in {**ranges, "density": density, "label_score": label_score}.items():
            if bounds is not None:
                if bounds[0] > bounds[1]:
                    raise ConfigError(f"The bounds of {column} are {bounds}: give the lower one first.")
                keep &= table[column].between(*bounds)
        for column, wanted in (("kind", kind), ("family", family)):
            if wanted is not None:
                known = sorted(table[column].unique())
                if wanted not in known:
                    raise ConfigError(f"No feature has the {column} {wanted!r}: choose from {', '.join(known)}.")
                keep &= table[column] == wanted
        return table[keep].reset_index(drop=True)

    def find_label(self, query: str) -> pd.DataFrame:
        """Return the features whose label has all words of the query, whatever their case; whole labels first.

        Raises:
            ConfigError: the query is empty.
        """
        words = query.lower().split()
        if not words:
            raise ConfigError("The query is empty: give a part of a label.")
        table = self.table()
        lower = table["label"].str.lower()
        found = table[np.logical_and.reduce([lower.str.contains(word, regex=False) for word in words])]
        # The larger the part of the label that the query is, the better it fits.
        rest = found["label"].str.len() - len(query)
        order = np.lexsort((-found["label_score"].fillna(0), rest))
        return found.iloc[order].reset_index(drop=True)

    def search_label(self, query: str) -> pd.DataFrame:
        """Another name of :meth:`find_label`."""
        return self.find_label(query)

    def find_text(self, text: str, *, chat: bool = False, k: int | None = None) -> pd.DataFrame:
        """Return which features fire on a text, the strongest first.

        The columns are layer, feature, position, token, activation, relative and label; ``relative`` is the activation
        as a share of the strongest in the atlas, because activations of different features are on scales of their own.

        Args:
            chat: put the text through the model's chat template.
            k: how many rows at most.

        Raises:
            PromptError: the text is empty or too long.
        """
        table = firing(self.model, self.clt, text, chat=chat)
        table = table if k is None else table.head(k)
        known = self.table()
        row = table["layer"].to_numpy(np.int64) * self.clt.n_features + table["feature"].to_numpy(np.int64)
        strongest = known["max_activation"].to_numpy(np.float64)[row]
        table["relative"] = table["activation"] / np.where(strongest > 0, strongest, np.nan)
        table["label"] = known["label"].to_numpy()[row]
        return table

    def find_direction(
        self,
        direction: Float[Tensor, " d_model"] | str | tuple[int, int],
        *,
        which: Which = "decoder",
        of: Which | None = None,
        k: int = 20,
    ) -> pd.DataFrame:
        """Return the features whose encoder or decoder points most along a direction of the residual stream.

        Encoders are taken behind the norm's weight, as what they read of the residual stream; decoders are summed over
        the layers that they write to; the unembedding of a token is taken behind the final norm's weight.

        Args:
            direction: a vector, one token's text (its unembedding), or (layer, feature).
            which: whose cosine is taken.
            of: for a feature, whether its encoder or its decoder is meant; by default the same as ``which``.
            k: how many at most.

        Returns:
            layer, feature, cosine, label; by |cosine|.

        Raises:
            ConfigError: a name, a feature or the vector's length is wrong, or the vector is zero.
            PromptError: the text is not exactly one token.
            CLTError: the CLT reads at a hook that has no linear path from the residual stream.
        """
        for value in (which, of or which):
            if value not in get_args(Which):
                raise ConfigError(f"{value!r} is unknown: give 'encoder' or 'decoder'.")
        vector = self._direction(direction, of or which)
        cosines = torch.cat(
            [torch.cosine_similarity(_vectors(self.model, self.clt, layer, which), vector[None], dim=-1)
             for layer in range(self.clt.n_layers)]
        )  # fmt: skip
        best = cosines.abs().topk(min(k, len(cosines))).indices
        table = _features(best.cpu().numpy(), self.clt.n_features)
        table["cosine"] = cosines[best].cpu().numpy()
        return self._labelled(table)

    def find_contrast(
        self,
        fires_on: Sequence[str],
        not_on: Sequence[str] = (),
        *,
        at: int | str | None = None,
        at_least: float = 1.0,
        at_most: float = 0.0,
        chat: bool = False,
    ) -> pd.DataFrame:
        """Return the features that fire on all prompts of one set and on none of another.

        Args:
            at: a position (negative ones count from the end), a token's text (its last occurrence in each prompt), or
                None for any position.
            at_least: share of ``fires_on`` on which a feature has to fire.
            at_most: share of ``not_on`` on which it may.
            chat: put the prompts through the model's chat template.

        Returns:
            layer, feature, share_on, share_off, activation_on and activation_off (means over the prompts of the
            strongest activation in each), label; the largest difference of the two first, in units of the feature's
            maximum in the atlas.

        Raises:
            ConfigError: there is no prompt to fire on, or a prompt has no such position or token.
            PromptError: a prompt is empty or too long.
        """
        if isinstance(fires_on, str) or isinstance(not_on, str) or not len(fires_on):
            raise ConfigError("There is no list of prompts to fire on: give one or more prompts, each as a text.")
        on = torch.stack([self._strongest(prompt, at, chat) for prompt in fires_on])
        off = torch.stack([self._strongest(prompt, at, chat) for prompt in not_on]) if len(not_on) else on[:0]
        share_on = (on > 0).float().mean(dim=0)
        share_off = (off > 0).float().sum(dim=0) / max(1, len(off))
        mean_off = off.sum(dim=0) / max(1, len(off))
        # Shares are ratios of small numbers: a third of three prompts is not to fail for its last bit.
        found = ((share_on >= at_least - 1e-6) & (share_off <= at_most + 1e-6) & (share_on > 0)).nonzero()[:, 0]
        table = _features(found.numpy(), self.clt.n_features)
        columns = {
            "share_on": share_on,
            "share_off": share_off,
            "activation_on": on.mean(dim=0),
            "activation_off": mean_off,
        }
        for name, values in columns.items():
            table[name] = values[found].numpy()
        maximum = self.table()["max_activation"].to_numpy(np.float64)[found.numpy()]
        difference = (on.mean(dim=0) - mean_off)[found].numpy() / np.where(maximum > 0, maximum, 1)
        table = table.iloc[np.argsort(-difference, kind="stable")].reset_index(drop=True)
        return self._labelled(table)

    def activations(self, text: str, layer: int, feature: int) -> TokenActivations:
        """Return a feature's activation at every token of a text: ``tokens`` and ``activations``.

        Raises:
            ConfigError: there is no such feature.
            PromptError: the text is empty or too long.
        """
        check_feature(self.clt, layer, feature)
        ids = tokenize(self.model, text)
        values = np.zeros(len(ids))
        if len(ids) > 1:
            entries = encode(self.model, self.clt, ids[None].numpy()).layers[layer]
            here = entries.feature == feature
            values[entries.at[here]] = entries.activation[here]
        return {"tokens": token_strings(self.model, ids), "activations": values.tolist()}

    def _labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        labels = self.labels()
        keys = zip(table["layer"].tolist(), table["feature"].tolist(), strict=True)
        table["label"] = [labels.get(key, "") for key in keys]
        return table

    def _direction(
        self, direction: Float[Tensor, " d_model"] | str | tuple[int, int], of: Which
    ) -> Float[Tensor, " d_model"]:
        weights = self.clt.W_enc
        if isinstance(direction, str):
            norm = FrozenNorm.of(
                self.model.bridge.ln_final, torch.ones(1, 1, dtype=self.model.dtype, device=self.model.device)
            )
            vector = norm.pull_back(self.model.W_U[:, token_id(self.model, direction)][None])[0]
        elif isinstance(direction, tuple):
            layer, feature = direction
            check_feature(self.clt, layer, feature)
            vector = _vectors(self.model, self.clt, layer, of)[feature]
        else:
            vector = torch.as_tensor(direction)
            if vector.shape != (self.clt.config.d_model,):
                raise ConfigError(
                    f"The direction has shape {tuple(vector.shape)}: give one vector of "
                    f"{self.clt.config.d_model} numbers."
                )
        vector = vector.to(weights)
        if not bool(vector.norm() > 0):
            raise ConfigError("The direction is zero or holds a NaN: give a vector that points somewhere.")
        return vector

    def _strongest(self, prompt: str, at: int | str | None, chat: bool) -> Float[Tensor, " feature"]:
        """Return the strongest activation of every feature of all layers, at one position or at any."""
        ids = tokenize(self.model, prompt, chat=chat)
        position = None if at is None else _position(self.model, ids, at, prompt)
        values = np.zeros(self.clt.n_layers * self.clt.n_features, np.float32)
        if len(ids) > 1:
            for layer, entries in enumerate(encode(self.model, self.clt, ids[None].numpy()).layers):
                keep = slice(None) if position is None else entries.at == position
                index = layer * self.clt.n_features + entries.feature[keep]
                np.maximum.at(values, index, entries.activation[keep])
        return torch.from_numpy(values)


def firing(model: LoadedModel, clt: CLT, text: str, *, chat: bool = False) -> pd.DataFrame:
    """Return which features fire on a text, the strongest first: layer, feature, position, token, activation.

    Raises:
        PromptError: the text is empty or too long.
    """
    ids = tokenize(model, text, chat=chat)
    tokens = np.array(token_strings(model, ids), dtype=object)
    layers = encode(model, clt, ids[None].numpy()).layers if len(ids) > 1 else []
    tables = [
        pd.DataFrame(
            {
                "layer": np.full(len(entries), layer, np.int32),
                "feature": entries.feature,
                "position": entries.at.astype(np.int32),
                "token": tokens[entries.at],
                "activation": entries.activation,
            }
        )
        for layer, entries in enumerate(layers)
    ]
    if not tables:
        return pd.DataFrame(columns=["layer", "feature", "position", "token", "activation"])
    return pd.concat(tables).sort_values("activation", ascending=False, kind="stable", ignore_index=True)


def _position(model: LoadedModel, ids: Int[Tensor, " position"], at: int | str, prompt: str) -> int:
    if isinstance(at, str):
        places = (ids == token_id(model, at)).nonzero()[:, 0].tolist()
        if not places:
            raise ConfigError(f"The prompt {prompt!r} has no token {at!r}: choose one of {token_strings(model, ids)}.")
        return int(places[-1])
    if not -len(ids) <= at < len(ids):
        raise ConfigError(
            f"The prompt {prompt!r} has {len(ids)} tokens with its start token: there is no position {at}."
        )
    return at % len(ids)


def _features(index: np.ndarray, n_features: int) -> pd.DataFrame:
    layer, feature = np.divmod(index, n_features)
    return pd.DataFrame({"layer": layer.astype(np.int32), "feature": feature.astype(np.int32)})


def _vectors(model: LoadedModel, clt: CLT, layer: int, which: Which) -> Float[Tensor, "feature d_model"]:
    if which == "encoder":
        return read_norms(model, clt).pull_back(clt, layer, slice(None))
    index = torch.arange(clt.n_features)
    return total_decoder(clt, torch.full_like(index, layer), index)
