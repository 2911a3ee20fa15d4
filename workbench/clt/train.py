"""Training from the command line, by one process or under torchrun.

``torchrun --nproc-per-node N -m workbench.clt.train RECIPE.toml [--out DIR] [--resume]`` trains one transcoder with N
processes; on more machines torchrun's own ``--nnodes`` and ``--rdzv-endpoint`` apply, and the folder has to be on a
disk that all of them see.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.clt.activations.harvest import harvest_dtype
from workbench.clt.training.config import TrainConfig, load_train_config
from workbench.clt.training.control import Watch
from workbench.clt.training.distributed import Ranks, joined
from workbench.clt.training.run import TrainingRun
from workbench.clt.training.trainer import StopFlag
from workbench.errors import WorkbenchError
from workbench.files import read_json, write_json
from workbench.models import LoadedModel, load_model

EXIT_ERROR, EXIT_STOPPED = 2, 130
HARVEST = "harvest.json"


def train(
    recipe: TrainConfig,
    out: Path,
    *,
    model: LoadedModel | None = None,
    resume: bool = False,
    harvest_only: bool = False,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
    stop: StopFlag | None = None,
    watch: Watch | None = None,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Do a run, or this process's part of it, from harvest to export.

    Args:
        out: the run's folder.
        model: the recipe's model, from :func:`harvest_model`; None loads it.
        harvest_only: only cache the activations; ``resume`` trains on them.
        say: receives one line a stage; of the first process alone.
        stop: asked between two steps whether to save and leave; signals set it too.
        watch: is told what the run does; by the first process alone.
        progress: show progress bars.

    Returns:
        the report; None when a signal ended the run before, and what was done is saved.

    Raises:
        WorkbenchError: the recipe, the model, the machine or the folder do not allow the run.
    """
    stop, watch = stop or StopFlag(), watch or Watch()
    with stop.catching(), joined(recipe.parallel, device=device) as ranks:
        tell = say if ranks.is_first else (lambda line: None)
        model = model or harvest_model(recipe, out, ranks)
        if not ranks.is_first:
            watch = Watch()
        run = TrainingRun.from_recipe(
            recipe, model, out, stop=stop, say=tell, ranks=ranks, watch=watch, progress=progress
        )
        run.prepare(resume=resume)
        if ranks.is_first:
            write_json(out / HARVEST, {"dtype": str(model.dtype).removeprefix("torch.")})
        watch.stage("harvesting")
        done = run.harvest()
        if done and not harvest_only:
            watch.stage("training")
            done = run.train()
        if not done:
            tell(f"Stopped; everything is saved in {out}: go on with --resume.")
            return None
        report: dict[str, Any] = {}
        if harvest_only:
            report = {"activations": str(out / "activations"), "tokens": recipe.tokens}
        elif ranks.is_first:
            watch.stage("exporting")
            report = {**run.export(), "clt": str(out / "clt"), "metrics": str(out / "metrics.jsonl")}
        # The others keep the rendezvous alive until the first has written its files.
        ranks.barrier()
        return report


def harvest_model(recipe: TrainConfig, out: Path, ranks: Ranks) -> LoadedModel:
    """Return a recipe's model as a run in this folder harvests with it.

    Raises:
        ModelError: the model is unknown or not fetched.
        ResourceError: memory does not suffice.
    """
    return load_model(recipe.model, dtype=_harvest_dtype(recipe, out, ranks), device=ranks.device)


def _harvest_dtype(recipe: TrainConfig, out: Path, ranks: Ranks) -> torch.dtype:
    """Return the dtype of the model; "auto" is decided once a run, so that all who harvest get the same numbers."""
    choice = recipe.dtype
    if choice == "auto" and ranks.device.type == "cuda":
        choice = "bfloat16"
    if choice != "auto":
        return harvest_dtype(choice)
    narrow = False
    if ranks.is_first:
        before = read_json(out / HARVEST)["dtype"] if (out / HARVEST).exists() else None
        narrow = (before == "bfloat16") if before else harvest_dtype("auto") == torch.bfloat16
    return torch.bfloat16 if ranks.any(narrow) else torch.float32


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, train, print the report as one JSON object; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workbench.clt.train", description="Train a CLT, under torchrun.")
    parser.add_argument("recipe", type=Path, help="a TOML file; data/clt/recipes holds examples")
    parser.add_argument("--out", type=Path, help="the run's folder; by default runs/ and the recipe's name")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument("--harvest-only", action="store_true", help="only cache the activations")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args(arguments)
    rank = int(os.environ.get("RANK", "0"))
    try:
        recipe = load_train_config(options.recipe)
    except WorkbenchError as error:
        # Every process reads the same file: one of them says what is wrong with it.
        return _fail(str(error)) if rank == 0 else EXIT_ERROR
    try:
        report = train(
            recipe,
            options.out or Path("runs") / options.recipe.stem,
            resume=options.resume,
            harvest_only=options.harvest_only,
            device=options.device,
            say=_say,
        )
    except WorkbenchError as error:
        return _fail(str(error) if rank == 0 else f"process {rank}: {error}")
    if report is None:
        return EXIT_STOPPED
    if rank == 0:
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _fail(message: str) -> int:
    _say(f"workbench: {' '.join(message.split())}")
    return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
