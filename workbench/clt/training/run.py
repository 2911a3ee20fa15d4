"""A training run from recipe to exported transcoder, in a folder of its own."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.clt.activations.batches import shuffled
from workbench.clt.activations.store import ActivationStore
from workbench.clt.config import CLTConfig
from workbench.clt.formats import load_clt, save_clt
from workbench.clt.store import RECORD
from workbench.clt.training.caches import Caches, Split, TokenBatches
from workbench.clt.training.calibrate import Reconstruction, measure, thresholds
from workbench.clt.training.checkpoint import (
    FREE_FIELDS,
    TrainState,
    has_checkpoint,
    load_checkpoint,
    make_optimiser,
    require_same_recipe,
)
from workbench.clt.training.config import TrainConfig, recorded_recipe
from workbench.clt.training.control import Watch
from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.end_to_end import EndToEnd
from workbench.clt.training.initialise import initialise, neuron_bases
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.clt.training.trainer import StopFlag, Trainer
from workbench.clt.transcoder import CLT
from workbench.corpus import resolve_corpus, token_batches
from workbench.errors import ConfigError
from workbench.files import read_json, require_disk, write_json
from workbench.memory import require_memory
from workbench.models.loaded import LoadedModel

__all__ = ["EXPORT", "RECIPE", "REPORT", "Split", "TokenBatches", "TrainingRun", "recipe_of"]

RECIPE, REPORT, EXPORT = "recipe.json", "report.json", "clt"
_SAMPLE_TOKENS = 8_192
# What the harvest depends on: until training begins, the rest of a recipe may still be changed.
_HARVEST_FIELDS = frozenset(
    "model read_hook write_hook corpus tokens held_out_tokens row_length harvest_rows dtype cache stream "
    "buffer_tokens outlier_factor seed".split()
)


@dataclass
class TrainingRun:
    """One run in one folder, by one process or by several that share the folder.

    Attributes:
        out: holds the recipe, the activation cache, checkpoints, metrics and, at the end, ``clt/`` and ``report.json``.
        token_batches: from a split's name to its token rows, the same sequence on every call.
        say: receives one line a stage, before it starts.
        watch: is told what the run does; by the first process alone.
    """

    config: TrainConfig
    model: LoadedModel
    token_batches: TokenBatches
    out: Path
    stop: StopFlag = field(default_factory=StopFlag)
    progress: bool = True
    say: Callable[[str], None] = lambda line: None
    ranks: Ranks = ALONE
    watch: Watch = field(default_factory=Watch)

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

    @property
    def caches(self) -> Caches:
        """The activations in the folder."""
        return Caches(
            config=self.config,
            model=self.model,
            token_batches=self.token_batches,
            out=self.out,
            stop=self.stop,
            progress=self.progress,
            ranks=self.ranks,
            watch=self.watch,
        )

    def prepare(self, *, resume: bool) -> None:
        """Make or reopen the folder, and check memory and disk.

        Raises:
            ConfigError: the folder holds a run and ``resume`` is not set, or a run of another recipe, or the work
                does not divide among the processes.
            ResourceError: memory or disk will not suffice.
        """
        config = self.config
        kl_rows = config.kl_rows if config.kl_weight else 0
        self.ranks.require_even(n_features=config.n_features, batch_tokens=config.batch_tokens, kl_rows=kl_rows)
        if self.ranks.is_first:
            self._prepare_folder(resume=resume)
        self.ranks.barrier()

    def _prepare_folder(self, *, resume: bool) -> None:
        if (self.out / RECIPE).exists():
            if not resume:
                raise ConfigError(f"{self.out} already holds a training run: add --resume or choose another --out.")
            free = frozenset() if has_checkpoint(self.out) else frozenset(TrainConfig.model_fields) - _HARVEST_FIELDS
            require_same_recipe(self.out, recipe_of(self.out), self.config, free=FREE_FIELDS | free)
        elif resume and self.out.exists() and any(self.out.iterdir()):
            raise ConfigError(f"{self.out} holds no training run to resume: choose another --out.")
        cache = self.caches.missing_bytes
        n_parameters = self.config.n_parameters(self.clt_config)
        trained, exported = 4 * n_parameters, 4 * self.clt_config.n_parameters
        self._require_memory(trained, exported)
        # The checkpoint before stays until the next is whole; the last one stays beside the export.
        require_disk(self.out, cache + max(6 * trained, 3 * trained + exported), "This training run")
        shared = f", {self.config.parallel} shared out to {self.ranks.world} processes" if self.ranks.world > 1 else ""
        self.say(
            f"{self.config.model}: {n_parameters / 1e6:.1f} M parameters, "
            f"{self.config.tokens:,} tokens × {self.config.epochs} epochs, "
            f"{cache / 1e9:.2f} GB of activations in {self.out}{shared}"
        )
        write_json(self.out / RECIPE, self.config.model_dump(mode="json"))

    def _require_memory(self, trained: int, exported: int) -> None:
        batch = 4 * self.config.batch_tokens * 2 * self.model.n_layers * self.model.d_model
        ranks = self.ranks
        on_gpu = ranks.device.type == "cuda"
        # Weights, gradients, both moments, and room for what comes and goes. A GPU has one part to hold; processes
        # that share the machine's memory hold the whole transcoder each, or all together hold it once.
        parts = 1 / ranks.world if on_gpu and ranks.by_features else ranks.world if ranks.by_data and not on_gpu else 1
        training = math.ceil(6 * trained * parts) + 4 * batch
        # Weights and moments, from which the transcoder is made, written, and read back.
        exporting = 0 if on_gpu else 3 * trained + 3 * exported
        require_memory(
            max(training, exporting),
            f"Training {self.config.n_parameters(self.clt_config) / 1e6:.1f} M parameters",
            "lower n_features, window or batch_tokens",
            available=torch.cuda.mem_get_info(ranks.device)[0] if on_gpu else None,
        )

    def harvest(self) -> bool:
        """Fill the caches, or the first buffer of a stream; return False when a signal ended it before.

        Raises:
            ConfigError: the corpus is too small, or the cache in the folder is of another model or recipe.
            ModelError: the model's activations hold a NaN or an infinity.
        """
        return self.caches.harvest()

    @torch.no_grad()
    def start(self) -> TrainState:
        """Return the state of the last checkpoint, or a fresh one; of several processes, each its own part."""
        ranks = self.ranks
        if has_checkpoint(self.out):
            return load_checkpoint(self.out, self.config, ranks)
        n_sites = 2 * self.model.n_layers
        normalisation = Normalisation(mean=torch.empty(n_sites, self.model.d_model), scale=torch.empty(n_sites))
        parameters = None
        if ranks.is_first:
            store = self.caches.train()
            rows = shuffled(min(self.caches.own.tokens, store.capacity), seed=self.config.seed, round_=0)
            # Sorted, because the file may be larger than memory.
            sample = store.read(rows[:_SAMPLE_TOKENS].sort().values)
            normalisation = Normalisation.of(sample)
            parameters = self._initial_parameters(normalisation, normalisation.apply_(sample))
        normalisation = Normalisation(
            mean=ranks.broadcast(normalisation.mean.to(ranks.device)),
            scale=ranks.broadcast(normalisation.scale.to(ranks.device)),
        )
        parameters = ranks.scattered(parameters, self.clt_config, self.config.form)
        n_layers, n_features = parameters.config.n_layers, parameters.config.n_features
        return TrainState(
            parameters=parameters,
            normalisation=normalisation,
            optimiser=make_optimiser(parameters, self.config.lr),
            last_fired=torch.zeros(n_layers, n_features, dtype=torch.int64, device=ranks.device),
            threshold=torch.zeros(n_layers, device=ranks.device),
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
            return Parameters.unfold(clt, self.clt_config, normalisation, config.form)
        k = min(config.n_features, round(config.k_start * config.k))
        # Decoders to later layers start from zero: nobody needs to hold them whole.
        shape = self.clt_config.model_copy(update={"window": 1})
        if config.init == "random":
            return initialise(shape, seed=config.seed, k=k, activations=sample, form=config.form)
        n_rows = max(1, config.init_tokens // config.row_length)
        n_batches = max(1, n_rows // config.harvest_rows)
        bases = neuron_bases(self.model, shape, islice(self.token_batches("train"), n_batches))
        return initialise(shape, seed=config.seed, k=k, bases=bases, activations=sample, form=config.form)

    def train(self) -> bool:
        """Train to the end; return False when a signal ended it before.

        SIGINT (Ctrl-C, a notebook's interrupt) and SIGTERM end it after the step, and what is done is saved.
        """
        trainer = Trainer(
            config=self.config,
            state=self.start(),
            batches=self.caches.batches(),
            out=self.out,
            stop=self.stop,
            progress=self.progress,
            ranks=self.ranks,
            observe=self.watch.stepped,
            end_to_end=self._end_to_end(),
        )
        with self.stop.catching():
            return trainer.run()

    def _end_to_end(self) -> EndToEnd | None:
        """Return the replacement model's term on as many rows of the corpus as the harvest has read."""
        if not self.config.kl_weight:
            return None
        n_rows = max(self.config.tokens // (self.config.row_length - 1), self.config.kl_rows)
        batches = islice(self.token_batches("train"), -(-n_rows // self.config.harvest_rows))
        return EndToEnd(self.model, torch.cat(list(batches))[:n_rows])

    @torch.no_grad()
    def export(self) -> dict[str, Any]:
        """Recalibrate thresholds, fold the normalisation, write ``clt/`` and ``report.json``; return the report."""
        state = load_checkpoint(self.out, self.config)
        held_out = self.caches.held_out()
        threshold = thresholds(state.parameters, state.normalisation, held_out, k=self.config.k)
        clt = state.parameters.fold(state.normalisation, threshold)
        save_clt(clt, self.out / EXPORT, int8=self.config.export == "int8")
        report = self._report(state, load_clt(self.out / EXPORT, model=self.model), held_out)
        for path in (self.out / REPORT, self.out / EXPORT / RECORD):
            write_json(path, report)
        return report

    def _report(self, state: TrainState, clt: CLT, held_out: ActivationStore) -> dict[str, Any]:
        score: Reconstruction = measure(clt, held_out)
        return {
            "model": self.config.model,
            "fingerprint": self.model.fingerprint,
            "recipe": self.config.model_dump(mode="json"),
            "parameters": self.config.n_parameters(clt.config),
            "unique_tokens": self.config.tokens,
            "token_passes": state.step * self.config.batch_tokens,
            "dropped_tokens": self.caches.dropped_tokens,
            "steps": state.step,
            "training_seconds": round(state.seconds, 1),
            "fvu": float(score.fvu.mean()),
            "fvu_by_layer": [round(value, 5) for value in score.fvu.tolist()],
            "l0": float(score.l0.sum()),
            "l0_by_layer": [round(value, 3) for value in score.l0.tolist()],
            "dead_fraction": float(score.dead.mean()),
            "held_out_tokens": held_out.capacity,
            "bytes": sum(path.stat().st_size for path in (self.out / EXPORT).iterdir()),
            "machine": {
                "processor": platform.machine(),
                "threads": torch.get_num_threads(),
                "processes": self.ranks.world,
            },
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def recipe_of(out: Path) -> TrainConfig:
    """Return the recipe that a run folder was made with.

    Raises:
        FormatError: the folder holds no run.
        ConfigError: the recipe is of another version, and this one does not know all its fields.
    """
    return recorded_recipe(read_json(out / RECIPE), f"The recipe {out / RECIPE}")
