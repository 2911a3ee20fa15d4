"""What the scripts that take pictures share: a JupyterLab with a wide page, and what they are told where and how."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.benchmarks.browser.chromium import started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import lab_server
from workbench.benchmarks.browser.traffic import Traffic

ROOT = Path(__file__).parents[1]


@contextmanager
def opened_lab(*, width: int = 1400) -> Iterator[Lab]:
    """Start JupyterLab and a browser, without a notebook yet; end both."""
    with tempfile.TemporaryDirectory() as private, lab_server(Path(private)) as server, started_browser() as browser:
        context = browser.new_context(viewport={"width": width, "height": 1000})
        context.set_default_timeout(600_000)
        try:
            yield Lab(context.new_page(), server, Traffic(context), name="pictures")
        finally:
            server.stop_kernels()


def hide_files(lab: Lab) -> None:
    """Give the notebook the room of the file browser."""
    lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")


def folder_and_themes(description: str | None) -> tuple[Path, list[str]]:
    """Return where the pictures go, which is made, and the themes, from the command line."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images", help="[docs/images]")
    # An option: argparse holds the default of a repeated argument against the choices, as one value.
    parser.add_argument("--theme", action="append", choices=("light", "dark"), help="only this one (repeatable)")
    parsed = parser.parse_args()
    parsed.folder.mkdir(parents=True, exist_ok=True)
    return parsed.folder, parsed.theme or ["light", "dark"]
