"""`workbench fetch`: weights into the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.output import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fetch")(fetch)


def fetch(
    name: Annotated[str, typer.Argument(help="A named model (see `workbench models`) or a hub name.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's licence without being asked.")
    ] = False,
) -> None:
    """Fetch a model into the cache. Its files are checked against their pinned sha256."""
    from workbench.models import fetch as fetch_model

    folder = fetch_model(name, accept_licence=accept_licence)
    console().print(f"{name} is in {folder}", soft_wrap=True)
