"""Counting a text shard by shard, resumably: what a killed build has finished, the next one finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from workbench.clt import CLT
from workbench.features.atlas.plan import AtlasPlan
from workbench.features.atlas.schedule import Runner
from workbench.features.atlas.shard import ShardTask, Statistics, count_shard, from_bytes, merged, to_bytes
from workbench.files import atomic_file
from workbench.models import LoadedModel


@dataclass
class Counter:
    """Counts the shards of a text and merges them in their order, whichever process counted them in which order.

    ``counted-N`` in the folder holds the first N shards merged, ``shard-I`` one that was finished before its turn.

    Attributes:
        on_tokens: told how many tokens were counted; True ends the work.
    """

    folder: Path
    model: LoadedModel
    clt: CLT
    tokens: Int[np.ndarray, "row position"]
    plan: AtlasPlan
    on_tokens: Callable[[int], bool]

    @property
    def n_shards(self) -> int:
        return -(-len(self.tokens) // self.plan.shard_rows)

    def rows(self, shard: int) -> Int[np.ndarray, "row position"]:
        return self.tokens[shard * self.plan.shard_rows : (shard + 1) * self.plan.shard_rows]

    def run(
        self, runner: Runner | None, task: Callable[[int, Int[np.ndarray, "row position"]], ShardTask]
    ) -> Statistics | None:
        """Return the counts of the whole text; None when the work was ended before.

        Args:
            runner: processes that count shards; None counts here.
            task: makes the task of a shard for them.

        Raises:
            FormatError: what an earlier build left is damaged.
        """
        done, counts = self._restore()
        waiting = {shard for shard in range(done, self.n_shards) if self._shard_file(shard).is_file()}
        already = sum(self._n_tokens(shard) for shard in (*range(done), *waiting))
        if already and self.on_tokens(already):
            return None
        done, counts = self._advance(done, counts, waiting)
        missing = [shard for shard in range(done, self.n_shards) if shard not in waiting]
        if runner is None:
            for shard in missing:
                here = count_shard(
                    self.model,
                    self.clt,
                    self.rows(shard),
                    first_row=shard * self.plan.shard_rows,
                    plan=self.plan,
                    on_batch=self.on_tokens,
                )
                if here is None:
                    return None
                counts = self._merge(done, counts, here)
                done += 1
                done, counts = self._advance(done, counts, waiting)
            return counts
        tasks = [task(shard, self.rows(shard)) for shard in missing]
        for shard, content in runner(tasks):
            self._write(self._shard_file(shard), content)
            waiting.add(shard)
            done, counts = self._advance(done, counts, waiting)
            # Asked for an end, the runner ends by itself, with the shards at work.
            self.on_tokens(self._n_tokens(shard))
        return counts if done == self.n_shards else None

    def _advance(self, done: int, counts: Statistics | None, waiting: set[int]) -> tuple[int, Statistics | None]:
        """Merge the shards whose turn has come."""
        while done in waiting:
            path = self._shard_file(done)
            counts = self._merge(done, counts, self._read(path))
            waiting.discard(done)
            path.unlink(missing_ok=True)
            done += 1
        return done, counts

    def _merge(self, done: int, counts: Statistics | None, here: Statistics) -> Statistics:
        if counts is not None:
            here = merged(counts, here, d_vocab=self.model.d_vocab, plan=self.plan)
        self._write(self._counted_file(done + 1), to_bytes(here))
        self._counted_file(done).unlink(missing_ok=True)
        return here

    def _restore(self) -> tuple[int, Statistics | None]:
        found = sorted(self.folder.glob("counted-*.safetensors"))
        if not found:
            return 0, None
        return int(found[-1].stem.removeprefix("counted-")), self._read(found[-1])

    def _read(self, path: Path) -> Statistics:
        return from_bytes(path.read_bytes(), self.clt.n_layers, self.plan, str(path))

    def _write(self, path: Path, content: bytes) -> None:
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)

    def _counted_file(self, done: int) -> Path:
        return self.folder / f"counted-{done:06d}.safetensors"

    def _shard_file(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}.safetensors"

    def _n_tokens(self, shard: int) -> int:
        return len(self.rows(shard)) * (self.plan.row_length - 1)


def same_text(tokens: Int[np.ndarray, "row position"]) -> dict[str, Any]:
    """Return what tells whether two builds read the same text."""
    return {"rows": len(tokens), "sha256": hashlib.sha256(tokens.tobytes()).hexdigest()}
