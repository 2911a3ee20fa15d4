"""`workbench train`: train a CLT from a recipe, or tell what that would take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import console, print_json
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.clt.training.config import TrainConfig
    from workbench.clt.training.plan import Machine

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
    plan: Annotated[bool, typer.Option("--plan", help="Only tell memory, speed and hours, for this machine.")] = False,
    plan_for: Annotated[
        str | None, typer.Option("--plan-for", metavar="MACHINE", help="Tell them for GPUs such as 8xH100.")
    ] = None,
    gflops: Annotated[float | None, typer.Option(help="Plan: 10⁹ float32 operations a second of a device.")] = None,
    harvest_gflops: Annotated[float | None, typer.Option(help="Plan: the same in the dtype of the model.")] = None,
    bandwidth_gb: Annotated[float | None, typer.Option(help="Plan: 10⁹ bytes read and written a second.")] = None,
    memory_gb: Annotated[float | None, typer.Option(help="Plan: memory of a device.")] = None,
    link_gb: Annotated[float | None, typer.Option(help="Plan: 10⁹ bytes a second from device to device.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Plan: how many devices.")] = None,
    model_shape: Annotated[
        str | None,
        typer.Option(metavar="LxDxN", help="Plan: layers, d_model and parameters of a model that is not here."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a CLT: harvest activations, train, recalibrate thresholds, export. Ctrl-C saves and stops.

    Several processes or GPUs: torchrun --nproc-per-node N -m workbench.clt.train CONFIG (docs/training_at_scale.md).
    """
    from workbench.clt.training.config import load_train_config

    recipe = load_train_config(config)
    figures = {
        "gflops": gflops,
        "harvest_gflops": harvest_gflops,
        "bandwidth_gb": bandwidth_gb,
        "memory_gb": memory_gb,
        "link_gb": link_gb,
        "devices": devices,
    }
    given = {name: value for name, value in figures.items() if value is not None}
    if plan or plan_for or given or model_shape:
        _plan(recipe, plan_for, given, model_shape, json=json)
        return
    from workbench.clt.train import train as train_clt

    report = train_clt(recipe, out or Path("runs") / config.stem, resume=resume, harvest_only=harvest_only, say=_say)
    if report is None:
        raise typer.Exit(EXIT_STOPPED)
    if json:
        print_json(report)
    else:
        _show(report)


def _plan(
    recipe: TrainConfig, plan_for: str | None, given: dict[str, Any], model_shape: str | None, *, json: bool
) -> None:
    from workbench.clt.training.plan import plan as plan_of
    from workbench.models.shape import ModelShape
    from workbench.models.shape import model_shape as shape_of

    shape = ModelShape.parse(model_shape) if model_shape else shape_of(recipe.model)
    told = plan_of(recipe, shape, _machine(recipe, plan_for, given))
    if json:
        print_json(told)
    else:
        _show_plan(told)


def _machine(recipe: TrainConfig, plan_for: str | None, given: dict[str, Any]) -> Machine:
    from dataclasses import replace

    from workbench.clt.training.plan import Machine

    wrong = [name for name, value in given.items() if not value > 0]
    if wrong:
        raise ConfigError(f"--{wrong[0].replace('_', '-')} has to be positive: give the figure of one device.")
    if plan_for:
        return replace(Machine.named(plan_for), **given)
    if not given:
        return Machine.this(recipe)
    missing = {"gflops", "bandwidth_gb", "memory_gb"} - given.keys()
    if missing:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(missing))
        raise ConfigError(f"A machine is described by more than that: give {options} too, or --plan-for.")
    defaults = {"devices": 1, "harvest_gflops": given["gflops"], "link_gb": 32.0}
    return Machine(name="the machine described", **{**defaults, **given})


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _table(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _show(report: dict[str, Any]) -> None:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in report.items()}
    _table([(key, shown[key]) for key, value in report.items() if isinstance(value, (float, int, str))])


def _show_plan(plan: dict[str, Any]) -> None:
    machine, memory = plan["machine"], plan["memory_bytes_per_device"]
    parts, fraction = plan["seconds_per_token"], plan["expected_fraction_of_limit"]
    held = ", ".join(f"{name} {n_bytes / 1e9:.2f}" for name, n_bytes in memory.items() if name != "total")
    slow = ", ".join(f"{name} {seconds * 1e6:.3g}" for name, seconds in parts.items() if seconds)
    shared = f", {plan['parallel']} shared out" if machine["devices"] > 1 else ""
    _table(
        [
            ("machine", f"{machine['name']}: {machine['devices']} device(s){shared}"),
            (
                "of one device",
                f"{machine['gflops']:,.0f} GFLOP/s in float32, {machine['harvest_gflops']:,.0f} in the model's dtype, "
                f"{machine['bandwidth_gb']:,.0f} GB/s, {machine['memory_gb']:,.1f} GB",
            ),
            ("parameters", f"{plan['parameters'] / 1e6:,.1f} M"),
            ("memory of one device", f"{memory['total'] / 1e9:,.2f} GB ({held})"),
            ("", "fits" if plan["fits"] else "does NOT fit: lower n_features, window or batch_tokens"),
            ("optimiser state", f"{plan['optimiser_state_bytes'] / 1e9:,.2f} GB"),
            (
                "disk",
                f"{plan['cache_bytes'] / 1e9:,.2f} GB cache, {plan['checkpoint_bytes'] / 1e9:,.2f} GB checkpoints",
            ),
            ("limit", f"{plan['limit_tokens_per_second']:,.0f} tokens/s (µs a token: {slow})"),
            ("training", f"{plan['training_tokens_per_second']:,.0f} tokens/s at {fraction:.0%} of the limit"),
            ("harvest", f"{plan['harvest_tokens_per_second']:,.0f} tokens/s"),
            ("hours", f"{plan['harvest_hours']:.2f} harvest + {plan['training_hours']:.2f} training"),
        ]
    )
