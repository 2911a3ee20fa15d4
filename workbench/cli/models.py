"""`workbench models`: which models can be opened by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from workbench.cli.output import console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the named models. Shows size, licence, whether the weights are here, and which CLTs exist."""
    rows = _rows()
    if json:
        print_json({"models": rows})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("model", "download", "on disk", "licence", "weights", "CLTs"):
        table.add_column(column, justify="right" if column in ("download", "on disk") else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['download_bytes'] / 1e6:,.0f} MB",
            f"{row['weight_bytes'] / 1e6:,.0f} MB",
            row["licence"],
            "here" if row["fetched"] else f"workbench fetch {row['name']}",
            ", ".join(row["clts"]) or "none",
        )
    out = console()
    out.print(table)
    for row in rows:
        out.print(f"\n{row['name']}: {row['card']}")
    out.print("\nAny other model that TransformerLens supports: give its hub name or the path of its folder.")


def _rows() -> list[dict[str, Any]]:
    from workbench.clt.store import find_clts
    from workbench.models import is_fetched, model_folder, named_models

    return [
        {
            "name": model.name,
            "download_bytes": model.download_bytes,
            "weight_bytes": model.weight_bytes,
            "licence": model.licence,
            "licence_url": model.licence_url,
            "start_token": model.start_token,
            "fetched": is_fetched(model.name),
            "folder": str(model_folder(model.name)),
            "clts": [str(clt) for clt in find_clts(model.name)],
            "card": model.card,
        }
        for model in named_models()
    ]
