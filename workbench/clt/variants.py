"""Variants of a CLT: what the same model gives another transcoder, trained with another seed, sparsity or window.

A picture that changes with them is a picture of the transcoder. They are small runs, alike in everything but what
their name says, so each is compared with ``reference``, which has the CLT's own shape and their short training, and not
with the CLT alone, which was trained for longer.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from workbench.clt.store import clt_folders, resolve_clt, training_record
from workbench.clt.train import train
from workbench.clt.training.config import TrainConfig, recipe_from
from workbench.clt.training.run import EXPORT, RECIPE
from workbench.clt.training.trainer import StopFlag
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, ConfigError
from workbench.files import read_json, write_json
from workbench.models import LoadedModel
from workbench.models.cache import cache_folder

RECORD = "variants.json"
# Five runs on two cores in under half an hour with the default model, the harvest of activations included.
TOKENS, EPOCHS = 24_576, 4
_WORK, _SHARED = "work", "shared"
_STOPPED = "Stopped; what is done is saved, and the same command goes on."


class Variant(NamedTuple):
    """A transcoder like another one but for what its recipe changes."""

    name: str
    title: str
    changes: dict[str, Any]


def variants_of(base: TrainConfig) -> list[Variant]:
    """Return the variants of a recipe, ``reference`` first."""
    window = (
        Variant("plt", "a PLT instead of a CLT", {"window": 1})
        if base.window > 1
        else Variant("clt", "a CLT that writes to two layers instead of a PLT", {"window": 2})
    )
    sparser = max(1, base.k // 2)
    return [
        Variant("reference", "the same shape, trained as briefly as the variants", {}),
        Variant("seed", "another seed", {"seed": base.seed + 1}),
        # The usual start takes half of the features from the model's neurons, whatever the seed.
        Variant("random_start", "another seed, started from noise", {"seed": base.seed + 2, "init": "random"}),
        Variant("sparser", f"half the active features, {sparser} a layer", {"k": sparser}),
        window,
    ]


def variants_folder(clt: Path | str) -> Path:
    """Return the folder in the user's cache where the variants of a CLT are, or would be.

    Raises:
        CLTError: there is no such CLT.
    """
    path = resolve_clt(clt).resolve()
    for root in clt_folders():
        if path.is_relative_to(root.resolve()):
            name = path.relative_to(root.resolve()).as_posix()
            break
    else:
        name = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    return cache_folder() / "variants" / re.sub(r"[^\w.-]+", "--", name)


def base_recipe(
    clt: CLT,
    *,
    name: str,
    k: int | None = None,
    tokens: int = TOKENS,
    epochs: int = EPOCHS,
    corpus: str | None = None,
    **changes: Any,
) -> TrainConfig:
    """Return the recipe that all variants of a CLT share: its shape and sparsity, a short training.

    Args:
        name: the name or folder of the CLT, whose training record tells its sparsity and corpus.
        k: active features a token and layer, where there is no record.
        changes: other fields of the recipe.

    Raises:
        ConfigError: nobody knows k, or a field is unsuitable.
    """
    recorded = training_record(name).get("recipe", {})
    k = k or recorded.get("k")
    if not k:
        raise ConfigError(f"The CLT {name!r} has no record of its training, so say how sparse it is: give k.")
    fields = {
        "model": clt.config.model,
        "n_features": clt.n_features,
        "window": clt.config.window,
        "skip": clt.config.skip,
        "k": k,
        "read_hook": clt.config.read_hook,
        "write_hook": clt.config.write_hook,
        "corpus": corpus or recorded.get("corpus", "bundled"),
        "tokens": tokens,
        "held_out_tokens": 4_096,
        "epochs": epochs,
        "batch_tokens": 512,
        "lr": 2e-3,
        "resample_every": 50,
        "dead_after": 20_000,
    }
    return recipe_from({**fields, **changes}, "The recipe of the variants")


def train_variants(
    model: LoadedModel,
    base: TrainConfig,
    folder: Path,
    *,
    say: Callable[[str], None] = lambda line: None,
    stop: StopFlag | None = None,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Train the variants that the folder does not hold yet, all on the same activations.

    Args:
        folder: gets one CLT folder a variant, and the record ``variants.json``. What is needed on the way, the
            activations above all, is deleted at the end.
        stop: asked between two steps whether to save and leave; signals set it too.

    Returns:
        The record: ``recipe`` and, by name, each variant's ``title``, ``changes``, ``fvu``, ``l0`` and ``seconds``;
        None when it was interrupted. The same call then goes on.

    Raises:
        ConfigError: the folder holds variants of another recipe.
        ResourceError: memory or disk will not suffice.
    """
    stop = stop or StopFlag()
    recipe = base.model_dump(mode="json")
    record = read_json(folder / RECORD) if (folder / RECORD).exists() else {"recipe": recipe, "variants": {}}
    if record["recipe"] != recipe:
        raise ConfigError(
            f"{folder} holds variants of another recipe, and only equal conditions can be compared: choose another "
            "folder, or delete this one."
        )
    write_json(folder / RECORD, record)
    missing = [variant for variant in variants_of(base) if variant.name not in record["variants"]]
    work = folder / _WORK
    if missing:
        shared = work / _SHARED
        say(f"{len(missing)} variants of {base.model}; activations of {base.tokens:,} tokens for all of them")
        if _train(base, shared, model, stop, progress, harvest_only=True) is None:
            say(_STOPPED)
            return None
    for variant in missing:
        say(f"{variant.name}: {variant.title}")
        started, run = time.monotonic(), _with_cache(work / variant.name, work / _SHARED)
        changed = base.model_copy(update=variant.changes)
        report = _train(changed, run, model, stop, progress)
        if report is None:
            say(_STOPPED)
            return None
        (run / EXPORT).replace(_emptied(folder / variant.name))
        record["variants"][variant.name] = {
            "title": variant.title,
            "changes": variant.changes,
            "fvu": report["fvu"],
            "l0": report["l0"],
            "seconds": round(time.monotonic() - started, 1),
        }
        write_json(folder / RECORD, record)
    if work.exists():
        shutil.rmtree(work)
    return dict(record)


def find_variants(folder: Path) -> dict[str, tuple[str, Path]]:
    """Return the variants in a folder: name → what it is and the folder of its CLT; none where nothing was trained.

    Raises:
        CLTError: one that was trained is no longer there.
    """
    if not (folder / RECORD).exists():
        return {}
    found = {}
    for name, told in read_json(folder / RECORD)["variants"].items():
        if not (folder / name).is_dir():
            raise CLTError(f"The variant {folder / name} is gone: delete {folder} and train the variants again.")
        found[name] = (str(told["title"]), folder / name)
    return found


def _train(
    recipe: TrainConfig,
    run: Path,
    model: LoadedModel,
    stop: StopFlag,
    progress: bool,
    *,
    harvest_only: bool = False,
) -> dict[str, Any] | None:
    resume = (run / RECIPE).exists()
    return train(
        recipe,
        run,
        model=model,
        resume=resume,
        harvest_only=harvest_only,
        device=str(model.device),
        stop=stop,
        progress=progress,
    )


def _with_cache(run: Path, shared: Path) -> Path:
    """Return a run's folder in which the activations of all variants lie."""
    run.mkdir(parents=True, exist_ok=True)
    for name in ("activations", "held_out"):
        if not (run / name).exists():
            (run / name).symlink_to((shared / name).resolve(), target_is_directory=True)
    return run


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    return folder
