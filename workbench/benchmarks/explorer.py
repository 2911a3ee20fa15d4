"""How fast the graph explorer is where it is used: in a real JupyterLab, in a real browser."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np

from workbench.benchmarks.browser.chromium import started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import lab_server
from workbench.benchmarks.browser.traffic import Traffic
from workbench.benchmarks.machine import machine
from workbench.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

NODES, EDGES = 2_000, 20_000
GOALS = {
    "first_paint_ms": 500,
    "hover_ms_median": 16,
    "threshold_step_ms_median": 50,
    "bundle_kb": 100,
    "saved_state_kb": 1_000,
}

_PROBE = Path(__file__).parent / "browser" / "probe.js"
_PAINT_MS = 120_000
_MAKE = """from workbench.benchmarks.explorer_graph import synthetic_graph
from workbench.widgets import GraphExplorer

graph = synthetic_graph({nodes}, {edges})"""
# Everything that travels is drawn: the slider at its end is the hardest case.
_SHOW = """explorer = GraphExplorer(graph, node_threshold=1)
explorer"""


def run(
    *, nodes: int = NODES, edges: int = EDGES, repeats: int = 5, hovers: int = 60, steps: int = 40
) -> dict[str, Any]:
    """Return facts of the ``machine`` and the ``browser``, what is drawn (``nodes``, ``edges``) and what it takes.

    - ``first_paint_ms``: from the arrival of the graph's message in the browser to the end of the frame that shows it:
      unpacking, starting the module, layout, drawing; median of ``first_paint_ms_each``, the page's first one included;
    - ``hover_ms_median``, ``hover_ms_p95``: from the movement of the pointer onto another node to the end of the frame
      that highlights it; in ``hover_work_ms_median`` the wait for the next frame, of 16.7 ms at most, is left out;
    - ``threshold_step_ms_median``, ``_p95``, ``threshold_step_work_ms_median``: the same for a step of the slider that
      prunes the drawing;
    - ``bundle_kb``: the module, as the notebook was handed it; ``saved_state_kb``: what the widget adds to a notebook
      that is saved with its state, the module included. In units of 1,000 bytes.

    Args:
        nodes, edges: of the synthetic graph; what the explorer draws of it are its own limits.
        repeats: how many times the graph is shown.
        hovers: movements of the pointer.
        steps: of the slider, from its end downwards.

    Raises:
        ConfigError: there is no Playwright or no browser, or a graph of this size cannot be made.
        ResourceError: the browser did not show what was expected.
    """
    if min(repeats, hovers, steps) < 1 or steps > 90:
        raise ConfigError("Ask for at least one repeat and hover, and for 1 to 90 steps of the slider.")
    from playwright.sync_api import Error as PlaywrightError

    facts = machine()
    with tempfile.TemporaryDirectory() as private, started_browser() as browser, lab_server(Path(private)) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(path=_PROBE)
        lab = Lab(context.new_page(), server, Traffic(context), name="explorer")
        try:
            lab.new_notebook([_MAKE.format(nodes=nodes, edges=edges), _SHOW])
            lab.run_cell(0)
            paints = [_first_paint(lab) for _ in range(repeats)]
            explorer = lab.widget(1).get_by_test_id("graph-explorer")
            drawn = {name: int(explorer.get_attribute(f"data-{name}") or 0) for name in ("nodes", "edges")}
            hover = _hover(explorer, lab.python("explorer._nodes['node_id']"), hovers)
            threshold = _threshold(explorer, steps)
            bundle, saved = _sizes(lab)
        except PlaywrightError as error:
            raise ResourceError(f"The browser did not get through: {error.message.splitlines()[0]}") from error
        finally:
            server.stop_kernels()
        return {
            "machine": facts,
            "browser": browser.version,
            **drawn,
            "first_paint_ms": round(statistics.median(paints), 1),
            "first_paint_ms_each": [round(paint, 1) for paint in paints],
            **_summary("hover", hover),
            **_summary("threshold_step", threshold),
            "bundle_kb": round(bundle / 1000, 1),
            "saved_state_kb": round(saved / 1000, 1),
        }


def _first_paint(lab: Lab) -> float:
    if lab.cell_output(1):
        lab.execute("explorer.close()")
    lab.page.evaluate("() => workbenchProbe.expectGraph()")
    lab.run_cell(1)
    lab.page.wait_for_function("() => workbenchProbe.firstPaint !== null", timeout=_PAINT_MS)
    return float(lab.page.evaluate("() => workbenchProbe.firstPaint"))


def _hover(explorer: Locator, ids: list[str], hovers: int) -> list[dict[str, float]]:
    """Move the pointer from one node to another and return the milliseconds of each movement, as the probe has them."""
    page, canvas = explorer.page, explorer.get_by_test_id("graph-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    places = explorer.evaluate("(explorer, ids) => ids.map(id => explorer.nodePosition(id)).filter(Boolean)", ids)
    inside = [at for at in places if 5 < at["x"] < box["width"] - 5 and 5 < at["y"] < box["height"] - 5]
    if len(inside) < 2:
        raise ResourceError("The explorer draws no nodes where the pointer could go: the page is not as expected.")
    order = np.random.default_rng(0).integers(0, len(inside), hovers)

    def move(number: int) -> None:
        at = inside[order[number]]
        page.mouse.move(box["x"] + at["x"], box["y"] + at["y"])

    canvas.hover()
    tooltip = "explorer.querySelector('[data-testid=tooltip]').textContent"
    explorer.evaluate(f"explorer => workbenchProbe.time('pointermove', () => {tooltip})")
    return _timed(page, hovers, move, "movements of the pointer")


def _threshold(explorer: Locator, steps: int) -> list[dict[str, float]]:
    """Step down with the arrow key and return the milliseconds of each step, as the probe has them."""
    slider = explorer.get_by_test_id("threshold")
    page = explorer.page
    slider.focus()
    look = "() => [explorer.dataset.nodes, explorer.dataset.edges].join()"
    explorer.evaluate(f"explorer => workbenchProbe.time('input', {look})")
    return _timed(page, steps, lambda step: page.keyboard.press("ArrowLeft"), "steps of the slider")


def _timed(page: Page, n: int, move: Callable[[int], None], what: str) -> list[dict[str, float]]:
    """Do something n times, each time when the last one is over; return the times of what changed the picture."""
    for number in range(n):
        move(number)
        page.wait_for_function("n => workbenchProbe.samples.length > n", arg=number)
    samples: list[dict[str, Any]] = page.evaluate("() => (workbenchProbe.stop(), workbenchProbe.samples)")
    changed = [sample for sample in samples if sample["changed"]]
    if len(changed) < n / 2:
        raise ResourceError(f"Of {n} {what} only {len(changed)} changed the picture: the page is not as expected.")
    return changed


def _sizes(lab: Lab) -> tuple[int, int]:
    """Return the bytes of the module and those that the widget adds to the saved notebook."""
    lab.save_widgets_too(False)
    without = lab.save().stat().st_size
    lab.save_widgets_too(True)
    path = lab.save()
    states = nbformat.read(path, as_version=4).metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (state,) = (model["state"] for model in states.values() if "_nodes" in model["state"])
    return len(state["_esm"].encode()), path.stat().st_size - without


def _summary(name: str, samples: list[dict[str, float]]) -> dict[str, float]:
    values = [sample["ms"] for sample in samples]
    return {
        f"{name}_ms_median": round(statistics.median(values), 1),
        f"{name}_ms_p95": round(float(np.quantile(values, 0.95)), 1),
        f"{name}_work_ms_median": round(statistics.median(sample["work"] for sample in samples), 1),
    }
