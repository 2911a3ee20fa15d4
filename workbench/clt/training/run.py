"""A training run from recipe to exported transcoder, in a folder of its own."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.clt.activations.batches import Batches, CachedBatches, StreamedBatches, shuffled
from workbench.clt.activations.harvest import Harvester
from workbench.clt.activations.store import ActivationStore
from workbench.clt.config import CLTConfig
from workbench.clt.formats import load_clt, save_clt
from workbench.clt.store import RECORD
from workbench.clt.training.calibrate import Reconstruction, measure, thresholds
from workbench.clt.training.checkpoint import NAME as CHECKPOINT
from workbench.clt.training.checkpoint import TrainState, load_checkpoint, make_optimiser
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.initialise import initialise, neuron_bases
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.clt.training.trainer import StopFlag, Trainer
from workbench.clt.transcoder import CLT
from workbench.corpus import resolve_corpus, token_batches
from workbench.errors import ConfigError
from workbench.files import read_json, require_disk, write_json
from workbench.memory import require_memory
from workbench.models.loaded import LoadedModel

Split = Literal["train", "held_out"]
TokenBatches = Callable[[Split], Iterable[Int[Tensor, "row position"]]]

RECIPE, REPORT, EXPORT = "recipe.json", "report.json", "clt"
_SAMPLE_TOKENS = 8_192


@dataclass
class TrainingRun:
    """One run in one folder.

    Attributes:
        out: holds the recipe, the activation cache, checkpoints, metrics and, at the end, ``clt/`` and ``report.json``.
        token_batches: from a split's name to its token rows, the same sequence on every call.
        say: receives one line a stage, before it starts.
    """

    config: TrainConfig
    model: LoadedModel
    token_batches: TokenBatches
    out: Path
    stop: StopFlag = field(default_factory=StopFlag)
    progress: bool = True
    say: Callable[[str], None] = lambda line: None

    @classmethod
    def from_recipe(cls, config: TrainConfig, model: LoadedModel, out: Path, **options: Any) -> TrainingRun:
        """Return a run on the recipe's corpus; ``options`` are the remaining attributes.

        Raises:
            ConfigError: the corpus is unknown.
        """
        corpus = resolve_corpus(config.corpus, model=model)

        def rows(split: Split) -> Iterable[Int[Tensor, "row position"]]:
            return token_batches(
                corpus,
                model.tokenizer,
                start_token_id=model.start_token_id,
                row_length=config.row_length,
                batch_size=config.harvest_rows,
                seed=config.seed,
                split=split,
            )

        return cls(config=config, model=model, token_batches=rows, out=out, **options)

    @property
    def clt_config(self) -> CLTConfig:
        """Shape and origin of the transcoder."""
        return self.config.clt_config(self.model)

    def prepare(self, *, resume: bool) -> None:
        """Make or reopen the folder, and check memory and disk.

        Raises:
            ConfigError: the folder holds a run and ``resume`` is not set, or a run of another recipe.
            ResourceError: memory or disk will not suffice.
        """
        recipe = self.config.model_dump(mode="json")
        if (self.out / RECIPE).exists():
            if not resume:
                raise ConfigError(f"{self.out} already holds a training run: add --resume or choose another --out.")
        elif resume and self.out.exists() and any(self.out.iterdir()):
            raise ConfigError(f"{self.out} holds no training run to resume: choose another --out.")
        cache = sum(
            ActivationStore.n_bytes(
                capacity=tokens, n_layers=self.model.n_layers, d_model=self.model.d_model, storage=self.config.cache
            )
            for tokens, folder in self._stores()
            if not ActivationStore.exists(folder)
        )
        weights = 4 * self.clt_config.n_parameters
        batch = 4 * self.config.batch_tokens * 2 * self.model.n_layers * self.model.d_model
        require_memory(
            6 * weights + 4 * batch,
            f"Training {self.clt_config.n_parameters / 1e6:.1f} M parameters",
            "lower n_features, window or batch_tokens",
        )
        require_disk(self.out, cache + 6 * weights, "This training run")
        self.say(
            f"{self.config.model}: {self.clt_config.n_parameters / 1e6:.1f} M parameters, "
            f"{self.config.tokens:,} tokens × {self.config.epochs} epochs, "
            f"{cache / 1e9:.2f} GB of activations in {self.out}"
        )
        write_json(self.out / RECIPE, recipe)

    def _stores(self) -> tuple[tuple[int, Path], tuple[int, Path]]:
        config = self.config
        return (
            (config.held_out_tokens, self.out / "held_out"),
            (min(config.tokens, config.buffer_tokens) if config.stream else config.tokens, self.out / "activations"),
        )

    def harvest(self) -> bool:
        """Fill the caches, or the first buffer of a stream; return False when a signal ended it before."""
        splits: tuple[Split, Split] = ("held_out", "train")
        return all(
            self._fill(split, self._open_store(folder, tokens), tokens)
            for split, (tokens, folder) in zip(splits, self._stores(), strict=True)
        )

    def _fill(self, split: Split, store: ActivationStore, target: int) -> bool:
        harvester = Harvester(
            self.model,
            store,
            read_hook=self.config.read_hook,
            write_hook=self.config.write_hook,
            outlier_factor=self.config.outlier_factor,
        )
        label = f"harvest {split.replace('_', '-')}"
        return harvester.fill(
            self.token_batches(split), target=target, stop=self.stop, label=label, progress=self.progress
        )

    def _open_store(self, folder: Path, tokens: int) -> ActivationStore:
        n_layers, d_model = self.model.n_layers, self.model.d_model
        if not ActivationStore.exists(folder):
            return ActivationStore.create(
                folder, capacity=tokens, n_layers=n_layers, d_model=d_model, storage=self.config.cache
            )
        store = ActivationStore.open(folder)
        if store.capacity < tokens or (store.n_layers, store.d_model) != (n_layers, d_model):
            raise ConfigError(f"The activation cache in {folder} is of another recipe or model: choose another --out.")
        return store

    @torch.no_grad()
    def start(self) -> TrainState:
        """Return the state of the last checkpoint, or a fresh one."""
        if (self.out / CHECKPOINT).exists():
            return load_checkpoint(self.out, self.config)
        store = ActivationStore.open(self.out / "activations")
        # Sorted, because the file may be larger than memory.
        rows = shuffled(min(self.config.tokens, store.capacity), seed=self.config.seed, round_=0)
        sample = store.read(rows[:_SAMPLE_TOKENS].sort().values)
        normalisation = Normalisation.of(sample)
        parameters = self._initial_parameters(normalisation, normalisation.apply_(sample))
        return TrainState(
            parameters=parameters,
            normalisation=normalisation,
            optimiser=make_optimiser(parameters, self.config.lr),
            last_fired=torch.zeros(self.model.n_layers, self.config.n_features, dtype=torch.int64),
            threshold=torch.zeros(self.model.n_layers),
        )

    def _initial_parameters(self, normalisation: Normalisation, sample: Tensor) -> Parameters:
        config = self.config
        if config.warm_start is not None:
            clt = load_clt(config.warm_start, model=self.model)
            if (clt.n_features, clt.config.read_hook, clt.config.write_hook) != (
                config.n_features,
                config.read_hook,
                config.write_hook,
            ):
                raise ConfigError(
                    f"The warm start {config.warm_start} has {clt.n_features} features at {clt.config.read_hook}, "
                    f"the recipe asks for {config.n_features} at {config.read_hook}: make them agree."
                )
            return Parameters.unfold(clt, self.clt_config, normalisation)
        k = min(config.n_features, round(config.k_start * config.k))
        if config.init == "random":
            return initialise(self.clt_config, seed=config.seed, k=k, activations=sample)
        n_rows = max(1, config.init_tokens // config.row_length)
        n_batches = max(1, n_rows // config.harvest_rows)
        bases = neuron_bases(self.model, self.clt_config, islice(self.token_batches("train"), n_batches))
        return initialise(self.clt_config, seed=config.seed, k=k, bases=bases, activations=sample)

    def train(self) -> bool:
        """Train to the end; return False when a signal ended it before."""
        store = ActivationStore.open(self.out / "activations")
        trainer = Trainer(
            config=self.config,
            state=self.start(),
            batches=self._batches(store),
            out=self.out,
            stop=self.stop,
            progress=self.progress,
        )
        return trainer.run()

    def _batches(self, store: ActivationStore) -> Batches:
        if not self.config.stream:
            return CachedBatches(store, self.config)
        return StreamedBatches(store, self.config, lambda target: self._fill("train", store, target))

    @torch.no_grad()
    def export(self) -> dict[str, Any]:
        """Recalibrate thresholds, fold the normalisation, write ``clt/`` and ``report.json``; return the report."""
        state = load_checkpoint(self.out, self.config)
        held_out = ActivationStore.open(self.out / "held_out")
        threshold = thresholds(state.parameters, state.normalisation, held_out, k=self.config.k)
        clt = state.parameters.fold(state.normalisation, threshold)
        save_clt(clt, self.out / EXPORT, int8=self.config.export == "int8")
        report = self._report(state, load_clt(self.out / EXPORT, model=self.model), held_out)
        for path in (self.out / REPORT, self.out / EXPORT / RECORD):
            write_json(path, report)
        return report

    def _report(self, state: TrainState, clt: CLT, held_out: ActivationStore) -> dict[str, Any]:
        score: Reconstruction = measure(clt, held_out)
        train = ActivationStore.open(self.out / "activations")
        return {
            "model": self.config.model,
            "fingerprint": self.model.fingerprint,
            "recipe": self.config.model_dump(mode="json"),
            "parameters": clt.config.n_parameters,
            "unique_tokens": self.config.tokens,
            "token_passes": state.step * self.config.batch_tokens,
            "dropped_tokens": train.state["dropped"],
            "steps": state.step,
            "training_seconds": round(state.seconds, 1),
            "fvu": float(score.fvu.mean()),
            "fvu_by_layer": [round(value, 5) for value in score.fvu.tolist()],
            "l0": float(score.l0.sum()),
            "l0_by_layer": [round(value, 3) for value in score.l0.tolist()],
            "dead_fraction": float(score.dead.mean()),
            "held_out_tokens": held_out.capacity,
            "bytes": sum(path.stat().st_size for path in (self.out / EXPORT).iterdir()),
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def recipe_of(out: Path) -> TrainConfig:
    """Return the recipe that a run folder was made with.

    Raises:
        FormatError: the folder holds no run.
    """
    return TrainConfig.model_validate_json(json.dumps(read_json(out / RECIPE)))
