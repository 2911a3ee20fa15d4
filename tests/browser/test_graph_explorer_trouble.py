"""Graphs unlike others, kernels that fail or are gone, other themes and sizes: the graph explorer takes it all."""

from __future__ import annotations

from playwright.sync_api import expect

from workbench.benchmarks.browser.lab import Lab

from .strange import IMAGE, MARKUP, TOKENS
from .views import Dialogs, ExplorerView

# --- graphs unlike others ---------------------------------------------------------------------------------------------


def test_a_graph_without_features_is_drawn(tiny: Lab) -> None:
    tiny.execute(
        "silent = replace(bench.clt, threshold=torch.full_like(bench.clt.threshold, 1e9))\n"
        "bare = replace(bench, clt=silent).attribute(tiny_prompt(), progress=False)"
    )
    assert tiny.python("bare.n_features") == 0
    view = ExplorerView.shown_by(tiny, "bench.explore(bare, node_threshold=1)")
    kinds = tiny.python("explorer.graph.nodes['kind'].value_counts().to_dict()")
    expect(view.root).to_have_attribute("data-nodes", str(kinds["token"] + kinds["error"] + kinds["logit"]))
    view.click("t/1")
    tiny.wait_for_python("explorer.selected_ids == ['t/1']")
    view.show_all_edges_of(tiny, "t/1")
    view.hover("e/0/8")
    expect(view.tooltip).to_contain_text("What the features miss")
    view.canvas.press("ArrowUp")
    expect(view.tooltip).to_contain_text("Logit · output")


