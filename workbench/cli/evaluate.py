"""`workbench evaluate` and `workbench compare`: how good a replacement of the MLPs CLTs are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import console, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from workbench.evaluation import CLTReport, Comparison

ModelOption = Annotated[str, typer.Option("--model", help="The model that it was trained on.")]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", help='Prompts for the graph scores: .jsonl with {"prompt": …}, or a text a line.'),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=0, help="Use that many of the prompts, evenly spaced; 0: no graphs.")
]
TokensOption = Annotated[int, typer.Option("--tokens", min=1, help="Held-out tokens.")]
RowLengthOption = Annotated[int, typer.Option("--row-length", help="Tokens of a row, start token included.")]
CorpusOption = Annotated[str, typer.Option("--corpus", help="Where the held-out text is from.")]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Of the choice of text, of the shuffled control and of the bootstrap.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

# Narrow enough for a terminal of 80 columns.
_HEADINGS = ("FVU", "typ.", "L0", "KL", "ΔCE", "top-1", "repl.", "compl.", "error", "path")
_LEGEND = (
    "typ.: FVU without tokens of outlier norm; repl., compl., error, path: replacement and completeness score, "
    "error share and average path length of the prompts' graphs"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)


def evaluate(
    clt: Annotated[str, typer.Argument(help="A CLT by name, or the folder of one.")],
    model: ModelOption,
    prompts: PromptsOption = None,
    limit: LimitOption = None,
    tokens: TokensOption = 4096,
    row_length: RowLengthOption = 64,
    corpus: CorpusOption = "bundled",
    seed: SeedOption = 0,
    baseline: Annotated[
        list[str] | None,
        typer.Option("--baseline", help="linear_skip, mean_ablation, … (repeatable) [default: all]."),
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", help="Write the model card to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a CLT on held-out text and on prompts, beside ablations, a linear skip and a shuffled control."""
    from workbench.clt import load_clt, training_record
    from workbench.corpus import resolve_corpus
    from workbench.evaluation import (
        evaluate_clt,
        fit_linear_skip,
        held_out_tokens,
        training_tokens,
        write_model_card,
    )
    from workbench.evaluation.baselines import BASELINES, check_baselines
    from workbench.evaluation.graph_scores import check_prompts
    from workbench.models import load_model

    # What a user can have mistyped is looked at before minutes of loading and measuring.
    baselines = baseline or list(BASELINES)
    check_baselines(baselines)
    texts = chosen_prompts(prompts, limit)
    loaded = load_model(model)
    check_prompts(loaded, texts)
    transcoder = load_clt(clt, model=loaded)
    source = resolve_corpus(corpus, model=loaded)
    rows = held_out_tokens(loaded, source, n_tokens=tokens, row_length=row_length, seed=seed)
    linear_skip = None
    if "linear_skip" in baselines:
        linear_skip = fit_linear_skip(
            loaded,
            training_tokens(loaded, source, row_length=row_length, seed=seed),
            read_hook=transcoder.config.read_hook,
            write_hook=transcoder.config.write_hook,
        )
    report = evaluate_clt(
        loaded,
        transcoder,
        tokens=rows,
        prompts=texts,
        linear_skip=linear_skip,
        baselines=baselines,
        name=clt,
        seed=seed,
    )
    if card is not None:
        write_model_card(report, training_record(clt), card)
    if json:
        print_json(report.model_dump())
        return
    show(report)
    if card is not None:
        console().print(f"\nThe model card is {card}", soft_wrap=True)


