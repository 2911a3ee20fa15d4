"""`workbench evaluate`: how good a replacement of the MLPs a CLT is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import console, print_json

if TYPE_CHECKING:
    from workbench.evaluation import CLTReport

# With the prompts that come with the workbench: enough for a stable mean, few enough to wait for.
DEFAULT_PROMPTS = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    clt: Annotated[str, typer.Argument(help="A CLT by name, or the folder of one.")],
    model: Annotated[str, typer.Option("--model", help="The model that it was trained on.")],
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help='Prompts for the graph scores: .jsonl with {"prompt": …}, or a text a line.'),
    ] = None,
    n_prompts: Annotated[
        int | None,
        typer.Option(
            "--n-prompts", min=0, help="Use only the first prompts; 10 of the bundled ones by default; 0: no graphs."
        ),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Held-out tokens.")] = 4096,
    row_length: Annotated[int, typer.Option("--row-length", help="Tokens of a row, start token included.")] = 64,
    corpus: Annotated[str, typer.Option("--corpus", help="Where the held-out text is from.")] = "bundled",
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of text and of the shuffled control.")] = 0,
    card: Annotated[Path | None, typer.Option("--card", help="Write the model card to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Evaluate a CLT on held-out text and on prompts, beside ablations and a shuffled control."""
    from workbench.clt import load_clt, training_record
    from workbench.corpus import resolve_corpus
    from workbench.evaluation import evaluate_clt, held_out_tokens, read_prompts, write_model_card
    from workbench.evaluation.prompts import EVALUATION_PROMPTS
    from workbench.models import load_model

    # What a user can have mistyped is looked at before minutes of loading and measuring.
    limit = DEFAULT_PROMPTS if prompts is None and n_prompts is None else n_prompts
    texts = read_prompts(prompts or EVALUATION_PROMPTS, limit=limit)
    loaded = load_model(model)
    transcoder = load_clt(clt, model=loaded)
    rows = held_out_tokens(
        loaded, resolve_corpus(corpus, model=loaded), n_tokens=tokens, row_length=row_length, seed=seed
    )
    report = evaluate_clt(loaded, transcoder, tokens=rows, prompts=texts, name=clt, seed=seed)
    if card is not None:
        write_model_card(report, training_record(clt), card)
    if json:
        print_json(report.model_dump())
        return
    show(report)
    if card is not None:
        console().print(f"\nThe model card is {card}", soft_wrap=True)


def show(report: CLTReport) -> None:
    """Print a report for a person."""
    from rich.table import Table

    from workbench.evaluation.card import BASELINES, quality_cells

    out = console()
    out.print(
        f"{report.clt} on {report.model}: {report.n_tokens:,} held-out tokens ({report.n_outliers} of outlier norm; "
        f"the model's own cross-entropy is {report.ce:.3f} nats), {report.n_prompts} prompts, {report.seconds:.0f} s\n"
    )
    # Narrow enough for a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    columns = ("MLPs replaced by", "FVU", "typical", "L0", "KL", "ΔCE", "top-1", "repl.", "compl.", "error")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    table.add_row("this CLT", *quality_cells(report))
    for key, quality in report.baselines.items():
        table.add_row(BASELINES.get(key, key), *quality_cells(quality))
    out.print(table)
    out.print("\ntypical: FVU without tokens of outlier norm; repl., compl., error: scores of the prompts' graphs")
    out.print(f"features never active on these tokens: {report.dead_fraction or 0:.1%}")
    out.print("FVU by layer: " + " ".join(f"{value:.2f}" for value in report.fvu_by_layer))
