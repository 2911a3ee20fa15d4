"""The text of the tiny atlas, and dense activations on it: what the atlas of a test is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from helpers import tiny_prompt

from workbench.clt import CLT
from workbench.corpus import TextCorpus, token_rows
from workbench.corpus.tokens import Split
from workbench.features.atlas import AtlasPlan
from workbench.models import LoadedModel, capture

CORPUS = TextCorpus("words", [tiny_prompt(length=31, seed=seed) for seed in range(110)])
# Two shards and a half; chunks end inside them.
PLAN = AtlasPlan(
    row_length=16,
    batch_rows=16,
    chunk_batches=2,
    shard_batches=5,
    sample_tokens=450,
    held_out_tokens=120,
    n_top=4,
    n_spread=2,
    before=4,
    after=2,
    k=5,
)


def text_rows(model: LoadedModel, split: Split) -> np.ndarray:
    """Return the rows that an atlas of the corpus reads."""
    rows = token_rows(CORPUS, model.tokenizer, start_token_id=0, row_length=PLAN.row_length, split=split)
    if split == "held_out":
        rows = islice(rows, -(-PLAN.held_out_tokens // (PLAN.row_length - 1)))
    return np.stack([row.numpy() for row in rows])


@dataclass(frozen=True)
class Dense:
    """Every activation on some rows, [layer, row, position, feature], zero at position 0."""

    tokens: np.ndarray
    activations: np.ndarray

    @classmethod
    def of(cls, model: LoadedModel, clt: CLT, tokens: np.ndarray) -> Dense:
        names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
        batches = []
        # The same batches as in the build: a matrix product of another shape may differ in its last bit.
        for first in range(0, len(tokens), PLAN.batch_rows):
            kept = capture(model, torch.from_numpy(tokens[first : first + PLAN.batch_rows].astype(np.int64)), names)
            batches.append(torch.stack([clt.encode(layer, kept[name]) for layer, name in enumerate(names)]))
        activations = torch.cat(batches, dim=1).numpy()
        activations[:, :, 0] = 0
        return cls(tokens, activations)

    @property
    def n_tokens(self) -> int:
        return self.tokens.shape[0] * (self.tokens.shape[1] - 1)

    def of_feature(self, layer: int, feature: int) -> np.ndarray:
        """Return one feature's activations, [row, position]."""
        return np.asarray(self.activations[layer, :, :, feature])
