"""`make lab`, as somebody sees it who has just cloned the repository."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from workbench.benchmarks.browser.server import lab_server

WORKBENCH_LAB = (sys.executable, "-c", "from workbench.cli.app import main; main()", "lab")
PANEL = "window.jupyterapp?.shell?.currentWidget"


def test_the_quickstart_opens_with_its_stored_widgets(page: Page, tmp_path: Path) -> None:
    with lab_server(tmp_path, start=WORKBENCH_LAB) as server:
        # Another host would be a leak; this server is this machine.
        page.goto(f"{server.url}lab/tree/00_quickstart.ipynb?token={server.token}", timeout=180_000)
        page.wait_for_function(
            f"() => {PANEL}?.context?.path === '00_quickstart.ipynb' && {PANEL}.context.isReady", timeout=180_000
        )
        page.evaluate(f"() => {PANEL}.content.scrollToItem(8)")
        graph = page.get_by_test_id("graph-explorer")
        expect(graph).to_have_attribute("data-ready", "true", timeout=60_000)
        assert int(graph.get_attribute("data-nodes") or 0) > 100
        # Whatever is saved here keeps its widgets.
        assert page.evaluate(
            "() => window.jupyterapp.commands.isToggled('@jupyter-widgets/jupyterlab-manager:saveWidgetState')"
        )
