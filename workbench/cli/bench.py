"""`workbench bench`: speed and memory, for people and for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import console, print_json
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Measure speed and memory.", rich_markup_mode=None, no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("attribution")(attribution)
    group.command("training")(training)
    group.command("intervention")(intervention)
    group.command("explorer")(explorer)
    app.add_typer(group, name="bench")


def attribution(
    part: Annotated[
        list[str] | None, typer.Option("--part", help="uncapped, length or cap (repeatable) [default: all].")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model with a shipped CLT (repeatable) [default: both].")
    ] = None,
    length: Annotated[
        list[int] | None,
        typer.Option("--length", min=2, max=128, help="Tokens of a prompt (repeatable) [default: 8 … 128]."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of a case; the fastest counts.")] = 3,
    circuit_tracer: Annotated[
        str | None,
        typer.Option(metavar="VENV", help="A virtual environment with circuit-tracer: the uncapped case by turns."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure attribution: one case without a cap, prompts of growing length, and what a cap costs."""
    from workbench.benchmarks import attribution as benchmark

    unknown = set(part or ()) - set(benchmark.PARTS)
    if unknown:
        raise ConfigError(f"The benchmark has no part {min(unknown)!r}: choose from {', '.join(benchmark.PARTS)}.")
    result = benchmark.run(
        part or benchmark.PARTS,
        models=model or benchmark.MODELS,
        lengths=length or benchmark.LENGTHS,
        repeats=repeats,
        circuit_tracer=circuit_tracer,
    )
    if json:
        print_json(result)
    else:
        _show(result)


def training(
    model: Annotated[list[str] | None, typer.Option("--model", help="A model (repeatable) [default: both].")] = None,
    features: Annotated[
        list[int] | None,
        typer.Option("--features", min=1, help="Features a layer (repeatable) [default: 1024, 2048]."),
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option("--window", help="Layers that a feature writes to, or full (repeatable) [default: 1, 4, full]."),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the products; float32.")] = "float32",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Tokens of a step.")] = 1024,
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, help="Of training steps a case.")] = 10.0,
    rival: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VENV",
            help="Another trainer and a virtual environment that holds it: both by turns (repeatable). "
            "decode-clt, eai-sparsify or llamascopium.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure training from cached activations, the harvest of activations, and how near that is to the limit."""
    from workbench.benchmarks import training as benchmark

    result = benchmark.run(
        model or benchmark.MODELS,
        features=features or benchmark.FEATURES,
        windows=window or benchmark.WINDOWS,
        precision=precision,
        batch_tokens=batch,
        seconds=seconds,
        rivals=_environments(rival or ()),
        say=_say,
    )
    if json:
        print_json(result)
    else:
        _show_training(result)