def compare(
    clts: Annotated[list[str], typer.Argument(metavar="CLT CLT...", help="CLTs by name or folder, at least two.")],
    model: ModelOption,
    prompts: PromptsOption = None,
    limit: LimitOption = None,
    tokens: TokensOption = 4096,
    row_length: RowLengthOption = 64,
    corpus: CorpusOption = "bundled",
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Evaluate several CLTs on the same text and prompts, with paired differences from the first."""
    from workbench.corpus import resolve_corpus
    from workbench.evaluation import compare_clts, held_out_tokens
    from workbench.models import load_model

    texts = chosen_prompts(prompts, limit)
    loaded = load_model(model)
    source = resolve_corpus(corpus, model=loaded)
    rows = held_out_tokens(loaded, source, n_tokens=tokens, row_length=row_length, seed=seed)
    comparison = compare_clts(loaded, clts, corpus=source, tokens=rows, prompts=texts, seed=seed)
    if json:
        print_json(comparison.model_dump())
    else:
        show_comparison(comparison)


def chosen_prompts(path: Path | None, limit: int | None) -> list[str]:
    """Return the prompts of a file, by default the evaluation prompts; so many of them, evenly spaced."""
    from workbench.evaluation import evenly_spaced, read_prompts
    from workbench.evaluation.prompts import EVALUATION_PROMPTS

    texts = read_prompts(path or EVALUATION_PROMPTS)
    return texts if limit is None else evenly_spaced(texts, limit)


def _table(first: str, headings: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def show(report: CLTReport) -> None:
    """Print a report for a person."""
    from workbench.evaluation.baselines import BASELINES
    from workbench.evaluation.cells import FIGURES, difference_cells, interval_cells, quality_cells

    out = console()
    out.print(
        f"{report.clt} on {report.model}: {report.n_tokens:,} held-out tokens ({report.n_outliers} of outlier norm; "
        f"the model's own cross-entropy is {report.ce:.3f} nats), {report.n_prompts} prompts, {report.seconds:.0f} s\n"
    )
    table = _table("MLPs replaced by", _HEADINGS)
    table.add_row("this CLT", *quality_cells(report))
    for key, quality in report.baselines.items():
        table.add_row(BASELINES[key], *quality_cells(quality))
    out.print(table)
    out.print(f"\n{_LEGEND}\n")

    # Intervals are too wide for columns beside each other: one figure a line, the CLT and how far the strongest
    # baseline of each kind is.
    beside = [key for key in ("linear_skip", "shuffled") if key in report.baselines]
    table = _table("", ("95 % interval", *(f"minus {BASELINES[key]}" for key in beside)))
    for name, bounds in zip(FIGURES, interval_cells(report.intervals), strict=True):
        if name not in report.intervals:
            continue
        differences = (difference_cells(report.baselines[key].differences, [name])[0] for key in beside)
        table.add_row(FIGURES[name][0], bounds, *differences)
    out.print(table)
    out.print(f"\nfeatures never active on these tokens: {report.dead_fraction or 0:.1%}", end="; ")
    out.print(f"active on more than 10 % of them: {report.dense_fraction or 0:.1%}")
    out.print("FVU by layer: " + " ".join(f"{value:.2f}" for value in report.fvu_by_layer))


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison for a person."""
    from workbench.evaluation.baselines import BASELINES
    from workbench.evaluation.cells import FIGURES, difference_cells, quality_cells

    out = console()
    first = comparison.clts[0]
    out.print(f"{comparison.model}: {first.n_tokens:,} held-out tokens, {first.n_prompts} prompts\n")
    for number, report in enumerate(comparison.clts, start=1):
        kind = f"{report.n_features:,} features a layer, window {report.window}" + (", skip" if report.skip else "")
        out.print(f"{number}. {report.clt}: {kind}", soft_wrap=True)
    out.print()
    table = _table("MLPs replaced by", _HEADINGS)
    for number, report in enumerate(comparison.clts, start=1):
        table.add_row(f"CLT {number}", *quality_cells(report))
        if "skip_alone" in report.baselines:
            table.add_row("  its skip alone", *quality_cells(report.baselines["skip_alone"]))
    for key in ("linear_skip", "mean_ablation"):
        if key in first.baselines:
            table.add_row(BASELINES[key], *quality_cells(first.baselines[key]))
    out.print(table)
    out.print(f"\n{_LEGEND}\n")

    names = [name for name in FIGURES if any(name in found for found in comparison.differences.values())]
    table = _table("", [f"CLT {number} minus CLT 1" for number in range(2, len(comparison.clts) + 1)])
    for name in names:
        cells: list[Any] = [difference_cells(found, [name])[0] for found in comparison.differences.values()]
        table.add_row(FIGURES[name][0], *cells)
    out.print(table)
    out.print("\nin brackets: 95 % bootstrap intervals of the paired differences")
