"""Take the pictures of README.md: the quickstart, run in a real JupyterLab, light and dark.

Usage: python scripts/take_screenshots.py [FOLDER] [--theme light]   (by default docs/images, both themes)
"""

from __future__ import annotations

from pathlib import Path

from pictures import ROOT, folder_and_themes, hide_files, opened_lab
from playwright.sync_api import Locator

from workbench.benchmarks.browser.lab import Lab

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


def main(folder: Path, themes: list[str]) -> None:
    """Start JupyterLab and a browser, and take every picture."""
    with opened_lab(width=1500) as lab:
        lab.open_notebook(QUICKSTART)
        lab.run_all()
        hide_files(lab)
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            take(lab, folder, theme)


if __name__ == "__main__":
    main(*folder_and_themes(__doc__))
