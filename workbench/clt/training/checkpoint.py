"""A training run's state in safetensors: weights, optimiser moments, position in the data.

One process, or several that hold the same weights, write one file, ``checkpoint.safetensors``. Processes that share out
the features write one file each, with its range of features in the metadata; ``checkpoint.json`` names the files that
belong together and is renamed into place after all of them, so that a run killed in between goes on from the
checkpoint before. Whatever number of processes wrote a checkpoint, any number reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.training.config import TrainConfig, recorded_recipe
from workbench.clt.training.distributed import ALONE, Ranks, feature_dimension
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.errors import ConfigError, FormatError
from workbench.files import is_finite, read_json, write_json, write_safetensors

NAME, INDEX = "checkpoint.safetensors", "checkpoint.json"
# A finished run may be trained for longer, by other processes; the schedules follow the new number of steps.
FREE_FIELDS = frozenset({"checkpoint_seconds", "log_every", "export", "epochs", "parallel"})


@dataclass
class TrainState:
    """Everything that a run needs to go on; with shared-out features, this process's part of it.

    Attributes:
        step: optimiser steps done; with the seed it fixes the position in the data and every random draw.
        last_fired: the step after which a feature was last active.
        threshold: by layer, of the JumpReLU phase; zero until it begins.
        seconds: time spent training, over all sittings.
    """

    parameters: Parameters
    normalisation: Normalisation
    optimiser: torch.optim.Adam
    last_fired: Int[Tensor, "layer feature"]
    threshold: Float[Tensor, " layer"]
    step: int = 0
    seconds: float = 0.0


def make_optimiser(parameters: Parameters, lr: float) -> torch.optim.Adam:
    """Return a fused Adam over every tensor (0.8 ns a parameter; the foreach one takes 4)."""
    return torch.optim.Adam(parameters.tensors(), lr=lr, fused=True)


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run's folder holds a checkpoint."""
    return (folder / NAME).exists() or (folder / INDEX).exists()


def save_checkpoint(folder: Path, state: TrainState, config: TrainConfig, ranks: Ranks = ALONE) -> None:
    """Write the checkpoint whole or not at all; the one before stays until then.

    Description and tensors share one file, so that no crash can leave them of different ages.

    Raises:
        ResourceError: the disk is full.
    """
    if ranks.by_features:
        name = f"checkpoint.step-{state.step}.rank-{ranks.rank}-of-{ranks.world}.safetensors"
        _write(folder / name, state, config, ranks)
        ranks.barrier()
        if ranks.is_first:
            names = [name.replace("rank-0-", f"rank-{rank}-") for rank in range(ranks.world)]
            write_json(folder / INDEX, {"step": state.step, "files": names})
            _delete_others(folder, keep={*names, INDEX})
    elif ranks.is_first:
        _write(folder / NAME, state, config, ranks)
        _delete_others(folder, keep={NAME})
    ranks.barrier()


def _delete_others(folder: Path, *, keep: set[str]) -> None:
    # The index goes before the files that it names; a process that was killed left what it was writing.
    others = (*folder.glob("checkpoint.step-*.safetensors"), *folder.glob(".checkpoint.*.part"))
    for path in (folder / INDEX, folder / NAME, *others):
        if path.name not in keep:
            path.unlink(missing_ok=True)


def _write(path: Path, state: TrainState, config: TrainConfig, ranks: Ranks) -> None:
    tensors = {"mean": state.normalisation.mean, "scale": state.normalisation.scale, "last_fired": state.last_fired}
    tensors["threshold"] = state.threshold
    for name, parameter in state.parameters.named():
        tensors[name] = parameter
        moments = state.optimiser.state[parameter]
        if moments:
            tensors[f"exp_avg.{name}"] = moments["exp_avg"]
            tensors[f"exp_avg_sq.{name}"] = moments["exp_avg_sq"]
    features = ranks.features(config.n_features)
    whole = state.parameters.config.model_copy(update={"n_features": config.n_features})
    description = {
        "step": state.step,
        "seconds": state.seconds,
        "clt": whole.model_dump(mode="json"),
        "recipe": config.model_dump(mode="json"),
        "features": [features.start, features.stop],
    }
    write_safetensors(path, tensors, metadata={"state": json.dumps(description)})


