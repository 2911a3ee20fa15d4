"""What a user does to the graph in a cell of a real JupyterLab: what is seen, and what Python holds of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from workbench.benchmarks.browser.lab import KernelError, Lab

from .strange import MARKUP
from .views import ExplorerView


def top(lab: Lab, n: int) -> list[str]:
    """Return the ids of the n most influential features, of different layers and columns."""
    ids: list[str] = lab.python(f"features[:{n}]")
    return ids


def drawn_by_python(lab: Lab) -> str:
    """Return how many nodes have to be drawn by the rule that Python states, besides those selected and pinned."""
    lab.execute("from workbench.widgets.graph_view import cumulative")
    count: int = lab.python(
        "int(sum((kind != 'bias') & ((share < explorer.node_threshold) | (share == 0) | (explorer.node_threshold >= 1))"
        " for kind, share in zip(explorer.graph.nodes['kind'], cumulative(explorer.graph))))"
    )
    return str(count)


# --- pointing and choosing --------------------------------------------------------------------------------------------


def test_the_node_under_the_pointer_is_described_here_and_known_in_python(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    expect(view.tooltip).to_be_hidden()
    view.hover(node)
    _, layer, feature, position = node.split("/")
    expect(view.tooltip).to_contain_text(f"Feature {feature} · layer {layer}")
    expect(view.tooltip).to_contain_text(f"position {position}")
    expect(view.tooltip).to_contain_text(tiny.python("explorer.graph.select(features[:1])['label'].iloc[0]"))
    tiny.wait_for_python(f"explorer.hovered_id == {node!r}")
    view.leave()
    expect(view.tooltip).to_be_hidden()
    tiny.wait_for_python("explorer.hovered_id is None")


def test_a_pointer_that_races_over_the_graph_is_found_where_it_came_to_rest(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    tiny.execute("heard = []\nexplorer.observe(lambda change: heard.append(change['new']), 'hovered_id')")
    nodes = [f"t/{position}" for position in range(9)]
    view.hover(nodes[0])
    box = view.canvas.bounding_box()
    assert box is not None
    for node in [*nodes, *reversed(nodes), *nodes]:
        place = view.place(node)
        tiny.page.mouse.move(box["x"] + place["x"], box["y"] + place["y"])
    tiny.wait_for_python(f"explorer.hovered_id == {nodes[-1]!r}")
    expect(view.tooltip).to_contain_text("Token · embedding")
    # Python does not hear of every node on the way.
    assert tiny.python("len(heard)") < 3 * len(nodes)


def test_clicks_select_add_and_clear(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second = top(tiny, 2)
    view.click(first)
    view.show_details_of(first)
    tiny.wait_for_python(f"explorer.selected['node_id'].tolist() == {[first]!r}")
    view.click(second, "Shift")
    view.show_details_of(second)
    assert view.chips("selected") == [first, second]
    tiny.wait_for_python(f"explorer.selected['node_id'].tolist() == {[first, second]!r}")
    edges = tiny.python("explorer.selected_edges[['source', 'target']].astype(str).values.tolist()")
    assert edges
    assert all({first, second} & set(edge) for edge in edges)
    # A second click with Shift takes a node out again.
    view.click(second, "Shift")
    tiny.wait_for_python(f"explorer.selected_ids == {[first]!r}")
    view.click(second)
    tiny.wait_for_python(f"explorer.selected_ids == {[second]!r}")
    view.canvas.click(position={"x": 60, "y": 70})
    tiny.wait_for_python("explorer.selected.empty")
    view.show_details_of("")


def test_the_lists_hold_the_edges_of_the_graph_and_lead_along_them(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    view.click(node)
    view.show_details_of(node)
    tiny.execute("edges = explorer.graph.edges.sort_values('share', ascending=False)")
    into = tiny.python(f"edges[edges.target == {node!r}].source.astype(str).tolist()")
    assert view.rows("incoming") == into
    assert view.rows("outgoing") == tiny.python(f"edges[edges.source == {node!r}].target.astype(str).tolist()")
    row = view.details.get_by_test_id("incoming").locator(f'[data-id="{into[0]}"]')
    row.hover()
    tiny.wait_for_python(f"explorer.hovered_id == {into[0]!r}")
    row.click()
    view.show_details_of(into[0])
    tiny.wait_for_python(f"explorer.selected_ids == {into[:1]!r}")


def test_a_rectangle_selects_what_lies_in_it(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    tokens = ["t/0", "t/1", "t/2"]
    first, last = view.place(tokens[0]), view.place(tokens[-1])
    above_left, below_right = (first["x"] - 8, first["y"] - 8), (last["x"] + 8, last["y"] + 8)
    view.click(node)
    view.drag(above_left, below_right, shift=True)
    tiny.wait_for_python(f"explorer.selected_ids == {[node, *tokens]!r}")
    assert view.chips("selected") == [node, *tokens]
    # Drawn from the other corner, and without Shift: these alone.
    view.drag(below_right, above_left)
    tiny.wait_for_python(f"explorer.selected_ids == {tokens!r}")
    # A rectangle that ends outside of the graph counts too; one that Esc gives up does not.
    view.drag(above_left, (first["x"] + 8, below_right[1] + 300))
    tiny.wait_for_python(f"explorer.selected_ids == {tokens[:1]!r}")
    view.drag((46, 60), below_right, drop=False)
    tiny.page.keyboard.press("Escape")
    tiny.page.mouse.up()
    assert tiny.python("explorer.selected_ids") == tokens[:1]
    view.drag((46, 60), (56, 70))
    tiny.wait_for_python("explorer.selected.empty")


def test_pins_are_set_with_ctrl_click_key_and_button(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second, third = top(tiny, 3)
    bare = view.pixels()
    view.click(first, "ControlOrMeta")
    tiny.wait_for_python(f"explorer.pinned['node_id'].tolist() == {[first]!r}")
    assert tiny.python("explorer.selected.empty")
    view.hover(second)
    view.canvas.press("p")
    tiny.wait_for_python(f"explorer.pinned_ids == {[first, second]!r}")
    view.click(third)
    view.details.get_by_test_id("pin-node").click()
    tiny.wait_for_python(f"explorer.pinned_ids == {[first, second, third]!r}")
    assert view.chips("pinned") == [first, second, third]
    view.wait_for_pixels(bare, same=False)
    view.root.get_by_test_id("pin").click()
    view.click(first, "ControlOrMeta")
    tiny.wait_for_python(f"explorer.pinned_ids == {[second]!r}")
    view.hover(second)
    view.canvas.press("P")
    view.root.get_by_test_id("clear").click()
    view.leave()
    tiny.wait_for_python("explorer.pinned.empty and explorer.selected.empty and explorer.hovered_id is None")
    view.wait_for_pixels(bare, same=True)


def test_a_name_given_in_the_widget_is_in_pythons_tables(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    own = tiny.python("explorer.graph.select(features[:1])['label'].iloc[0]")
    view.click(node)
    expect(view.label).to_have_value(own)
    name = f'says "{MARKUP}" 👍'
    view.label.fill(f"  {name} ")
    view.label.press("Enter")
    tiny.wait_for_python(f"explorer.labels == {{{node!r}: {name!r}}}")
    assert tiny.python("explorer.selected['label'].tolist()") == [name]
    assert tiny.python("explorer.graph.select(features[:1])['label'].tolist()") == [name]
    view.hover(node)
    expect(view.tooltip).to_contain_text(name)
    # Escape gives up what is being written; an empty field goes back to the graph's own name.
    view.label.fill("a slip")
    view.label.press("Escape")
    expect(view.label).to_have_value(name)
    view.label.fill("")
    view.label.blur()
    tiny.wait_for_python("explorer.labels == {}")
    expect(view.label).to_have_value(own)
    assert tiny.page.evaluate("window.pwned") is None


# --- Python sets, the view follows ------------------------------------------------------------------------------------


def test_the_view_follows_what_python_sets(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second, third = top(tiny, 3)
    tiny.execute("explorer.selected = graph.select(features[:2])")
    view.show_details_of(second)
    assert view.chips("selected") == [first, second]
    tiny.execute("explorer.pinned = features[2:3]\nexplorer.labels = {features[1]: 'second', features[2]: 'third'}")
    expect(view.label).to_have_value("second")
    expect(view.details.get_by_test_id("pinned")).to_contain_text("third")
    assert view.chips("pinned") == [third]
    tiny.execute("explorer.hovered_id = 't/3'")
    expect(view.tooltip).to_contain_text("position 3")
    tiny.execute("explorer.hovered_id = None")
    expect(view.tooltip).to_be_hidden()

    tiny.execute("explorer.node_threshold = 0.25")
    expect(view.threshold).to_have_value("25")
    # What is selected or pinned is drawn at any threshold.
    assert all(view.draws(node) for node in (first, second, third))
    tiny.execute("explorer.selected = []\nexplorer.pinned = []")
    view.show_details_of("")
    expect(view.root).to_have_attribute("data-nodes", drawn_by_python(tiny))

    errors, biases = (view.root.get_by_test_id(name) for name in ("show_errors", "show_biases"))
    assert view.draws("e/0/8")
    tiny.execute("explorer.show_errors = False")
    expect(errors).not_to_be_checked()
    assert not view.draws("e/0/8")
    tiny.execute("explorer.node_threshold = 1\nexplorer.show_errors = explorer.show_biases = True")
    expect(errors).to_be_checked()
    expect(biases).to_be_checked()
    expect(view.root).to_have_attribute("data-nodes", str(tiny.python("len(explorer.graph.nodes)")))
    height = view.canvas.evaluate("canvas => canvas.clientHeight")
    tiny.execute("explorer.height = 300")
    tiny.page.wait_for_function(
        "([canvas, before]) => canvas.clientHeight < before", arg=[view.canvas.element_handle(), height]
    )


def test_what_python_cannot_set_leaves_the_view_as_it_was(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    view.click(node)
    tiny.wait_for_python(f"explorer.selected_ids == {[node]!r}")
    for wrong, message in (
        ("explorer.selected = ['f/99/0/1']", "f/99/0/1"),
        ("explorer.pinned = 'nobody'", "nobody"),
        ("explorer.node_threshold = 8", "number from 0 to 1"),
        ("explorer.labels = {'nobody': 'x'}", "nobody"),
        ("explorer.height = 3", "at least 240"),
    ):
        with pytest.raises(KernelError, match=message):
            tiny.execute(wrong)
    assert tiny.python("[explorer.selected_ids, explorer.pinned_ids, explorer.labels]") == [[node], [], {}]
    assert tiny.python("explorer.node_threshold") == 0.8
    view.show_details_of(node)
    expect(view.threshold).to_have_value("80")


# --- the threshold ----------------------------------------------------------------------------------------------------


def test_the_threshold_moves_by_mouse_and_by_keyboard(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    at_first = drawn_by_python(tiny)
    expect(view.root).to_have_attribute("data-nodes", at_first)
    box = view.threshold.bounding_box()
    assert box is not None
    mouse, y = tiny.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] * 0.79, y)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.3, y, steps=12)
    mouse.up()
    shown = int(view.threshold.input_value())
    assert 20 <= shown <= 40
    tiny.wait_for_python(f"explorer.node_threshold == {shown / 100}")
    fewer = drawn_by_python(tiny)
    expect(view.root).to_have_attribute("data-nodes", fewer)
    assert int(fewer) < int(at_first)

    view.threshold.press("ArrowRight")
    tiny.wait_for_python(f"explorer.node_threshold == {(shown + 1) / 100}")
    view.threshold.press("Home")
    tiny.wait_for_python("explorer.node_threshold == 0")
    expect(view.root).to_have_attribute("data-nodes", drawn_by_python(tiny))
    view.threshold.press("End")
    tiny.wait_for_python("explorer.node_threshold == 1")
    expect(view.root).to_have_attribute("data-nodes", drawn_by_python(tiny))
    # The graph's own keys: at the end of the scale, and back.
    view.canvas.press("]")
    view.canvas.press("[")
    tiny.wait_for_python("explorer.node_threshold == 0.98")


def test_errors_and_biases_come_and_go_with_their_boxes(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=1)")
    kinds = tiny.python("explorer.graph.nodes['kind'].value_counts().to_dict()")
    shown = sum(kinds.values()) - kinds["bias"]
    expect(view.root).to_have_attribute("data-nodes", str(shown))
    view.root.get_by_test_id("show_biases").check()
    expect(view.root).to_have_attribute("data-nodes", str(shown + kinds["bias"]))
    view.root.get_by_test_id("show_errors").uncheck()
    expect(view.root).to_have_attribute("data-nodes", str(shown + kinds["bias"] - kinds["error"]))
    tiny.wait_for_python("explorer.show_biases and not explorer.show_errors")


# --- the keyboard -----------------------------------------------------------------------------------------------------


def test_arrow_keys_walk_along_the_strongest_edges(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=1, show_biases=True)")
    tiny.execute(
        "edges = explorer.graph.edges.astype({'source': str, 'target': str})\n"
        "edges = edges.assign(size=edges.share.abs()).sort_values('size', ascending=False, kind='stable')"
    )
    before = tiny.look_of_cells()
    view.canvas.focus()
    view.canvas.press("ArrowUp")
    logit = tiny.python("explorer.graph.nodes.set_index('node_id')['probability'].idxmax()")
    tiny.wait_for_python(f"explorer.hovered_id == {logit!r}")
    below = tiny.python(f"edges[edges.target == {logit!r}].source.iloc[0]")
    view.canvas.press("ArrowDown")
    tiny.wait_for_python(f"explorer.hovered_id == {below!r}")
    above = tiny.python(f"edges[edges.source == {below!r}].target.iloc[0]")
    view.canvas.press("ArrowUp")
    tiny.wait_for_python(f"explorer.hovered_id == {above!r}")
    # With no node under the pointer the walk goes on from the selected one.
    tiny.execute("explorer.selected = 't/3'\nexplorer.hovered_id = None")
    view.show_details_of("t/3")
    expect(view.tooltip).to_be_hidden()
    for key, node in (("ArrowRight", "t/4"), ("ArrowLeft", "t/3"), ("ArrowLeft", "t/2")):
        view.canvas.press(key)
        tiny.wait_for_python(f"explorer.hovered_id == {node!r}")
    view.canvas.press("Enter")
    tiny.wait_for_python("explorer.selected_ids == ['t/2']")
    # There is nothing to the left of the first token.
    for _ in range(3):
        view.canvas.press("ArrowLeft")
    view.canvas.press("Shift+Enter")
    tiny.wait_for_python("explorer.selected_ids == ['t/2', 't/0']")
    expect(view.root.get_by_test_id("live")).to_contain_text("Token <s>")
    view.canvas.press("Escape")
    tiny.wait_for_python("explorer.selected_ids == []")
    assert tiny.look_of_cells() == before


def test_keys_pressed_in_the_widget_do_nothing_to_the_notebook(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = top(tiny, 1)
    tiny.execute("explorer.selected = features[0]")
    view.show_details_of(node)
    before = tiny.look_of_cells()
    assert len(before["cells"]) == 3
    # JupyterLab's keys for a cell: insert, delete, cut, paste, undo, change the type, move, restart the kernel, ...
    strays = ["b", "a", "d", "d", "x", "v", "z", "m", "y", "1", "j", "k", "0", "0", "l", "h", "Shift+M", "Delete"]
    row = view.details.get_by_test_id("incoming").locator("[data-id]").first
    for element in (view.canvas, view.threshold, row, view.root.get_by_test_id("show_errors")):
        tiny.execute("explorer.selected = features[0]")
        view.show_details_of(node)
        element.focus()
        for key in [*strays, "ArrowDown", "ArrowUp", "Shift+ArrowDown", "Escape"]:
            tiny.page.keyboard.press(key)
        assert tiny.look_of_cells() == before
    # In the name they are letters.
    tiny.execute("explorer.selected = features[0]")
    view.show_details_of(node)
    view.label.fill("")
    view.label.press_sequentially("bad dad")
    view.label.press("Enter")
    tiny.wait_for_python(f"explorer.labels == {{{node!r}: 'bad dad'}}")
    # Escape closes the help first and clears the selection next.
    keys = view.root.get_by_role("region", name="Keys and gestures")
    view.canvas.press("?")
    expect(keys).to_be_visible()
    view.canvas.press("Escape")
    expect(keys).to_be_hidden()
    assert tiny.python("explorer.selected_ids") == [node]
    view.canvas.press("Escape")
    tiny.wait_for_python("explorer.selected_ids == []")
    assert tiny.look_of_cells() == before
    # Outside of the widget the notebook's keys are the notebook's again.
    tiny.page.locator(".jp-InputPrompt").first.click()
    tiny.page.keyboard.press("b")
    assert tiny.n_cells == 4
    tiny.page.keyboard.press("d")
    tiny.page.keyboard.press("d")
    assert tiny.n_cells == 3
