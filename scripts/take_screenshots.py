"""Take the pictures of README.md: the quickstart, run in a real JupyterLab, light and dark.

Usage: python scripts/take_screenshots.py [FOLDER]   (by default docs/images)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator

from workbench.benchmarks.browser.chromium import started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import lab_server
from workbench.benchmarks.browser.traffic import Traffic

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "00_quickstart.ipynb"
EXPLORER, SLIDERS, MAP = 8, 12, 20


def shown(lab: Lab, index: int, testid: str) -> Locator:
    """Scroll a cell's widget into view and return it."""
    widget = lab.output(index).get_by_test_id(testid)
    widget.wait_for()
    widget.scroll_into_view_if_needed()
    return widget


def take(lab: Lab, folder: Path, theme: str) -> None:
    """Write this theme's pictures."""
    explorer = shown(lab, EXPLORER, "graph-explorer")
    lab.page.wait_for_timeout(1000)  # the layout settles after the theme's fonts have come
    lab.screenshot(explorer, folder / f"explorer-{theme}.png")
    lab.screenshot(shown(lab, SLIDERS, "intervention-sliders"), folder / f"sliders-{theme}.png")
    lab.cell(EXPLORER)
    lab.screenshot(None, folder / f"lab-{theme}.png")
    lab.cell(MAP)
    lab.page.wait_for_timeout(1000)
    lab.screenshot(lab.output(MAP), folder / f"map-{theme}.png")


def main(folder: Path) -> None:
    """Start JupyterLab and a browser, and take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as private, lab_server(Path(private)) as server, started_browser() as browser:
        context = browser.new_context(viewport={"width": 1500, "height": 1000})
        context.set_default_timeout(60_000)
        lab = Lab(context.new_page(), server, Traffic(context), name="pictures")
        lab.open_notebook(QUICKSTART)
        lab.run_all()
        lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        for theme in ("light", "dark"):
            lab.set_theme(theme)  # type: ignore[arg-type]
            take(lab, folder, theme)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