class _Saved:
    """The newest checkpoint of a folder, read tensor by tensor, so that nobody holds more than its own part.

    Raises:
        FormatError: it is missing or damaged.
    """

    def __init__(self, folder: Path):
        self._parts: list[tuple[Path, dict[str, Any], Any]] = []
        for path in _newest(folder):
            try:
                file: Any = safe_open(path, "pt")
                description: dict[str, Any] = json.loads(file.metadata()["state"])
                description.setdefault("features", [0, description["clt"]["n_features"]])
            except (OSError, SafetensorError) as error:
                raise FormatError(
                    f"Cannot read the checkpoint {path}: {error}; it is missing or truncated: start again elsewhere."
                ) from error
            except (KeyError, TypeError, ValueError) as error:
                raise FormatError(f"{path} is no checkpoint of a training run: {error}.") from error
            self._parts.append((path, description, file))
        self.path, self.description, _ = self._parts[0]

    def __contains__(self, name: str) -> bool:
        return name in self._parts[0][2].keys()

    def tensor(self, name: str, features: slice) -> Tensor:
        """Return a copy of a tensor; where it has a feature dimension, of the given range of it."""
        dimension = feature_dimension(name)
        found = []
        for path, description, file in self._parts[: 1 if dimension is None else None]:
            start, stop = description["features"]
            first, last = max(features.start, start), min(features.stop, stop)
            if dimension is not None and first >= last:
                continue
            rows = slice(None) if dimension is None else slice(first - start, last - start)
            try:
                stored = file.get_slice(name)
                part: Tensor = stored[:, rows] if dimension == 1 else stored[rows]
            except SafetensorError as error:
                raise FormatError(f"The checkpoint {path} does not fit its own description: {error}.") from error
            if not is_finite(part):
                raise FormatError(f"The tensor {name!r} in {path} holds a NaN or an infinity: start again elsewhere.")
            found.append(part)
        # cat copies, so that nothing points into the file any more.
        return torch.cat(found, dim=dimension or 0)


def _newest(folder: Path) -> list[Path]:
    """Return the files of the newest checkpoint; two stand side by side when a run was killed amid cleaning up."""
    if not (folder / INDEX).exists():
        return [folder / NAME]
    index = read_json(folder / INDEX)
    try:
        step, parts = int(index["step"]), [folder / str(name) for name in index["files"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{folder / INDEX} names no checkpoint: {error}.") from error
    if (folder / NAME).exists():
        try:
            with safe_open(folder / NAME, "pt") as file:
                if json.loads(file.metadata()["state"])["step"] >= step:
                    return [folder / NAME]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{folder / NAME} is no checkpoint of a training run: {error}.") from error
    return parts


def changed_fields(before: TrainConfig, now: TrainConfig) -> dict[str, str]:
    """Return, by the name of each field that differs, "old → new"."""
    pairs = {name: (getattr(before, name), getattr(now, name)) for name in TrainConfig.model_fields}
    return {name: f"{old} → {new}" for name, (old, new) in pairs.items() if old != new}


def require_same_recipe(
    folder: Path, before: TrainConfig, now: TrainConfig, *, free: frozenset[str] = FREE_FIELDS
) -> None:
    """Check that a run goes on with the recipe that it was started with.

    Args:
        free: fields that may change.

    Raises:
        ConfigError: it does not; every field that changed is named with its old and its new value.
    """
    changed = {name: values for name, values in changed_fields(before, now).items() if name not in free}
    if changed:
        told = ", ".join(f"{name} {values}" for name, values in sorted(changed.items()))
        raise ConfigError(
            f"The run in {folder} was started with another recipe ({told}): restore the recipe or choose another --out."
        )


def load_checkpoint(folder: Path, config: TrainConfig, ranks: Ranks = ALONE) -> TrainState:
    """Read a checkpoint back, or this process's part of it.

    Raises:
        FormatError: a file is missing or damaged.
        ConfigError: it was made by another recipe, or by a version whose recipes have fields that this one lacks.
    """
    saved = _Saved(folder)
    try:
        made_by = recorded_recipe(saved.description["recipe"], f"The recipe in {saved.path}")
        clt_config = CLTConfig.model_validate(saved.description["clt"])
        step, seconds = int(saved.description["step"]), float(saved.description["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        # pydantic writes several lines for every field that it does not know.
        told = "; ".join(str(error).splitlines()[:3])
        raise FormatError(f"{saved.path} is no checkpoint of a training run of this version: {told}.") from error
    require_same_recipe(folder, made_by, config)
    features = ranks.features(clt_config.n_features)

    def read(name: str) -> Tensor:
        return saved.tensor(name, features).to(ranks.device)

    with ranks.device:
        parameters = Parameters.zeros(ranks.local(clt_config), config.form)
        optimiser = make_optimiser(parameters, config.lr)
        for name, parameter in parameters.named():
            try:
                parameter.copy_(read(name))
            except RuntimeError as error:
                raise FormatError(f"The checkpoint {saved.path} does not fit its own description: {error}.") from error
            if f"exp_avg.{name}" in saved:
                optimiser.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": read(f"exp_avg.{name}"),
                    "exp_avg_sq": read(f"exp_avg_sq.{name}"),
                }
    return TrainState(
        parameters=parameters,
        normalisation=Normalisation(mean=read("mean"), scale=read("scale")),
        optimiser=optimiser,
        last_fired=read("last_fired"),
        threshold=read("threshold"),
        step=step,
        seconds=seconds,
    )
