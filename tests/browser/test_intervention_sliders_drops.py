"""Nodes and supernodes dragged with the mouse from a real explorer to real sliders, in two cells of a JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .views import ExplorerView, SlidersView

EXPLORER = """bench.explore(
    graph, selected=features[2:3], supernodes={'A <pair>': features[2:4]}, pinned=[*features[4:5], "t/1"]
)
explorer.height = 320"""


@pytest.fixture
def views(tiny: Lab) -> tuple[ExplorerView, SlidersView]:
    """An explorer with a selected feature, and sliders of another one below it; both in sight."""
    explorer = ExplorerView.shown_by(tiny, EXPLORER, cell=1)
    sliders = SlidersView.shown_by(tiny, "bench.sliders(graph, nodes=features[:1])", cell=2)
    return explorer, sliders


def drag(explorer: ExplorerView, source: Locator, sliders: SlidersView) -> None:
    """Drag something onto the sliders, which say on the way that they would take it."""
    left = sliders.root.locator(".sliders-left")
    page = source.page
    # Both are in sight then, and nothing scrolls under the pointer.
    explorer.root.evaluate("root => root.scrollIntoView({block: 'start', behavior: 'instant'})")
    source.hover()
    box = left.bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 12, steps=8)
    # With the movement that enters an element the browser does not say yet that something is dragged over it.
    page.mouse.move(box["x"] + 60, box["y"] + 12, steps=4)
    expect(left).to_have_attribute("data-drop", "")
    page.mouse.up()
    expect(left).not_to_have_attribute("data-drop", "")


def test_a_row_of_the_explorer_becomes_a_slider(tiny: Lab, views: tuple[ExplorerView, SlidersView]) -> None:
    explorer, sliders = views
    first, shown, pinned = (tiny.python(f"features[{at}]") for at in (0, 2, 4))
    # A row of the list of what feeds an output.
    tiny.execute("explorer.selected_ids = graph.nodes.loc[graph.nodes['kind'] == 'logit', 'node_id'].tolist()[:1]")
    others = "".join(f':not([data-id="{node}"])' for node in (first, shown, pinned))
    row = explorer.details.get_by_test_id("incoming").locator(f'[data-id^="f/"]{others}').first
    fed = row.get_attribute("data-id")
    assert fed is not None
    drag(explorer, row, sliders)
    expect(sliders.row(fed)).to_be_visible()
    tiny.wait_for_python(f"dict(sliders.values) == {{{first!r}: 1, {fed!r}: 1}}")
    # It is a slider like any other, and the drag selected nothing in the explorer.
    sliders.row(fed).get_by_role("button", name="ablate").click()
    tiny.wait_for_python(f"sliders.values[{fed!r}] == 0 and sliders.answered == sliders.asked.wire()")
    assert tiny.python("[edit.node_id for edit in sliders.edits]") == [fed]
    assert tiny.python("explorer.selected_ids")[0].startswith("l/")
    # The head of the details stands for the node that is shown.
    tiny.execute("explorer.selected_ids = [features[2]]")
    expect(explorer.details).to_have_attribute("data-node", shown)
    drag(explorer, explorer.details.locator(f'header [draggable][data-id="{shown}"]'), sliders)
    tiny.wait_for_python(f"list(sliders.values) == [{first!r}, {fed!r}, {shown!r}]")
    # So does a row of the table.
    explorer.root.get_by_role("tab", name="Table").click()
    explorer.root.get_by_test_id("table-filter").fill(pinned)
    drag(explorer, explorer.root.locator(f'tr[data-id="{pinned}"] .wbx-col-kind'), sliders)
    tiny.wait_for_python(f"{pinned!r} in sliders.values")


def test_a_supernode_becomes_one_slider_from_the_details_and_from_its_card(
    tiny: Lab, views: tuple[ExplorerView, SlidersView]
) -> None:
    explorer, sliders = views
    drag(explorer, explorer.details.locator("[data-group]"), sliders)
    tiny.wait_for_python("'s/A <pair>' in sliders.values")
    assert tiny.python("sliders.nodes[1]['members'] == features[2:4]")
    expect(sliders.row("s/A <pair>")).to_contain_text("2 features")
    sliders.row("s/A <pair>").get_by_role("button", name="Remove").click()
    tiny.wait_for_python("'s/A <pair>' not in sliders.values")
    explorer.root.get_by_role("tab", name="Subgraph").click()
    before = tiny.python("explorer.card_positions")
    drag(explorer, explorer.root.locator('.wbx-card [data-group="A <pair>"]'), sliders)
    tiny.wait_for_python("'s/A <pair>' in sliders.values")
    # The card stays where it is.
    assert tiny.python("explorer.card_positions") == before


def test_a_node_that_is_no_feature_is_refused_in_words(tiny: Lab, views: tuple[ExplorerView, SlidersView]) -> None:
    explorer, sliders = views
    drag(explorer, explorer.details.get_by_test_id("pinned").locator('[data-id="t/1"]'), sliders)
    expect(sliders.root.get_by_role("alert")).to_contain_text("t/1 (token) is not")
    assert tiny.python("list(sliders.values) == features[:1]")
