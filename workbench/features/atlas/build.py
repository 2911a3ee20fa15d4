"""Building an atlas: one pass over a text, then logits, connections and labels."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.clt.training.trainer import StopFlag
from workbench.corpus import Corpus, resolve_corpus, token_rows
from workbench.errors import AtlasError, CLTError, ConfigError, FormatError
from workbench.features.atlas.atlas import Atlas
from workbench.features.atlas.counting import Counter, same_text
from workbench.features.atlas.identity import clt_hash
from workbench.features.atlas.labels import Labeller
from workbench.features.atlas.pairs import Connections, strongest_pairs
from workbench.features.atlas.places import atlas_folder
from workbench.features.atlas.plan import DEFAULT_TOKENS, MAX_FEATURES_FOR_PAIRS, AtlasPlan
from workbench.features.atlas.rows import layer_rows
from workbench.features.atlas.sample import TokenSample
from workbench.features.atlas.schedule import Runner, cluster, processes
from workbench.features.atlas.shard import ShardTask, Statistics
from workbench.features.atlas.statistics import position_edges
from workbench.features.atlas.store import FILE, AtlasFile, write_atlas
from workbench.features.atlas.vocabulary import Vocabulary
from workbench.features.global_weights import read_norms
from workbench.features.logit_effects import logit_effects
from workbench.files import read_json, require_disk, write_json
from workbench.memory import require_memory
from workbench.models import LoadedModel

_BUILD = "build"
_PLAN = "plan.json"


def build_atlas(
    model: LoadedModel,
    clt: CLT,
    *,
    corpus: str | Corpus = "bundled",
    tokens: int | None = None,
    out: Path | None = None,
    clt_name: str = "",
    plan: AtlasPlan | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    rebuild: bool = False,
    stop: Callable[[], bool] | None = None,
    observe: Callable[[str, float], object] = lambda stage, done: None,
    progress: bool = True,
) -> Atlas | None:
    """Build the atlas of a CLT; None when it was stopped.

    The text is read once, shard by shard. Whoever asks again after a stop or a kill goes on behind the last finished
    shard, if model, CLT, text and plan are the same. One process, several or a cluster give the same atlas, to the last
    bit where matrix products come out the same, which they do with equal numbers of threads on equal processors.

    Args:
        corpus: what :func:`workbench.corpus.resolve_corpus` knows, or documents.
        tokens: how many, start tokens not counted; by default 1,000,000, or all that the corpus has.
        out: folder of the atlas; by default one in the cache that belongs to this CLT.
        clt_name: what cards call the CLT; workers load it by this name.
        plan: sizes of the pieces and of what is kept.
        workers: that many processes on this machine, each with a model of its own.
        scheduler: address of a Dask scheduler whose workers do the counting.
        rebuild: build it even if the folder has an atlas of the same model, CLT, text and plan.
        stop: asked after every batch whether to end; by default an interrupt or SIGTERM ends.
        observe: told the stage ("text", "features") and the share of it that is done.

    Raises:
        ConfigError: a number is unsuitable, or the corpus has fewer tokens than asked for.
        FormatError: the corpus holds no text.
        AtlasError: another process builds this atlas.
        ModelError: the model's activations hold a NaN or an infinity.
        ResourceError: memory or disk will not suffice, or workers failed.
    """
    plan = plan or AtlasPlan()
    if workers is not None and scheduler is not None:
        raise ConfigError("Both workers and a scheduler were given: choose one of them.")
    if tokens is not None and tokens < 1:
        raise ConfigError(f"An atlas of {tokens} tokens says nothing: ask for at least 1.")
    if plan.row_length > model.max_tokens:
        raise ConfigError(f"{model.name!r} reads at most {model.max_tokens} tokens: choose rows of at most that.")
    source = resolve_corpus(corpus, model=model) if isinstance(corpus, str) else corpus
    identity = clt_hash(clt)
    folder = out or atlas_folder(identity)
    _require_room(clt, plan, folder)
    text = _Text.read(model, source, tokens, plan)
    settings = _settings(model, identity, source, text, plan)
    if not rebuild and _is_built(folder / FILE, settings):
        return Atlas.open(folder, model=model, clt=clt)
    with StopFlag.installed() as flag, _alone(folder / _BUILD) as build:
        _clear_unless_same(build, settings)

        def asked() -> bool:
            return flag() or (stop is not None and stop())

        job = _Job(model, clt, plan, text, asked, observe, progress)
        counts = job.count(build, _runner(workers, scheduler, asked), clt_name or model.name, identity)
        rows = None if counts is None else job.rows(counts)
        if rows is None:
            return None
        metadata = _metadata(model, clt, clt_name, text, settings, job.no_connections)
        try:
            write_atlas(folder / FILE, metadata, rows)
        except _StoppedError:
            return None
        shutil.rmtree(build, ignore_errors=True)
    return Atlas.open(folder, model=model, clt=clt)


class _StoppedError(Exception):
    """The build was asked to end."""


@dataclass(frozen=True)
class _Text:
    """The rows that an atlas is built from.

    Attributes:
        held_out: rows of documents that are kept for evaluation; None where the corpus has too few.
    """

    tokens: Int[np.ndarray, "row position"]
    held_out: Int[np.ndarray, "row position"] | None

    @classmethod
    def read(cls, model: LoadedModel, corpus: Corpus, tokens: int | None, plan: AtlasPlan) -> _Text:
        options: dict[str, Any] = {
            "start_token_id": model.start_token_id,
            "row_length": plan.row_length,
            "seed": plan.seed,
        }
        n_rows = None if tokens is None else -(-tokens // (plan.row_length - 1))
        rows = token_rows(corpus, model.tokenizer, n_rows=n_rows, split="train", **options)
        most = -(-DEFAULT_TOKENS // (plan.row_length - 1))
        found = np.stack([row.numpy().astype(np.int32) for row in (rows if n_rows else islice(rows, most))])
        held_out = token_rows(corpus, model.tokenizer, split="held_out", **options)
        wanted = -(-plan.held_out_tokens // (plan.row_length - 1))
        try:
            kept = [row.numpy().astype(np.int32) for row in islice(held_out, wanted)]
        except FormatError:
            # A short text may have no document among the 5 % that are held out: its labels go without a score.
            return cls(found, None)
        return cls(found, np.stack(kept))

    @property
    def n_tokens(self) -> int:
        return int(self.tokens.shape[0] * (self.tokens.shape[1] - 1))

    def sample(self, plan: AtlasPlan) -> Int[np.ndarray, "row position"]:
        """Return rows from all over the text."""
        n_rows = min(len(self.tokens), -(-plan.sample_tokens // (plan.row_length - 1)))
        return self.tokens[np.linspace(0, len(self.tokens) - 1, n_rows).round().astype(np.int64)]


@dataclass
class _Job:
    model: LoadedModel
    clt: CLT
    plan: AtlasPlan
    text: _Text
    stop: Callable[[], bool]
    observe: Callable[[str, float], object]
    progress: bool
    no_connections: str = ""

    def count(self, build: Path, runner: Runner | None, clt_name: str, identity: str) -> Statistics | None:
        def task(index: int, tokens: Int[np.ndarray, "row position"]) -> ShardTask:
            return ShardTask(
                index=index,
                tokens=tokens,
                first_row=index * self.plan.shard_rows,
                plan=self.plan,
                model=self.model.name,
                fingerprint=self.model.fingerprint,
                clt=clt_name,
                clt_hash=identity,
                threads=torch.get_num_threads(),
            )

        with self._bar(self.text.n_tokens, "Atlas: text", "tok") as bar:
            # A bar that is not shown does not count.
            counted = 0

            def on_tokens(n_tokens: int) -> bool:
                nonlocal counted
                counted += n_tokens
                bar.update(n_tokens)
                self.observe("text", counted / self.text.n_tokens)
                return self.stop()

            counter = Counter(build, self.model, self.clt, self.text.tokens, self.plan, on_tokens)
            return counter.run(runner, task)

    def rows(self, counts: Statistics) -> Iterator[dict[str, list[Any]]] | None:
        """Return what is stored, layer by layer; None when the work was ended."""
        model, clt, plan = self.model, self.clt, self.plan
        try:
            scale_hook = read_norms(model, clt).scale_hook or None
        except CLTError as error:
            scale_hook, self.no_connections = None, str(error)
        if clt.n_layers * clt.n_features > MAX_FEATURES_FOR_PAIRS:
            self.no_connections = f"left out for more than {MAX_FEATURES_FOR_PAIRS:,} features"
        rows = self.text.sample(plan)
        n_sampled = rows.size + (0 if self.text.held_out is None else self.text.held_out.size)
        with self._bar(n_sampled, "Atlas: sample", "tok") as bar:

            def on_batch(n_tokens: int) -> bool:
                bar.update(n_tokens)
                return self.stop()

            options: dict[str, Any] = {"batch_rows": plan.batch_rows, "on_batch": on_batch}
            sample = TokenSample.of(model, clt, rows, scale_hook=scale_hook, **options)
            held_out = None
            if sample is not None and self.text.held_out is not None:
                held_out = TokenSample.of(model, clt, self.text.held_out, **options)
                if held_out is None:
                    return None
        if sample is None:
            return None
        connections = None
        if not self.no_connections:
            connections = strongest_pairs(model, clt, sample, k=plan.k, stop=self.stop)
            if connections is None:
                return None
        vocabulary = Vocabulary.of(model)
        totals = np.bincount(self.text.tokens[:, 1:].ravel(), minlength=model.d_vocab)
        return self._layers(counts, Labeller(vocabulary, sample, held_out, totals), connections)

    def _layers(
        self, counts: Statistics, labeller: Labeller, connections: tuple[Connections, Connections] | None
    ) -> Iterator[dict[str, list[Any]]]:
        n_layers, index = self.clt.n_layers, torch.arange(self.clt.n_features)
        with self._bar(n_layers, "Atlas: labels", " layers") as bar:
            for layer, one in enumerate(counts):
                if self.stop():
                    raise _StoppedError
                effects = logit_effects(self.model, self.clt, torch.full_like(index, layer), index, k=self.plan.k)
                labels = labeller.labels(layer, one, effects.top.cpu().numpy())
                yield layer_rows(
                    layer, one, labels, effects, connections, self.text.tokens, labeller.token_totals, self.plan
                )
                bar.update()
                self.observe("features", (layer + 1) / n_layers)

    def _bar(self, total: int, what: str, unit: str) -> Any:
        return tqdm(total=total, desc=what, unit=unit, disable=not self.progress, file=sys.stderr)


def _runner(workers: int | None, scheduler: str | None, stop: Callable[[], bool]) -> Runner | None:
    if scheduler is not None:
        return cluster(scheduler, stop)
    return None if workers is None else processes(workers, stop)


def _settings(model: LoadedModel, identity: str, corpus: Corpus, text: _Text, plan: AtlasPlan) -> dict[str, Any]:
    """Return what has to be the same for a build to go on."""
    return {
        "fingerprint": model.fingerprint,
        "clt_hash": identity,
        "corpus": corpus.name,
        "text": same_text(text.tokens),
        "plan": plan.model_dump(),
    }


def _is_built(path: Path, settings: dict[str, Any]) -> bool:
    try:
        return path.is_file() and AtlasFile.open(path).metadata.get("settings") == settings
    except AtlasError:
        # What is damaged or of another version is built again.
        return False


def _clear_unless_same(build: Path, settings: dict[str, Any]) -> None:
    if (build / _PLAN).is_file():
        try:
            if read_json(build / _PLAN) == settings:
                return
        except FormatError:
            # A plan that cannot be read is no reason to fail: what it planned is counted again.
            pass
    for file in build.glob("*.safetensors"):
        file.unlink()
    write_json(build / _PLAN, settings)


@contextlib.contextmanager
def _alone(build: Path) -> Iterator[Path]:
    """Yield the folder of a build, to one process at a time; the system forgets the lock of one that was killed."""
    build.mkdir(parents=True, exist_ok=True)
    with (build / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AtlasError(
                f"Another process builds the atlas in {build.parent} already: wait for it, stop it, or choose another "
                "folder."
            ) from error
        yield build


def _metadata(
    model: LoadedModel, clt: CLT, clt_name: str, text: _Text, settings: dict[str, Any], no_connections: str
) -> dict[str, Any]:
    edges = position_edges(settings["plan"]["row_length"])
    return {
        "complete": True,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "clt": clt_name or clt.config.model,
        "clt_hash": settings["clt_hash"],
        "n_layers": clt.n_layers,
        "n_features": clt.n_features,
        "corpus": settings["corpus"],
        "n_tokens": text.n_tokens,
        "position_edges": edges,
        "position_tokens": [len(text.tokens) * (end - start) for start, end in pairwise(edges)],
        "held_out_tokens": 0 if text.held_out is None else int(text.held_out[:, 1:].size),
        "no_connections": no_connections,
        "settings": settings,
    }


def _require_room(clt: CLT, plan: AtlasPlan, folder: Path) -> None:
    n_features = clt.n_layers * clt.n_features
    # Histograms, some forty examples with their windows and the token counts, twice while they are merged.
    a_feature = 2 * (320 * 8 + 40 * (plan.window * 4 + 24) + plan.n_tokens_kept * 24)
    require_memory(n_features * a_feature, f"The counts of {n_features:,} features", "choose a smaller CLT")
    require_disk(folder, n_features * a_feature, "Building the atlas")