def test_a_prompt_of_the_start_token_alone_is_drawn(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(bench.attribute(torch.tensor([0]), progress=False))")
    assert tiny.python("explorer.graph.tokens") == ["<s>"]
    # The start token and the logits: there are no features and no errors at position 0.
    assert view.root.get_attribute("data-nodes") == str(tiny.python("1 + explorer.graph.count('logit')"))
    view.click("t/0")
    view.show_details_of("t/0")
    expect(view.label).to_have_attribute("placeholder", "<s>")
    tiny.wait_for_python("explorer.selected['token'].tolist() == ['<s>']")
    view.canvas.press("ArrowRight")
    view.canvas.press("ArrowUp")
    expect(view.tooltip).to_contain_text("Logit · output")


def test_a_long_prompt_scrolls_and_keys_keep_their_node_in_sight(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(bench.attribute(tiny_prompt(length=64), progress=False))")
    width = view.canvas.evaluate("canvas => canvas.clientWidth")
    # What is explained is in sight at first, and it stands at the end.
    logit = tiny.python("explorer.graph.nodes.set_index('node_id')['probability'].idxmax()")
    assert 0 < view.place(logit)["x"] < width
    assert view.place("t/1")["x"] < 0
    tiny.execute("explorer.selected = 't/30'")
    view.show_details_of("t/30")
    for _ in range(29):
        view.canvas.press("ArrowLeft")
    tiny.wait_for_python("explorer.hovered_id == 't/1'")
    assert 0 < view.place("t/1")["x"] < width
    # What is clicked is what stands there after scrolling.
    view.click("t/2")
    tiny.wait_for_python("explorer.selected_ids == ['t/2']")


def test_text_of_any_kind_is_shown_as_text(tiny: Lab) -> None:
    dialogs = Dialogs(tiny.page)
    view = ExplorerView.shown_by(tiny, "bench.explore(with_strange_text(graph), pinned=features[:1])")
    name = view.tooltip.locator(".wbx-tooltip-name")
    expect(view.details.locator(".wbx-prompt")).to_contain_text(MARKUP)
    for position, (token, shown) in list(enumerate(TOKENS.items()))[:9]:
        view.hover(f"t/{position}")
        expect(name).to_have_text(shown)
        view.click(f"t/{position}")
        view.show_details_of(f"t/{position}")
        expect(view.label).to_have_attribute("placeholder", shown)
        tiny.wait_for_python(f"explorer.selected['token'].tolist() == {[token]!r}")
    for node, token in tiny.python(
        "explorer.graph.nodes.query(\"kind == 'logit'\")[['node_id', 'token']].values.tolist()"
    ):
        view.hover(node)
        expect(name).to_have_text(TOKENS[token])
    view.click(tiny.python("features[0]"))
    expect(view.label).to_have_value(IMAGE)
    expect(view.details.get_by_test_id("pinned")).to_contain_text(IMAGE)
    assert view.root.locator("script, img, iframe").count() == 0
    assert tiny.page.evaluate("window.pwned") is None
    assert dialogs.messages == []


# --- what Python answers ----------------------------------------------------------------------------------------------


def test_an_answer_that_fails_is_shown_and_the_next_one_works(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, max_edges=10)")
    first, second, third = tiny.python("features[:3]")
    notice = view.details.get_by_role("alert")
    view.click(first)
    view.show_all_edges_of(tiny, first)
    tiny.execute(
        "class Broken:\n"
        "    def __getattr__(self, name): raise InterventionError('the disk is <b>full</b>')\n"
        "sound, explorer._graph = explorer._graph, Broken()"
    )
    view.click(second)
    expect(notice).to_contain_text(f"The connections of {second} could not be had: the disk is <b>full</b>")
    # The edges that came with the widget are there all the same.
    view.show_details_of(second)
    expect(view.details.get_by_test_id("source")).to_contain_text("10 strongest edges")
    # What Python answered before is still known; a new click asks again.
    view.click(first)
    expect(notice).to_have_count(0)
    tiny.execute("explorer._graph = sound")
    view.show_all_edges_of(tiny, first)
    view.click(second)
    view.show_all_edges_of(tiny, second)
    expect(notice).to_have_count(0)
    # A defect has no sentence of its own; it is shown, too.
    tiny.execute("explorer._graph = None")
    view.click(third)
    expect(notice).to_contain_text("AttributeError: 'NoneType' object")
    tiny.execute("explorer._graph = sound")


def test_clicks_while_a_cell_runs_are_answered_and_leave_its_output_alone(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, max_edges=10)")
    first, second = tiny.python("features[:2]")
    tiny.write_cell(2, "time.sleep(3); print('slept')")
    tiny.start_cell(2)
    view.click(first)
    view.click(second)
    view.show_details_of(second)
    view.label.fill("named while busy")
    view.label.press("Enter")
    tiny.wait_until_run()
    tiny.wait_for_python("explorer.labels == {features[1]: 'named while busy'}")
    assert tiny.python("explorer.selected_ids") == [second]
    view.show_all_edges_of(tiny, second)
    (output,) = tiny.cell_output(2)
    assert output["text"] == "slept\n"


def test_a_slow_connection_does_not_draw_the_pointer_back(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    tiny.execute(
        "def slow(state):\n"
        "    time.sleep(0.15)\n"
        "    type(explorer).set_state(explorer, state)\n"
        "explorer.set_state, explorer.selected = slow, 't/0'"
    )
    view.show_details_of("t/0")
    # A step whenever Python's answer to the step before is about to come.
    places = view.root.evaluate(
        """async root => {
            const [tip, canvas] = ['tooltip', 'graph-canvas'].map(id => root.querySelector(`[data-testid="${id}"]`));
            const places = [];
            const look = () => {
                const place = Number(tip.textContent.match(/position (\\d+)/)?.[1] ?? 0);
                if (place !== places.at(-1)) places.push(place);
            };
            new MutationObserver(look).observe(tip, { childList: true, subtree: true });
            for (let step = 0; step < 5; step += 1) {
                canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
                await new Promise(resolve => setTimeout(resolve, 205));
            }
            return places;
        }"""
    )
    assert places == [1, 2, 3, 4, 5]
    tiny.wait_for_python("explorer.hovered_id == 't/5'")


# --- more than one view, other themes, other sizes --------------------------------------------------------------------


def test_a_widget_shown_twice_is_one_widget(tiny: Lab) -> None:
    one = ExplorerView.shown_by(tiny, "bench.explore(graph, max_edges=10)")
    other = ExplorerView.shown_by(tiny, "explorer", cell=2)
    first, second = tiny.python("features[:2]")
    one.click(first)
    one.show_all_edges_of(tiny, first)
    other.show_all_edges_of(tiny, first)
    other.click(second, "Shift")
    one.show_details_of(second)
    assert one.chips("selected") == [first, second]
    other.label.fill("one name")
    other.label.press("Enter")
    expect(one.label).to_have_value("one name")
    one.threshold.press("Home")
    expect(other.threshold).to_have_value("0")
    expect(other.root).to_have_attribute("data-nodes", str(one.root.get_attribute("data-nodes")))
    tiny.wait_for_python(f"explorer.selected_ids == {[first, second]!r} and explorer.node_threshold == 0")
    # One view goes, the other stays at work.
    tiny.write_cell(2, "None")
    tiny.run_cell(2)
    expect(other.root).to_have_count(0)
    one.canvas.press("Escape")
    tiny.wait_for_python("explorer.selected_ids == []")
    one.click("t/1")
    one.show_all_edges_of(tiny, "t/1")


def test_a_cell_that_is_run_again_shows_a_fresh_widget(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = tiny.python("features[:1]")
    view.click(node)
    view.threshold.press("Home")
    tiny.wait_for_python(f"explorer.selected_ids == {[node]!r} and explorer.node_threshold == 0")
    tiny.run_cell(1)
    fresh = ExplorerView.of(tiny.widget(1))
    expect(tiny.output(1).get_by_test_id("graph-explorer")).to_have_count(1)
    fresh.show_details_of("")
    expect(fresh.threshold).to_have_value("80")
    fresh.click(node)
    tiny.wait_for_python(f"explorer.selected_ids == {[node]!r} and explorer.node_threshold == 0.8")


def test_a_closed_widget_disappears_without_a_complaint(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    other = ExplorerView.shown_by(tiny, "explorer", cell=2)
    (node,) = tiny.python("features[:1]")
    view.click(node)
    other.hover(node)
    tiny.execute("explorer.close()")
    expect(view.root).to_have_count(0)
    expect(other.root).to_have_count(0)
    # What a view listens to while it lives.
    tiny.set_theme("dark")
    tiny.page.set_viewport_size({"width": 1100, "height": 800})
    tiny.page.set_viewport_size({"width": 1280, "height": 900})
    tiny.set_theme("light")


def test_the_graph_is_redrawn_in_the_colours_of_the_theme(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    view.click(tiny.python("features[0]"))
    view.leave()
    expect(view.tooltip).to_be_hidden()
    tiny.wait_for_python("explorer.hovered_id is None")
    light = view.pixels()
    assert view.brightness == 255
    try:
        tiny.set_theme("dark")
        expect(view.root).to_have_attribute("data-theme", "dark")
        assert view.brightness < 60
        # Frame, edges, nodes and selection; the layers above them may be empty.
        dark = view.pixels()
        assert all(now != before for now, before in list(zip(dark, light, strict=True))[:4])
        # A view that is made under the dark theme looks like one that lived through the change.
        other = ExplorerView.shown_by(tiny, "explorer", cell=2)
        expect(other.root).to_have_attribute("data-theme", "dark")
        other.wait_for_pixels(dark, same=True)
    finally:
        tiny.set_theme("light")
    expect(view.root).to_have_attribute("data-theme", "light")
    view.wait_for_pixels(light, same=True)


def test_in_a_narrow_window_the_details_stand_below_the_graph(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    (node,) = tiny.python("features[:1]")
    tiny.page.set_viewport_size({"width": 820, "height": 900})
    try:
        expect(view.root).to_have_attribute("data-size", "narrow")
        view.click(node)
        tiny.wait_for_python(f"explorer.selected_ids == {[node]!r}")
        canvas, details = view.canvas.bounding_box(), view.details.bounding_box()
        assert canvas is not None
        assert details is not None
        assert details["y"] >= canvas["y"] + canvas["height"] - 1
        assert view.place(node)["x"] < canvas["width"]
    finally:
        tiny.page.set_viewport_size({"width": 1280, "height": 900})
    expect(view.root).to_have_attribute("data-size", "wide")


# --- without the kernel -----------------------------------------------------------------------------------------------


def test_after_a_restart_the_graph_stays_and_says_that_nobody_answers(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, max_edges=10)")
    first, second, third = tiny.python("features[:3]")
    view.click(first)
    view.show_all_edges_of(tiny, first)
    known = view.rows("incoming")
    # The question that is on its way when the kernel goes gets no answer any more.
    tiny.execute("explorer._answers._methods['connections'] = lambda params: time.sleep(600)")
    view.click(third)
    view.show_details_of(third)
    source = view.details.get_by_test_id("source")
    expect(source).to_contain_text("Asking Python")
    tiny.restart_kernel()
    expect(source).to_contain_text("No kernel to ask")
    # What the widget itself holds, it still shows.
    nodes = str(view.root.get_attribute("data-nodes"))
    view.hover(second)
    expect(view.tooltip).to_contain_text("Feature")
    view.click(second)
    view.show_details_of(second)
    expect(source).to_contain_text("No kernel to ask")
    expect(view.details.get_by_role("alert")).to_have_count(0)
    view.click(first, "Shift")
    assert view.chips("selected") == [second, first]
    assert view.rows("incoming") == known
    view.label.fill("a name for nobody")
    view.label.press("Enter")
    expect(view.label).to_have_value("a name for nobody")
    view.threshold.press("Home")
    expect(view.root).not_to_have_attribute("data-nodes", nodes)
    assert tiny.python("'explorer' in globals()") is False


def test_a_saved_notebook_shows_the_selection_that_was_made(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    first, second = tiny.python("features[:2]")
    view.click(first)
    view.click(second, "Shift")
    view.click("t/1", "ControlOrMeta")
    view.label.fill("kept")
    view.label.press("Enter")
    view.threshold.press("Home")
    tiny.wait_for_python(f"explorer.labels == {{{second!r}: 'kept'}} and explorer.node_threshold == 0")
    tiny.write_cell(2, "None")
    tiny.run_cell(2)
    tiny.save_widgets_too(True)
    saved = tiny.save()
    tiny.save_widgets_too(False)
    tiny.server.stop_kernels()
    tiny.open_notebook(saved)
    stored = ExplorerView.of(tiny.widget(1))
    stored.show_details_of(second)
    assert stored.chips("selected") == [first, second]
    assert stored.chips("pinned") == ["t/1"]
    expect(stored.label).to_have_value("kept")
    expect(stored.threshold).to_have_value("0")
    stored.click(first)
    stored.show_details_of(first)
    assert stored.rows("incoming")
    assert tiny.python("'explorer' in globals()") is False
