"""`workbench train`: train a CLT from a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.output import console, print_json

EXIT_STOPPED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    config: Annotated[Path, typer.Argument(help="The recipe, a TOML file; data/clt/recipes holds examples.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder; by default runs/ and the recipe's name.")
    ] = None,
    harvest_only: Annotated[
        bool, typer.Option("--harvest-only", help="Only cache the activations; --resume trains on them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a CLT: harvest activations, train, recalibrate thresholds, export. Ctrl-C saves and stops."""
    from workbench.clt.activations.harvest import harvest_dtype
    from workbench.clt.training.config import load_train_config
    from workbench.clt.training.run import TrainingRun
    from workbench.clt.training.trainer import StopFlag
    from workbench.models import load_model

    recipe = load_train_config(config)
    folder = out or Path("runs") / config.stem
    model = load_model(recipe.model, dtype=harvest_dtype(recipe.dtype))
    with StopFlag.installed() as stop:
        run = TrainingRun.from_recipe(recipe, model, folder, stop=stop, say=_say)
        run.prepare(resume=resume)
        if not run.harvest() or (not harvest_only and not run.train()):
            _say(f"Stopped; everything is saved in {folder}: go on with --resume.")
            raise typer.Exit(EXIT_STOPPED)
        if harvest_only:
            report: dict[str, Any] = {"activations": str(folder / "activations"), "tokens": recipe.tokens}
        else:
            report = {**run.export(), "clt": str(folder / "clt"), "metrics": str(folder / "metrics.jsonl")}
    if json:
        print_json(report)
    else:
        _show(report)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _show(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in report.items():
        if isinstance(value, float):
            table.add_row(key, f"{value:.4g}")
        elif isinstance(value, (int, str)):
            table.add_row(key, str(value))
    console().print(table)
