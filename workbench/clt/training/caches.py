"""The activations of a training run, in its folder: which caches there are, who fills them, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from jaxtyping import Int
from torch import Tensor

from workbench.clt.activations.batches import Batches, CachedBatches, GatheredBatches, StreamedBatches
from workbench.clt.activations.harvest import Harvester
from workbench.clt.activations.store import ActivationStore
from workbench.clt.training.checkpoint import has_checkpoint
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.control import Watch
from workbench.clt.training.distributed import Ranks
from workbench.clt.training.trainer import StopFlag
from workbench.errors import ConfigError
from workbench.models.loaded import LoadedModel

Split = Literal["train", "held_out"]
TokenBatches = Callable[[Split], Iterable[Int[Tensor, "row position"]]]


@dataclass(frozen=True)
class Caches:
    """The caches of one run: held-out tokens, and all tokens that are trained on or, in a stream, a buffer of them.

    A cache is filled by the first process alone and read by all, so that it is the same however many train on it.
    In a stream every process harvests its own share of the corpus into a buffer of its own.

    Attributes:
        out: the run's folder.
        token_batches: from a split's name to its token rows, the same sequence on every call.
    """

    config: TrainConfig
    model: LoadedModel
    token_batches: TokenBatches
    out: Path
    stop: StopFlag
    progress: bool
    ranks: Ranks
    watch: Watch

    @property
    def own(self) -> TrainConfig:
        """The recipe of this process's part of a stream."""
        world, config = self.ranks.world, self.config
        if world == 1 or not config.stream:
            return config
        parts = {name: getattr(config, name) // world for name in ("tokens", "buffer_tokens", "batch_tokens")}
        return config.model_copy(update=parts)

    @property
    def missing_bytes(self) -> int:
        """What the caches of all processes that are not there yet will take on the disk, in bytes."""
        buffers = self.ranks.world if self.config.stream else 1
        return sum(
            n_stores
            * ActivationStore.n_bytes(
                capacity=tokens, n_layers=self.model.n_layers, d_model=self.model.d_model, storage=self.config.cache
            )
            for n_stores, (tokens, folder) in zip((1, buffers), self._stores(), strict=True)
            if not ActivationStore.exists(folder)
        )

    @property
    def dropped_tokens(self) -> int:
        """How many tokens were left out of the training caches of all processes for their norm."""
        folders = [path.parent for path in (self.out / "activations").rglob("activations.json")]
        return sum(ActivationStore.open(folder).state["dropped"] for folder in folders)

    def harvest(self) -> bool:
        """Fill the caches, or the first buffer of a stream; return False when a signal ended it before.

        Raises:
            ConfigError: the corpus is too small, or the cache in the folder is of another model or recipe.
            ModelError: the model's activations hold a NaN or an infinity.
        """
        (n_held_out, held_out), (n_train, train) = self._stores()
        with self.stop.catching():
            done = True
            if self.ranks.is_first:
                done = self._fill("held_out", self._made_or_opened(held_out, n_held_out), n_held_out)
            if done and (self.ranks.is_first or self.config.stream):
                done = self._fill("train", self._made_or_opened(train, n_train), n_train)
            return self.ranks.all(done)

    def held_out(self) -> ActivationStore:
        """Open the cache of held-out tokens."""
        return ActivationStore.open(self.out / "held_out")

    def train(self) -> ActivationStore:
        """Open the cache, or the buffer, that this process reads."""
        return ActivationStore.open(self._train_folder)

    def batches(self) -> Batches:
        """Return what this process trains on."""
        ranks, store = self.ranks, self.train()
        if not self.config.stream:
            return CachedBatches(store, self.config, part=(ranks.rank, ranks.world) if ranks.by_data else (0, 1))
        own = StreamedBatches(store, self.own, lambda target: self._fill("train", store, target))
        if not ranks.by_features:
            return own
        return GatheredBatches(own, lambda batch: ranks.gather(batch.to(ranks.device)))

    @property
    def _train_folder(self) -> Path:
        folder, ranks = self.out / "activations", self.ranks
        if self.config.stream and ranks.world > 1:
            return folder / f"rank-{ranks.rank}-of-{ranks.world}"
        return folder

    def _stores(self) -> tuple[tuple[int, Path], tuple[int, Path]]:
        """Return tokens and folder of the held-out cache, then of this process's training cache."""
        config = self.own
        return (
            (config.held_out_tokens, self.out / "held_out"),
            (min(config.tokens, config.buffer_tokens) if config.stream else config.tokens, self._train_folder),
        )

    def _fill(self, split: Split, store: ActivationStore, target: int) -> bool:
        harvester = Harvester(
            self.model,
            store,
            read_hook=self.config.read_hook,
            write_hook=self.config.write_hook,
            outlier_factor=self.config.outlier_factor,
            save_seconds=self.config.checkpoint_seconds,
        )
        rows = self.token_batches(split)
        if split == "train" and self.config.stream:
            rows = islice(rows, self.ranks.rank, None, self.ranks.world)
        label = f"harvest {split.replace('_', '-')}"
        progress = self.progress and self.ranks.is_first
        return harvester.fill(
            rows, target=target, stop=self.stop, label=label, progress=progress, observe=self.watch.harvested
        )

    def _made_or_opened(self, folder: Path, tokens: int) -> ActivationStore:
        n_layers, d_model = self.model.n_layers, self.model.d_model
        origin = {"fingerprint": self.model.fingerprint, "hooks": [self.config.read_hook, self.config.write_hook]}
        if not ActivationStore.exists(folder):
            if self.config.stream and has_checkpoint(self.out):
                raise ConfigError(
                    f"The buffers in {self.out} were filled by another number of processes: a stream goes on with "
                    "as many as it was started with."
                )
            store = ActivationStore.create(
                folder, capacity=tokens, n_layers=n_layers, d_model=d_model, storage=self.config.cache
            )
            store.save_state({"origin": origin})
            return store
        store = ActivationStore.open(folder)
        found = store.state.get("origin", origin)
        if store.capacity < tokens or (store.n_layers, store.d_model, found) != (n_layers, d_model, origin):
            raise ConfigError(f"The activation cache in {folder} is of another recipe or model: choose another --out.")
        return store
