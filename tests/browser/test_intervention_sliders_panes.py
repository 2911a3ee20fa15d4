"""Links, undo, controls, sweeps, and sliders that come and go: in a cell of a real JupyterLab, both ways."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from workbench.benchmarks.browser.lab import Lab

from .test_intervention_sliders import OWN_RUN, SLIDERS_OF_RUN, check_bars, nodes
from .views import Dialogs, ExplorerView, SlidersView

SLIDERS = "bench.sliders(graph, nodes=features[:2], supernodes={'Pair': features[2:4]})"


def test_a_supernode_named_in_the_explorer_gets_a_slider(tiny: Lab) -> None:
    ExplorerView.shown_by(tiny)
    tiny.execute("explorer.supernodes = {'<b>Pair</b>': features[2:4]}")
    view = SlidersView.shown_by(tiny, "bench.sliders(graph, supernodes=explorer.supernodes)", cell=2)
    name = "s/<b>Pair</b>"
    expect(view.row(name)).to_contain_text("2 features<b>Pair</b>")
    view.row(name).get_by_role("button", name="ablate").click()
    tiny.wait_for_python("[edit.node_id for edit in sliders.edits] == features[2:4]")
    check_bars(tiny, view)
    tiny.execute("sliders.values = {'s/<b>Pair</b>': -2}")
    expect(view.slider(name)).to_have_value("-2")
    check_bars(tiny, view)


def test_linked_sliders_move_together_and_undo_takes_it_back(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    view.tool(first, "Link").press("Enter")
    view.tool(second, "Link").press("Enter")
    tiny.wait_for_python("sliders.links == [features[:2]]")
    view.drag(second, -2, -3)
    value = view.slider(second).input_value()
    expect(view.slider(first)).to_have_value(value)
    tiny.wait_for_python(f"sliders.values[features[0]] == sliders.values[features[1]] == {value}")
    check_bars(tiny, view)
    # A whole drag is one step, by button and by key.
    view.root.get_by_test_id("undo").click()
    tiny.wait_for_python("sliders.edits == [] and sliders.links == [features[:2]]")
    expect(view.slider(first)).to_have_value("1")
    view.slider(first).press("Control+Shift+z")
    tiny.wait_for_python(f"sliders.values[features[0]] == {value}")
    # What Python does is a step, too.
    tiny.execute("sliders.links = []\nsliders.values = {features[0]: 4}")
    expect(view.slider(second)).to_have_value("1")
    view.tool(first, "Link").focus()
    tiny.page.keyboard.press("Control+z")
    tiny.wait_for_python(f"sliders.values[features[1]] == {value}")
    check_bars(tiny, view)


def test_a_matched_control_stands_beside_the_effect_after_one_click(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, _ = nodes(tiny)
    view.drag(first, -4)
    view.root.get_by_test_id("control").check()
    tiny.wait_for_python("sliders.control_seed == 0 and sliders.result['control_seed'] == 0")
    check_bars(tiny, view)
    facts = view.root.get_by_test_id("control-facts")
    expect(facts).to_contain_text(tiny.python("sliders.result['control']['ids'][0]"))
    shown = view.bars.evaluate_all("rows => rows.map(row => Number(row.dataset.control))")
    assert shown == pytest.approx(tiny.python("sliders.tokens['control'].tolist()"))
    view.root.get_by_test_id("another").click()
    tiny.wait_for_python("sliders.result['control_seed'] == 1")
    tiny.execute("sliders.control_seed = None")
    expect(facts).to_be_hidden()
    expect(view.root.get_by_test_id("control")).not_to_be_checked()


def test_the_features_that_changed_are_listed_and_follow_the_sliders(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    # The first is in the last layer, which has nothing downstream.
    _, second = nodes(tiny)
    view.show_pane("features")
    rows = view.root.get_by_test_id("changes").locator("tbody tr")
    expect(view.root.get_by_test_id("changes-about")).to_have_text("No feature downstream has changed.")
    view.slider(second).press("Home")
    expect(rows.first).to_be_visible()
    tiny.wait_for_python("sliders.knock_on['values'] == sliders.values")
    ids = rows.evaluate_all("rows => rows.map(row => row.dataset.id)")
    assert ids == tiny.python("sliders.features['node_id'].head(40).tolist()")
    tiny.execute("sliders.pane = 'tokens'")
    expect(view.bars.first).to_be_visible()
    check_bars(tiny, view)


def test_a_sweep_is_drawn_and_is_what_python_has(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    view.tool(first, "Sweep").click()
    curve = view.root.get_by_test_id("curve")
    expect(curve).to_have_attribute("data-state", "done", timeout=60_000)
    expect(curve.locator("path.curve-line")).to_have_count(tiny.python("len(sliders.curve['tokens'])"))
    assert tiny.python("sorted(sliders.curve_table['factor'].unique().tolist())") == [
        step / 2 for step in range(-10, 11)
    ]
    curve.get_by_text("As a table").click()
    expect(curve.locator("tbody tr")).to_have_count(21)
    tiny.execute("sliders.sweep('s/Pair', [-1, 0, 1])")
    expect(curve.locator(".curve-axis")).to_have_text("factor of Pair")
    expect(curve.locator("tbody tr")).to_have_count(3)
    # The curve is of the other sliders' values.
    view.slider(second).press("Home")
    expect(view.root.get_by_test_id("sweep-status")).to_have_text("of earlier values of the other sliders")


def test_a_sweep_can_be_cancelled_and_the_sliders_move_meanwhile(tiny: Lab) -> None:
    tiny.execute(f"{OWN_RUN}\ndef trouble(edits): time.sleep(0.3)")
    view = SlidersView.shown_by(tiny, SLIDERS_OF_RUN)
    first, second = nodes(tiny)
    view.tool(first, "Sweep").click()
    status = view.root.get_by_test_id("sweep-status")
    expect(status).to_contain_text("of 21")
    view.slider(second).press("Home")
    tiny.wait_for_python("sliders.answered['values'][features[1]] == -5")
    assert tiny.python("sliders.curve['state']") == "running"
    view.root.get_by_test_id("cancel").click()
    expect(status).to_contain_text("stopped after")
    assert 0 < tiny.python("len(sliders.curve['factors'])") < 21
    tiny.wait_for_python("sliders._worker.idle")


def test_sliders_are_added_by_what_is_written_and_removed(tiny: Lab) -> None:
    dialogs = Dialogs(tiny.page)
    view = SlidersView.shown_by(tiny, SLIDERS)
    _, second = nodes(tiny)
    third = tiny.python("features[4]")
    field = view.root.get_by_test_id("add")
    field.press_sequentially(third)
    expect(view.root.locator(f'option[value="{third}"]')).to_have_count(1)
    field.press("Enter")
    expect(view.row(third)).to_be_visible()
    tiny.wait_for_python("list(sliders.values) == [*features[:2], 's/Pair', features[4]]")
    field.fill("f/9/9/9")
    field.press("Enter")
    expect(view.notice).to_contain_text("The graph has no node 'f/9/9/9'")
    view.slider(third).press("Home")
    tiny.wait_for_python("sliders.values[features[4]] == -5")
    view.tool(third, "Remove").click()
    expect(view.row(third)).to_have_count(0)
    tiny.wait_for_python("sliders.edits == []")
    tiny.execute("sliders.remove(features[1])\nsliders.add(features[5])")
    expect(view.row(second)).to_have_count(0)
    expect(view.row(tiny.python("features[5]"))).to_be_visible()
    check_bars(tiny, view)
    assert dialogs.messages == []


def test_the_call_is_copied_and_gives_what_is_shown(tiny: Lab) -> None:
    tiny.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, _ = nodes(tiny)
    view.row(first).get_by_role("button", name="invert").click()
    view.slider("s/Pair").press("Home")
    tiny.wait_for_python("sliders.edits[-1].factor == -5 and sliders.answered == sliders.asked.wire()")
    view.settle()
    view.root.get_by_test_id("copy").click()
    expect(view.root.get_by_test_id("copy")).to_have_text("Copied")
    call = tiny.page.evaluate("navigator.clipboard.readText()")
    assert tiny.python(f"list(({call}).edits) == sliders.edits")


def test_a_hundred_quick_movements_end_on_the_last_value_while_a_cell_runs(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    tiny.write_cell(2, "for step in range(6):\n    time.sleep(0.5)\n    print(step)")
    tiny.start_cell(2)
    view.drag(first, *(1 + 4 * (step % 10) / 10 for step in range(50)), -2)
    for _ in range(50):
        view.slider(second).press("ArrowLeft")
    value = float(view.slider(first).input_value())
    tiny.wait_until_run()
    (output,) = tiny.cell_output(2)
    assert output["text"] == "0\n1\n2\n3\n4\n5\n"
    tiny.wait_for_python(f"dict(sliders.values) == {{features[0]: {value}, features[1]: -4.0, 's/Pair': 1.0}}")
    check_bars(tiny, view)
    # Nothing is left to be done.
    tiny.wait_for_python("sliders._worker.idle and not sliders.running")
    tiny.wait_until_idle()


def test_a_stored_notebook_shows_the_pane_that_was_left(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, _ = nodes(tiny)
    view.tool(first, "Sweep").click()
    curve = view.root.get_by_test_id("curve")
    expect(curve).to_have_attribute("data-state", "done", timeout=60_000)
    lines = curve.locator("path.curve-line").count()
    tiny.save_widgets_too(True)
    saved = tiny.save()
    tiny.save_widgets_too(False)
    tiny.server.stop_kernels()
    tiny.open_notebook(saved)
    stored = SlidersView.of(tiny.widget(1))
    expect(stored.root.get_by_test_id("curve").locator("path.curve-line")).to_have_count(lines)
    expect(stored.root.get_by_test_id("sweep")).to_be_disabled()
    expect(stored.root.get_by_test_id("undo")).to_be_disabled()
    expect(stored.root.get_by_test_id("copy")).to_be_enabled()
    stored.show_pane("tokens")
    expect(stored.bars.first).to_be_visible()
