"""Counting over a corpus where features fire."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.clt.formats.load import check_fits
from workbench.clt.training.trainer import StopFlag
from workbench.errors import ConfigError
from workbench.features.structure.kinds import kinds_by_layer
from workbench.features.structure.result import CLASSES, MID, Structure
from workbench.memory import require_memory
from workbench.models import LoadedModel, run_decoder, unembed

_PUNCTUATION, _NEWLINE, _AFTER_START, _CONTROL = range(MID)
# Half a nat: finer bins leave many without a mid-sentence token.
NATS_A_BIN, N_BINS = 0.5, 26
_CONTROL_SHARE = 0.2
# Logits that are formed together: 64 MB in float32.
_VALUES_TOGETHER = 1 << 24


@torch.no_grad()
def structure(
    model: LoadedModel,
    clt: CLT,
    batches: Iterable[Int[Tensor, "row position"]],
    *,
    table: pd.DataFrame | None = None,
    n_batches: int | None = None,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> Structure:
    """Measure over a corpus how features smear and where they gather.

    Memory is that of one batch and of some hundred numbers a feature. An interrupt ends after the batch at work, and
    what was counted so far is returned.

    Args:
        batches: rows of token ids, the start token first, as :func:`workbench.corpus.token_batches` gives them.
        table: of the features' kinds, as ``atlas.table()`` gives it, for :meth:`Structure.kinds`.
        n_batches: how many there will be, for the progress bar.
        seed: of the control.
        stop: asked after every batch whether to end; by default an interrupt or SIGTERM ends.

    Raises:
        ConfigError: there is no token to count, or the table cannot be used.
        CLTError: the CLT is of another model.
        ResourceError: memory will not suffice.
    """
    check_fits(clt.config, model, "given")
    if table is not None:
        kinds_by_layer(table)
    require_memory(
        (len(CLASSES) + 1) * N_BINS * clt.n_layers * clt.n_features * 4,
        f"Counting where {clt.n_layers * clt.n_features:,} features fire",
        "use a smaller CLT",
    )
    counts = _Counts.zero(clt, np.random.default_rng(seed))
    with (
        StopFlag.installed() as flag,
        tqdm(total=n_batches, unit=" batches", desc="Structure", disable=not progress) as bar,
    ):
        for batch in batches:
            counts.add(model, clt, batch)
            bar.update()
            if flag() or (stop is not None and stop()):
                break
    if not counts.n_tokens:
        raise ConfigError("There was no token to count: give at least one batch of rows of two or more tokens.")
    return Structure(
        n_tokens=counts.n_tokens,
        n_active=counts.n_active.numpy(),
        n_runs=counts.n_runs.numpy(),
        expected_runs=counts.expected_runs.numpy(),
        tokens=counts.tokens.numpy(),
        entropy=counts.entropy.numpy(),
        fires=counts.fires.numpy(),
        table=table,
    )


@dataclass
class _Counts:
    n_active: Float[Tensor, "layer feature"]
    n_runs: Float[Tensor, "layer feature"]
    expected_runs: Float[Tensor, "layer feature"]
    tokens: Float[Tensor, "class bin"]
    entropy: Float[Tensor, "class bin"]
    fires: Float[Tensor, "class bin layer feature"]
    random: np.random.Generator
    n_tokens: int = 0

    @classmethod
    def zero(cls, clt: CLT, random: np.random.Generator) -> _Counts:
        size = clt.n_layers, clt.n_features
        runs = torch.zeros(3, *size, dtype=torch.float64)
        tokens = torch.zeros(2, MID + 1, N_BINS, dtype=torch.float64)
        fires = torch.zeros(MID + 1, N_BINS, *size)
        return cls(runs[0], runs[1], runs[2], tokens[0], tokens[1], fires, random)

    def add(self, model: LoadedModel, clt: CLT, batch: Int[Tensor, "row position"]) -> None:
        n_positions = batch.shape[1] - 1
        if not len(batch) or n_positions < 1:
            return
        fires: list[Bool[Tensor, "token feature"]] = []

        def count(layer: int) -> Callable[..., None]:
            def hook(activation: Tensor, hook: Any) -> None:
                active = clt.encode(layer, activation[:, 1:].to(clt.W_enc.dtype)).cpu() > 0
                k = active.sum(dim=1).double()
                begins = active.clone()
                begins[:, 1:] &= ~active[:, :-1]
                self.n_active[layer] += k.sum(dim=0)
                self.n_runs[layer] += begins.sum(dim=(0, 1))
                self.expected_runs[layer] += (k * (n_positions - k + 1) / n_positions).sum(dim=0)
                fires.append(active.flatten(0, 1))

            return hook

        hooks = [(clt.config.read_hook.format(layer=layer), count(layer)) for layer in range(clt.n_layers)]
        final = run_decoder(model, batch, hooks)[:, 1:].flatten(0, 1)
        entropy = _entropy(model, final)
        classes = torch.from_numpy(self._classes(model, batch))
        counted = classes >= 0
        bins = (entropy / NATS_A_BIN).long().clamp(0, N_BINS - 1)
        cell = (classes * N_BINS + bins)[counted]
        ones = torch.zeros(len(cell), (MID + 1) * N_BINS)
        ones[torch.arange(len(cell)), cell] = 1
        self.n_tokens += len(classes)
        self.tokens += ones.sum(dim=0).double().view_as(self.tokens)
        self.entropy += (ones.double().T @ entropy[counted].double()).view_as(self.entropy)
        for layer, active in enumerate(fires):
            self.fires[:, :, layer] += (ones.T @ active[counted].float()).view(MID + 1, N_BINS, -1)

    def _classes(self, model: LoadedModel, batch: Int[Tensor, "row position"]) -> Int[np.ndarray, " token"]:
        """Return the class of every token after the start, −1 for those of none."""
        ids, place = np.unique(batch.numpy(force=True), return_inverse=True)
        kinds = np.array([_class_of(str(model.tokenizer.decode([int(token)]))) for token in ids])
        kinds = kinds[place].reshape(batch.shape)
        # The start token is no word, whatever its text.
        kinds[:, 0] = -1
        classes = np.where(kinds == MID, -1, kinds)
        middle = (kinds[:, 1:] == MID) & (kinds[:, :-1] == MID)
        drawn = self.random.random(middle.shape) < _CONTROL_SHARE
        classes[:, 1:] = np.where(middle, np.where(drawn, _CONTROL, MID), classes[:, 1:])
        classes[:, 1] = _AFTER_START
        return classes[:, 1:].ravel()


def _class_of(text: str) -> int:
    """Return punctuation, newline, or mid-sentence for a word or a part of one; −1 for anything else."""
    core = text.strip()
    if not core:
        return _NEWLINE if "\n" in text else -1
    if all(unicodedata.category(character)[0] in "PS" for character in core):
        return _PUNCTUATION
    return MID if any(character.isalnum() for character in core) else -1


def _entropy(model: LoadedModel, final: Float[Tensor, "token d_model"]) -> Float[Tensor, " token"]:
    """Return the entropy of the next token in nats."""
    together = max(1, _VALUES_TOGETHER // model.d_vocab)
    pieces = []
    for start in range(0, len(final), together):
        logged = unembed(model, final[start : start + together]).log_softmax(dim=-1)
        pieces.append(-(logged.exp() * logged).sum(dim=-1).cpu())
    return torch.cat(pieces)
