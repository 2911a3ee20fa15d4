"""Where training batches come from: shuffled reads of a full cache, or a rolling buffer over a stream."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt.activations.store import ActivationStore
from workbench.clt.training.config import TrainConfig


class Batches(Protocol):
    """A source of training batches; which tokens a step sees depends on the recipe and the step alone."""

    n_steps: int

    def batch(self, step: int) -> Float[Tensor, "site token d_model"]:
        """Return the activations of one step, for the caller to change in place until the next call."""
        ...

    def must_refill(self, step: int) -> bool:
        """Whether ``refill`` is due before this step; it discards what earlier steps read, so save before."""
        ...

    def refill(self, step: int) -> bool:
        """Harvest what this step needs; return False when a signal ended it before."""
        ...


def shuffled(n: int, *, seed: int, round_: int) -> Int[Tensor, " n"]:
    """Return a permutation that depends on the seed and the round alone, so that a resumed run draws the same."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + round_))


class CachedBatches:
    """Every harvested token once an epoch, in a new random order each; what does not fill a batch is left out."""

    def __init__(self, store: ActivationStore, config: TrainConfig, *, part: tuple[int, int] = (0, 1)):
        """Make the reader.

        Args:
            part: (i, n) reads the i-th of n equal slices of every batch.
        """
        self.store, self.config = store, config
        self._part, self._n_parts = part
        self.steps_per_epoch = config.tokens // config.batch_tokens
        self.n_steps = self.steps_per_epoch * config.epochs
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> Float[Tensor, "site token d_model"]:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, shuffled(self.config.tokens, seed=self.config.seed, round_=epoch)
        size = self.config.batch_tokens
        # Sorted rows are read front to back: the shuffle is across batches, the order within one is irrelevant.
        rows = self._order[position * size : (position + 1) * size].sort().values
        return self.store.read(rows.chunk(self._n_parts)[self._part], reuse=True)

    def must_refill(self, step: int) -> bool:
        return False

    def refill(self, step: int) -> bool:
        return True


class StreamedBatches:
    """A rolling buffer: two chunks of the stream at a time, each token trained on in one phase only.

    Phase p holds chunks p and p + 1. It trains, ``epochs`` times over, on the half of chunk p that
    phase p − 1 left and on a random half of chunk p + 1, so that neighbours in the text are spread
    over two phases; then chunk p + 2 takes the place of chunk p.
    """

    def __init__(self, store: ActivationStore, config: TrainConfig, fill: Callable[[int], bool]):
        """Make the buffer's reader.

        Args:
            fill: harvests until that many tokens were ever stored; False when it was stopped.
        """
        self.store, self.config, self._fill = store, config, fill
        self.chunk = store.capacity // 2
        self.n_chunks = max(1, config.tokens // self.chunk)
        self.n_phases = max(1, self.n_chunks - 1)
        per_phase = [len(self.rows(phase)) // config.batch_tokens for phase in range(self.n_phases)]
        self._steps_per_epoch = per_phase
        self._ends = list(accumulate(steps * config.epochs for steps in per_phase))
        self.n_steps = self._ends[-1]
        self._key, self._order = (-1, -1), torch.empty(0, dtype=torch.int64)

    def rows(self, phase: int) -> Int[Tensor, " token"]:
        """Return the rows of the buffer that a phase trains on."""
        halves = []
        for chunk in (phase, phase + 1):
            if chunk >= self.n_chunks:
                continue
            order = shuffled(self.chunk, seed=self.config.seed, round_=-1 - chunk)
            first = 0 if chunk == phase + 1 or phase == 0 else self.chunk // 2
            last = self.chunk // 2 if chunk == phase + 1 and phase + 1 < self.n_chunks - 1 else self.chunk
            halves.append(order[first:last] + (chunk % 2) * self.chunk)
        return torch.cat(halves)

    def _phase(self, step: int) -> int:
        return bisect_right(self._ends, step)

    def _needed(self, step: int) -> int:
        return min(self._phase(step) + 2, self.n_chunks) * self.chunk

    def must_refill(self, step: int) -> bool:
        return int(self.store.state.get("tokens", 0)) < self._needed(step)

    def refill(self, step: int) -> bool:
        return self._fill(self._needed(step))

    def batch(self, step: int) -> Float[Tensor, "site token d_model"]:
        phase = self._phase(step)
        within = step - (self._ends[phase - 1] if phase else 0)
        epoch, position = divmod(within, self._steps_per_epoch[phase])
        if (phase, epoch) != self._key:
            rows = self.rows(phase)
            order = shuffled(len(rows), seed=self.config.seed, round_=phase * self.config.epochs + epoch)
            self._key, self._order = (phase, epoch), rows[order]
        size = self.config.batch_tokens
        return self.store.read(self._order[position * size : (position + 1) * size].sort().values, reuse=True)


class GatheredBatches:
    """Every process's batch, one after the other, on each of them: for those that see whole batches."""

    def __init__(self, own: Batches, gather: Callable[[Tensor], Tensor]):
        """Make the reader.

        Args:
            gather: returns the tensors of all processes, stacked in a new first dimension.
        """
        self.own, self._gather = own, gather
        self.n_steps = own.n_steps

    def batch(self, step: int) -> Float[Tensor, "site token d_model"]:
        return self._gather(self.own.batch(step)).permute(1, 0, 2, 3).flatten(1, 2)

    def must_refill(self, step: int) -> bool:
        return self.own.must_refill(step)

    def refill(self, step: int) -> bool:
        return self.own.refill(step)
