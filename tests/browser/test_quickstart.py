"""The quickstart as a reader opens it and as a user works with it, on the real default model."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab
from workbench.models import fetch

from .views import ExplorerView

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "00_quickstart.ipynb"
# The cells, Markdown included.
EXPLORER, SLIDERS, MAP = 8, 12, 20
NAMES = "f/29/83/14"  # promotes beginnings of names at the last token


def explorer(lab: Lab) -> Locator:
    widget = lab.output(EXPLORER).get_by_test_id("graph-explorer")
    expect(widget).to_have_attribute("data-ready", "true")
    widget.scroll_into_view_if_needed()
    return widget


def sliders(lab: Lab) -> Locator:
    widget = lab.output(SLIDERS).get_by_test_id("intervention-sliders")
    widget.wait_for()
    widget.scroll_into_view_if_needed()
    return widget


def point_at(lab: Lab, node_id: str) -> None:
    """Move the pointer to a node, once the canvas stands still: outputs above it may still grow."""
    view = ExplorerView(explorer(lab))
    view.hover(node_id)


def wait_until_drawn(graph: Locator) -> None:
    """Wait until a canvas shows many colours: edges are drawn some at a time, and an empty canvas shows one colour."""
    graph.page.wait_for_function(
        """root => [...root.querySelectorAll('canvas')].some(canvas => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let i = 0; i < data.length; i += 4) {
                colours.add((data[i] << 24) | (data[i + 1] << 16) | (data[i + 2] << 8) | data[i + 3]);
            }
            return colours.size > 20;
        })""",
        arg=graph.element_handle(),
    )


def test_the_stored_quickstart_can_be_read_without_running_a_cell(lab: Lab) -> None:
    lab.open_notebook(QUICKSTART)

    graph = explorer(lab)
    assert int(graph.get_attribute("data-nodes") or 0) > 100
    wait_until_drawn(graph)
    # What needs no Python works: the node under the pointer and its edges.
    point_at(lab, NAMES)
    expect(graph.get_by_test_id("tooltip")).to_contain_text("El")

    bars = sliders(lab)
    expect(bars.locator("tr[data-before][data-after]").first).to_contain_text("Mary")
    lab.output(MAP).locator(".js-plotly-plot").wait_for()
    assert not [error for error in lab.traffic.errors if "uncaught" in error]


@pytest.mark.integration
def test_the_quickstart_from_the_first_cell_to_the_last_slider(lab: Lab, tmp_path: Path) -> None:
    fetch("smollm2-135m-instruct")
    lab.open_notebook(QUICKSTART)
    lab.run_all()
    n_cells = lab.n_cells

    # The table, as the cells set it, is what the graph shows.
    graph = explorer(lab)
    expect(graph.get_by_test_id("selected")).to_contain_text("Selected (4)")

    # Hover, click and pin: Python has the node, with its row of the table.
    point_at(lab, NAMES)
    expect(graph.get_by_test_id("tooltip")).to_be_visible()
    lab.wait_for_python(f"explorer.hovered_id == {NAMES!r}")
    ExplorerView(graph).click(NAMES)
    lab.wait_for_python(f"list(explorer.selected['node_id']) == [{NAMES!r}]")
    assert lab.python("explorer.selected['kind'].tolist()") == ["feature"]
    # The edges come from the whole graph in Python, not only from those that are drawn.
    n_incoming = lab.python(f"int((explorer.graph.edges['target'] == {NAMES!r}).sum())")
    expect(graph.get_by_test_id("details")).to_contain_text(f"{n_incoming:,}")
    point_at(lab, NAMES)
    lab.page.keyboard.press("p")
    lab.wait_for_python(f"list(explorer.pinned['node_id']) == [{NAMES!r}]")

    # The other way: what Python selects is shown.
    lab.execute("explorer.selected = ['f/0/163/10']")
    expect(graph.get_by_test_id("details")).to_have_attribute("data-node", "f/0/163/10")

    # A slider by mouse: what the model says follows, with the last value.
    widget = sliders(lab)
    row = widget.locator(f'[data-node="{NAMES}"]')
    lab.execute("sliders.reset()")
    expect(row).to_have_attribute("data-factor", "1")
    track = row.locator("input[type=range]")
    box = track.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    lab.page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=8)
    lab.page.mouse.up()
    dragged = float(row.get_attribute("data-factor") or "nan")
    assert -3.6 < dragged < -2.4
    lab.wait_for_python(f"sliders.values[{NAMES!r}] == {dragged}")
    lab.wait_for_python(f"sliders.result['values'][{NAMES!r}] == {dragged} and not sliders.running")
    assert lab.python("sliders.tokens.set_index('token').loc[' Mary', 'after'].item()") < 0.1

    # The same slider by keyboard; no key reaches the notebook.
    track.focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("b")
    lab.wait_for_python(f"abs(sliders.values[{NAMES!r}] - {dragged + 0.2}) < 1e-9")
    assert lab.n_cells == n_cells
    widget.get_by_test_id("reset").click()
    lab.wait_for_python("not sliders.edits and not sliders.running")
    expect(row).to_have_attribute("data-factor", "1")

    # In the dark theme the graph is drawn anew, light on dark.
    lab.set_theme("dark")
    expect(explorer(lab)).to_have_attribute("data-theme", "dark")
    expect(sliders(lab)).to_have_attribute("data-theme", "dark")
    lab.screenshot(explorer(lab), tmp_path / "explorer-dark.png")

    # Nothing left the machine (the fixture checks it too), and nothing went wrong in the page.
    assert not lab.traffic.foreign
    assert not [error for error in lab.traffic.errors if "uncaught" in error]
