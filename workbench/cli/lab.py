"""`workbench lab`: JupyterLab on the quickstart notebook."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import typer

from workbench.errors import ConfigError
from workbench.files import DATA

# Widgets are saved with their notebook, and nothing asks the network for news; a user's own settings win.
SETTINGS = Path(__file__).parent / "jupyter"
FIRST = "00_quickstart.ipynb"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lab", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)


def lab(context: typer.Context) -> None:
    """Open JupyterLab on the quickstart. Further options go to `jupyter lab` (for example --no-browser)."""
    notebooks = DATA.parent / "notebooks"
    if not (notebooks / FIRST).is_file():
        raise ConfigError(
            f"There is no notebook {notebooks / FIRST}: the notebooks come with a clone of the repository; "
            "start `jupyter lab` in a folder of your own."
        )
    if importlib.util.find_spec("jupyterlab") is None:
        raise ConfigError("JupyterLab is not installed in this environment: run `python -m pip install jupyterlab`.")
    _trust(notebooks / FIRST)
    configured = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([*([configured] if configured else []), str(SETTINGS)])
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={notebooks}", *context.args, str(notebooks / FIRST)]
    # JupyterLab takes this process over, so that signals and its exit status are its own.
    os.execv(sys.executable, command)


def _trust(notebook: Path) -> None:
    """Let the stored widgets of the notebook show: JupyterLab shows none of a notebook that nobody trusts."""
    from nbformat import read
    from nbformat.sign import NotebookNotary

    NotebookNotary().sign(read(notebook, as_version=4))
