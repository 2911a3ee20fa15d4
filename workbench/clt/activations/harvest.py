"""From token rows to stored activations: run the model, drop what does not belong, write, and be able to go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt.activations.store import ActivationStore
from workbench.errors import ConfigError, ModelError
from workbench.files import is_finite
from workbench.models.capture import READ_HOOK, WRITE_HOOK, capture_reads_and_writes
from workbench.models.loaded import LoadedModel

_ROUNDS, _ROUNDS_AT_LEAST = 25, 3
# bfloat16 is taken where it needs less than this share of the time, and given up early where it needs this many times
# as much.
_CLEARLY, _HOPELESS = 0.7, 20.0


def harvest_dtype(choice: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
    """Return the dtype that the model runs in; ``auto`` times a matrix product in both.

    bfloat16 is twice as fast on a processor that has it and hundreds of times slower on one that has not.
    """
    if choice != "auto":
        return torch.float32 if choice == "float32" else torch.bfloat16
    # Small enough that the slow case takes a tenth of a second.
    matrices = {dtype: torch.ones(256, 256, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    for matrix in matrices.values():
        matrix @ matrix

    def seconds(dtype: torch.dtype) -> float:
        started = time.perf_counter()
        matrices[dtype] @ matrices[dtype]
        return time.perf_counter() - started

    return faster_dtype(seconds)


def faster_dtype(seconds: Callable[[torch.dtype], float]) -> torch.dtype:
    """Return bfloat16 where it is clearly faster than float32, else float32.

    The two take turns, so that what else the machine does meets both; of each the fastest time counts, which others
    disturbed least.

    Args:
        seconds: times one piece of work in a dtype.
    """
    fastest = {torch.float32: math.inf, torch.bfloat16: math.inf}
    for done in range(1, _ROUNDS + 1):
        for dtype in fastest:
            fastest[dtype] = min(fastest[dtype], seconds(dtype))
        if done >= _ROUNDS_AT_LEAST and fastest[torch.bfloat16] > _HOPELESS * fastest[torch.float32]:
            break
    return torch.bfloat16 if fastest[torch.bfloat16] < _CLEARLY * fastest[torch.float32] else torch.float32


TokenBatches = Iterable[Int[Tensor, "row position"]]


@dataclass
class Harvester:
    """Fills a store with what a transcoder reads and must write.

    Position 0 of every row is dropped, and so is every token whose norm at any site exceeds
    ``outlier_factor`` times the median norm there: attention sinks are orders of magnitude larger
    than other tokens and would own the loss. The medians come from the first batch and are kept.
    """

    model: LoadedModel
    store: ActivationStore
    read_hook: str = READ_HOOK
    write_hook: str = WRITE_HOOK
    outlier_factor: float = 16.0
    save_seconds: float = 30.0

    @property
    def n_tokens(self) -> int:
        """Tokens that were ever stored."""
        return int(self.store.state.get("tokens", 0))

    def activations(self, tokens: Int[Tensor, "row position"]) -> Float[Tensor, "site token d_model"]:
        """Return the activations at every site of all tokens but those at position 0.

        Raises:
            ModelError: one of them is a NaN or an infinity.
        """
        reads, writes = capture_reads_and_writes(
            self.model, tokens, read_hook=self.read_hook, write_hook=self.write_hook, dtype=torch.float32
        )
        # In the order of the model, so that the layer that is named is the one where it began.
        for layer in range(self.model.n_layers):
            for hook, sites in ((self.read_hook, reads), (self.write_hook, writes)):
                if not is_finite(sites[layer, :, 1:]):
                    raise ModelError(
                        f"The activations of {self.model.name!r} at {hook.format(layer=layer)} hold a NaN or an "
                        'infinity: harvest with dtype = "float32", or check the model.'
                    )
        return torch.cat([reads, writes])[:, :, 1:].flatten(1, 2).cpu()

    def keep(
        self, activations: Float[Tensor, "site token d_model"], medians: Float[Tensor, " site"]
    ) -> Float[Tensor, "site token d_model"]:
        """Return the activations without the tokens of outlying norm."""
        norms = activations.norm(dim=-1)
        # Written as "not below" so that a norm that overflows is dropped too.
        outlying = ~(norms <= self.outlier_factor * medians[:, None]).all(0)
        return activations[:, ~outlying] if bool(outlying.any()) else activations

    def _write(self, start: int, rows: Float[Tensor, "site token d_model"]) -> None:
        first = start % self.store.capacity
        room = self.store.capacity - first
        self.store.write(first, rows[:, :room])
        if rows.shape[1] > room:
            self.store.write(0, rows[:, room:])

    def fill(
        self,
        batches: TokenBatches,
        *,
        target: int,
        stop: Callable[[], bool] = lambda: False,
        label: str = "harvest",
        progress: bool = True,
        observe: Callable[[int, int], object] = lambda done, wanted: None,
    ) -> bool:
        """Harvest until ``target`` tokens were ever stored; return False when ``stop`` asked for an end before.

        Beyond the store's capacity the oldest tokens are overwritten. ``batches`` must be the same
        sequence on every call: batches that the store has already seen are skipped, so a killed run
        goes on where its last saved state stands. ``observe`` hears after each batch how many tokens there are.

        Raises:
            ConfigError: the corpus ends before the store is full.
            ModelError: the model's activations hold a NaN or an infinity.
        """
        state = {"tokens": 0, "batches": 0, "dropped": 0, "medians": None, **self.store.state}
        medians = None if state["medians"] is None else torch.tensor(state["medians"])
        saved = time.monotonic()
        bar = tqdm(total=target, initial=state["tokens"], desc=label, unit="tok", disable=not progress)
        with bar:
            if state["tokens"] >= target:
                return True
            for tokens in islice(batches, state["batches"], None):
                activations = self.activations(tokens)
                if medians is None:
                    medians = activations.norm(dim=-1).median(dim=1).values
                    state["medians"] = medians.tolist()
                kept = self.keep(activations, medians)
                state["dropped"] += activations.shape[1] - kept.shape[1]
                kept = kept[:, : target - state["tokens"]]
                self._write(state["tokens"], kept)
                state["tokens"] += kept.shape[1]
                state["batches"] += 1
                bar.update(kept.shape[1])
                observe(state["tokens"], target)
                bar.set_postfix(dropped=state["dropped"], refresh=False)
                done, stopping = bool(state["tokens"] >= target), stop()
                if done or stopping or time.monotonic() - saved > self.save_seconds:
                    self.store.save_state(dict(state))
                    saved = time.monotonic()
                if done or stopping:
                    return done
        raise ConfigError(
            f"The corpus ended after {state['tokens']:,} of {target:,} tokens: "
            "ask for fewer tokens or name a larger corpus."
        )
