"""`workbench lab`: JupyterLab on the notebooks."""

from __future__ import annotations

import importlib.util
import os
import sys

import typer

from workbench.errors import ConfigError
from workbench.files import DATA


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lab", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)


def lab(context: typer.Context) -> None:
    """Open JupyterLab on the notebooks. Further options go to `jupyter lab` (for example --no-browser)."""
    notebooks = DATA.parent / "notebooks"
    if not notebooks.is_dir():
        raise ConfigError(
            f"There is no folder {notebooks}: the notebooks come with a clone of the repository; "
            "start `jupyter lab` in a folder of your own."
        )
    if importlib.util.find_spec("jupyterlab") is None:
        raise ConfigError("JupyterLab is not installed in this environment: run `python -m pip install jupyterlab`.")
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={notebooks}", *context.args]
    # JupyterLab takes this process over, so that signals and its exit status are its own.
    os.execv(sys.executable, command)
