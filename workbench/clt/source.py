"""Where training batches come from: shuffled reads of a full cache, or a rolling buffer over a stream."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt.activations import ActivationStore
from workbench.clt.train_config import TrainConfig


def shuffled(n: int, *, seed: int, round_: int) -> Int[Tensor, " n"]:
    """Return a permutation that depends on the seed and the round alone, so that a resumed run draws the same."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + round_))


class CachedBatches:
    """Every harvested token once an epoch, in a new random order each; what does not fill a batch is left out."""

    def __init__(self, store: ActivationStore, config: TrainConfig):
        self.store, self.config = store, config
        self.steps_per_epoch = config.tokens // config.batch_tokens
        self.n_steps = self.steps_per_epoch * config.epochs
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> Float[Tensor, "site token d_model"]:
        """Return the activations of one step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, shuffled(self.config.tokens, seed=self.config.seed, round_=epoch)
        size = self.config.batch_tokens
        # Sorted rows are read front to back: the shuffle is across batches, the order within one is irrelevant.
        return self.store.read(self._order[position * size : (position + 1) * size].sort().values)
