"""`workbench variants`: train what the sceptic's report compares a CLT with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.output import console, print_json

EXIT_STOPPED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("variants")(variants)


def variants(
    clt: Annotated[str, typer.Argument(help="A CLT by name, or the folder of one.")],
    model: Annotated[str, typer.Option("--model", help="The model that it was trained on.")],
    out: Annotated[Path | None, typer.Option("--out", help="A folder instead of the one in the user's cache.")] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=512, help="Unique tokens of the training [default: 24576].")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over them [default: 4].")] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Active features a layer, where the CLT has no training record.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train variants of a CLT for bench.scrutinise: another seed, another sparsity, a PLT. Ctrl-C saves and stops.

    Under half an hour on two cores; the same command goes on after an interruption and does nothing when all is done.
    """
    from workbench.clt import load_clt
    from workbench.clt.variants import EPOCHS, TOKENS, base_recipe, train_variants, variants_folder
    from workbench.models import load_model

    folder = out or variants_folder(clt)
    loaded = load_model(model)
    base = base_recipe(
        load_clt(clt, model=loaded), name=clt, k=k, tokens=tokens or TOKENS, epochs=epochs or EPOCHS, model=model
    )
    record = train_variants(loaded, base, folder, say=_say)
    if record is None:
        raise typer.Exit(EXIT_STOPPED)
    if json:
        print_json({"folder": str(folder), **record})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("variant", "what it is", "FVU", "L0", "seconds"):
        table.add_column(column, justify="right" if column in ("FVU", "L0", "seconds") else "left")
    for name, told in record["variants"].items():
        table.add_row(name, told["title"], f"{told['fvu']:.3f}", f"{told['l0']:.0f}", f"{told['seconds']:,.0f}")
    console().print(table)
    console().print(f"\nThey are in {folder}", soft_wrap=True)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
