"""What a user chooses in the explorer, step by step and back: in a real JupyterLab, and what Python holds of it."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .views import ExplorerView


def top(lab: Lab, n: int) -> list[str]:
    """Return the ids of the n most influential features."""
    ids: list[str] = lab.python(f"features[:{n}]")
    return ids


def drag(card: Locator, dx: float, dy: float) -> None:
    """Drag a card by its left edge, where it has neither a field nor a button."""
    box = card.bounding_box()
    assert box is not None
    mouse = card.page.mouse
    x, y = box["x"] + 4, box["y"] + box["height"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + dx, y + dy, steps=6)
    mouse.up()


def test_every_step_can_be_taken_back_and_done_again(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second = top(tiny, 2)
    undo, redo = view.root.get_by_test_id("undo"), view.root.get_by_test_id("redo")
    expect(undo).to_be_disabled()
    view.click(first)
    view.click(second, "ControlOrMeta")
    view.threshold.press("Home")
    tiny.wait_for_python("explorer.node_threshold == 0")
    undo.click()
    tiny.wait_for_python("explorer.node_threshold == 0.8")
    undo.click()
    tiny.wait_for_python("explorer.pinned_ids == []")
    view.canvas.press("ControlOrMeta+z")
    tiny.wait_for_python("explorer.selected_ids == []")
    expect(undo).to_be_disabled()
    view.canvas.press("ControlOrMeta+Shift+z")
    tiny.wait_for_python(f"explorer.selected_ids == {[first]!r}")
    redo.click()
    redo.click()
    tiny.wait_for_python(f"explorer.pinned_ids == {[second]!r} and explorer.node_threshold == 0")
    expect(redo).to_be_disabled()
    # What Python sets is a step too.
    tiny.execute("explorer.show_errors = False")
    expect(view.root.get_by_test_id("show_errors")).not_to_be_checked()
    undo.click()
    tiny.wait_for_python("explorer.show_errors")


def test_a_node_is_found_by_its_name_and_selected(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    wanted = top(tiny, 1)[0]
    view.canvas.press("/")
    field = view.root.get_by_test_id("search")
    expect(field).to_be_focused()
    field.press_sequentially("/".join(wanted.split("/")[:3]))
    option = view.root.locator(f'[role="option"][data-id="{wanted}"]')
    expect(option).to_be_visible()
    field.press("ArrowDown")
    tiny.wait_for_python("explorer.hovered_id is not None")
    option.click()
    tiny.wait_for_python(f"explorer.selected_ids == {[wanted]!r}")
    view.show_details_of(wanted)
    field.fill("no such node anywhere")
    expect(view.root.get_by_text("No node has this label, token or id.")).to_be_visible()
    field.press("Escape")
    expect(view.root.get_by_text("No node has this label, token or id.")).to_be_hidden()
    assert tiny.python("explorer.selected_ids") == [wanted]


def test_the_widget_takes_the_whole_screen_and_gives_it_back(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    before = view.canvas.bounding_box()
    assert before is not None
    view.root.get_by_test_id("full-screen").click()
    tiny.page.wait_for_function("() => document.fullscreenElement?.dataset.testid === 'graph-explorer'")
    tiny.page.wait_for_function(
        "([canvas, height]) => canvas.clientHeight > height", arg=[view.canvas.element_handle(), before["height"]]
    )
    # What is clicked there, Python knows.
    (node,) = top(tiny, 1)
    view.click(node)
    view.show_details_of(node)
    view.canvas.press("f")
    tiny.page.wait_for_function("() => document.fullscreenElement === null")
    tiny.wait_for_python(f"explorer.selected_ids == {[node]!r}")


def test_the_link_mode_goes_both_ways_and_changes_what_stands_out(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, selected=features[0], node_threshold=1)")
    links = view.root.get_by_test_id("link_mode")
    expect(links).to_have_value("either")
    either = view.pixels()
    links.select_option("in")
    tiny.wait_for_python("explorer.link_mode == 'in'")
    view.wait_for_pixels(either, same=False)
    tiny.execute("explorer.link_mode = 'out'")
    expect(links).to_have_value("out")
    colours = view.root.get_by_test_id("colour_by")
    colours.select_option("share")
    tiny.wait_for_python("explorer.colour_by == 'share'")


def test_dense_features_are_hidden_by_a_slider_that_needs_an_atlas(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    expect(view.root.get_by_test_id("density")).to_be_disabled()
    (node, other) = top(tiny, 2)
    tiny.execute(f"_, layer, feature, _ = {node!r}.split('/')\ndensity = {{(int(layer), int(feature)): 0.5}}")
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, density=density)")
    slider = view.root.get_by_test_id("density")
    expect(slider).to_be_enabled()
    assert view.draws(node)
    tiny.execute("explorer.density_threshold = 0.1")
    tiny.page.wait_for_function(
        "([root, id]) => root.nodePosition(id) === null", arg=[view.root.element_handle(), node]
    )
    assert view.draws(other)
    slider.press("End")
    tiny.wait_for_python("explorer.density_threshold == 1")
    assert view.draws(node)


def test_nodes_are_grouped_with_g_renamed_dragged_and_ungrouped(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second, third = top(tiny, 3)
    view.canvas.focus()
    tiny.page.keyboard.down("g")
    view.click(first)
    view.click(second)
    tiny.page.keyboard.up("g")
    tiny.wait_for_python("[group['ids'] for group in explorer.supernodes] == [features[:2]]")
    tiny.execute("explorer.pinned = features[2:3]\nexplorer.supernodes = {'pair': features[:2]}")
    view.root.get_by_test_id("tab-subgraph").click()
    pane = view.root.get_by_test_id("subgraph")
    card = pane.locator('[data-card="s/pair"]')
    expect(card).to_be_visible()
    expect(pane.locator(f'[data-card="{third}"]')).to_be_visible()
    scores = tiny.python("[round(value, 2) for value in (explorer.subgraph_scores().replacement,)]")
    expect(pane).to_contain_text(f"Replacement {scores[0]:.2f}")

    box = card.bounding_box()
    assert box is not None
    drag(card, 40, -30)
    tiny.wait_for_python("'s/pair' in explorer.card_positions")
    moved = card.bounding_box()
    assert moved is not None
    assert moved["x"] - box["x"] > 20
    # Undo puts it back, as everything else.
    view.root.get_by_test_id("undo").click()
    tiny.wait_for_python("explorer.card_positions == {}")

    name = card.get_by_test_id("supernode-name")
    name.fill("the pair")
    name.press("Enter")
    tiny.wait_for_python("[group['name'] for group in explorer.supernodes] == ['the pair']")
    assert tiny.python("explorer.supernode_table['supernode'].astype(str).unique().tolist()") == ["the pair"]
    tiny.execute("explorer.selected = features[0]")
    view.show_details_of(first)
    view.details.get_by_test_id("ungroup").click()
    tiny.wait_for_python("explorer.supernodes == []")
    expect(pane.locator("[data-card^='s/']")).to_have_count(0)