def intervention(
    model: Annotated[str, typer.Option("--model", help="A model with a CLT.")] = "smollm2-135m-instruct",
    layer: Annotated[
        list[int] | None, typer.Option("--layer", min=0, help="Edited layer (repeatable) [default: 3, 15, 27].")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option("--mode", help="Of the edits (repeatable) [default: propagated].")
    ] = None,
    movements: Annotated[int, typer.Option("--movements", min=1, help="Of each slider.")] = 30,
    screen: Annotated[
        bool, typer.Option("--screen/--no-screen", help="Measure in a browser, too; needs Chromium or Chrome.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure from a slider's movement to new probabilities, beside a forward pass, and to the screen."""
    from workbench.benchmarks import intervention as benchmark

    result = benchmark.run(
        model=model,
        layers=layer or benchmark.LAYERS,
        modes=mode or ("propagated",),
        movements=movements,
        screen=screen,
    )
    if json:
        print_json(result)
    else:
        _show_intervention(result)


def explorer(
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Of the graph.")] = 2_000,
    edges: Annotated[int, typer.Option("--edges", min=1, help="Of the graph.")] = 20_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="How many times the graph is shown.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the graph explorer in JupyterLab, in a browser: first paint, hover, a step of the slider, sizes."""
    from workbench.benchmarks import explorer as benchmark

    result = benchmark.run(nodes=nodes, edges=edges, repeats=repeats)
    if json:
        print_json(result)
    else:
        _show_explorer(result, benchmark.GOALS)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _environments(rivals: Iterable[str]) -> dict[str, str]:
    pairs = [rival.partition("=") for rival in rivals]
    for name, _, venv in pairs:
        if not (name and venv):
            raise ConfigError(f"--rival {name} names no environment: give NAME=VENV, such as eai-sparsify=venv.")
    return {name: venv for name, _, venv in pairs}


def _show_machine(out: Console, facts: dict[str, Any]) -> None:
    out.print(
        f"{facts['cores']} cores, {facts['threads']} threads, {facts['matmul_gflops']} GFLOP/s in matrix products, "
        f"load {facts['load'][0]} before the first case\n",
        soft_wrap=True,
    )


def _show_training(result: dict[str, Any]) -> None:
    out = console()
    _show_machine(out, result["machine"])
    for model, speed in result["harvest_tokens_per_second"].items():
        out.print(f"harvest {model}: {speed:,.0f} tokens/s in {result['harvest_dtypes'][model]}", soft_wrap=True)
    rows = [
        (
            row["model"],
            f"{row['features']:,}",
            str(row["window"]),
            "yes" if row["skip"] else "no",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['limit_tokens_per_second']:,.0f}",
            f"{row['fraction_of_limit']:.0%}",
            f"{row['optimiser_bytes'] / 1e9:.2f}",
            f"{row['matmul_gflops']:.0f}",
            f"{row['copy_gb_per_second']:.0f}",
        )
        for row in result["runs"]
    ]
    columns = ("model", "features", "window", "skip", "tokens/s", "limit", "reached", "Adam GB", "GFLOP/s", "GB/s")
    out.print()
    out.print(_table(columns, rows))
    for case in result["skipped"]:
        out.print(f"skipped: {case['reason']}", soft_wrap=True)
    for row in result.get("rivals", ()):
        about = f"{row['rival']}, {row['model']}, {row['features']} features, window {row['window']}"
        told = row.get("error") or (
            f"{row['tokens_per_second']:,.1f} tokens/s, here {row['our_tokens_per_second']:,.1f} by turns "
            f"({row['ratio']} ×)"
        )
        out.print(f"{about}: {told}", soft_wrap=True)


def _show(result: dict[str, Any]) -> None:
    out = console()
    _show_machine(out, result["machine"])
    one = result.get("uncapped_9_tokens")
    if one:
        out.print(
            f"{one['active_features']} active features, no cap: {one['seconds']} s, "
            f"{one['peak_memory_mb'] / 1000:.2f} GB, "
            f"{one['fraction_of_matmul_rate']:.0%} of the rate of matrix products\n",
            soft_wrap=True,
        )
        if theirs := one["circuit_tracer"]:
            out.print(
                f"circuit-tracer {theirs['version']} by turns: {theirs['seconds']} s, "
                f"{theirs['peak_memory_mb'] / 1000:.2f} GB, {one['ratio_to_circuit_tracer']} times as long; "
                f"largest difference of an edge {theirs['largest_difference']:.1e}\n",
                soft_wrap=True,
            )
    if "by_length" in result:
        rows = [
            (
                row["model"],
                str(row["tokens"]),
                f"{row['seconds']:.2f}",
                f"{row['peak_memory_mb'] / 1000:.2f}",
                f"{row['nodes']:,}",
                f"{row['edges']:,}",
                f"{row['left_out_influence']:.1%}",
            )
            for row in result["by_length"]
        ]
        out.print(_table(("model", "tokens", "s", "GB", "nodes", "edges", "left out"), rows))
        for name, exponent in result["growth_exponent"].items():
            if exponent is not None:
                out.print(f"{name}: seconds grow like tokens^{exponent}")
        out.print()
    if "by_cap" in result:
        rows = [
            (
                row["model"],
                str(row["cap"]),
                row["rule"],
                f"{row['seconds']:.2f}",
                f"{row['replacement']:.3f}",
                f"{row['completeness']:.3f}",
                "" if row["left_out_influence"] is None else f"{row['left_out_influence']:.1%}",
            )
            for row in result["by_cap"]
        ]
        out.print(_table(("model", "cap", "rule", "s", "repl.", "compl.", "left out"), rows))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def _show_intervention(result: dict[str, Any]) -> None:
    columns = ("layer", "position", "mode", "p50 ms", "p95 ms", "forward ms", "ratio")
    names = ("layer", "where", "mode", "p50_ms", "p95_ms", "forward_ms", "ratio_to_forward")
    out = console()
    _show_machine(out, result["machine"])
    out.print(_table(columns, [tuple(str(row[name]) for name in names) for row in result["cases"]]))
    if result["screen_p95_ms"] is not None:
        out.print(
            f"\nTo the screen, layer {result['screen_layer']}: p50 {result['screen_p50_ms']} ms, "
            f"p95 {result['screen_p95_ms']} ms",
            soft_wrap=True,
        )


def _show_explorer(result: dict[str, Any], goals: dict[str, int]) -> None:
    out = console()
    _show_machine(out, result["machine"])
    out.print(
        f"{result['nodes']:,} nodes and {result['edges']:,} edges drawn, browser {result['browser']}\n", soft_wrap=True
    )
    rows = [(name, f"{result[name]:,}", f"{goal:,}") for name, goal in goals.items()]
    out.print(_table(("", "measured", "goal: at most"), rows))
