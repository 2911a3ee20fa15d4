"""Sliders on activations in a cell of a real JupyterLab: what is seen, what Python holds, what the model says."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from workbench.benchmarks.browser.lab import KernelError, Lab

from .strange import IMAGE, TOKENS
from .views import Dialogs, ExplorerView, SlidersView

SLIDERS = "bench.sliders(graph, nodes=features[:2])"
# The same with a run of the test's own, which may be slow or fail.
OWN_RUN = """
from workbench.widgets import InterventionSliders

runs = []

def run(edits, mode):
    runs.append([edit.factor for edit in edits])
    trouble(edits)
    return bench.intervene(graph, edits, mode=mode)
"""
SLIDERS_OF_RUN = "InterventionSliders(graph.select(features[:2]), run, prompt=graph.prompt)"


def nodes(lab: Lab) -> tuple[str, str]:
    """Return the two nodes that have sliders."""
    first, second = lab.python("features[:2]")
    return first, second


def check_bars(lab: Lab, view: SlidersView) -> None:
    """Wait for the last result, and check that its bars are what the model gives for the values that stand."""
    lab.wait_for_python("sliders.answered == sliders.asked.wire()")
    view.settle()
    lab.execute("said = bench.intervene(graph, sliders.edits, mode=sliders.mode, k=50).tokens")
    truth = dict(lab.python("said[['token_id', 'after']].values.tolist()"))
    shown = view.after()
    assert len(shown) >= 10
    assert shown == pytest.approx({token_id: truth[token_id] for token_id in shown}, abs=1e-6)


# --- moving a slider --------------------------------------------------------------------------------------------------


def test_a_slider_dragged_by_mouse_gives_its_value_and_new_bars(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    check_bars(tiny, view)
    clean = view.after()
    view.drag(first, 2, 3, 4)
    value = float(view.slider(first).input_value())
    assert 3.5 < value < 4.5
    tiny.wait_for_python(f"dict(sliders.values) == {{features[0]: {value}, features[1]: 1.0}}")
    check_bars(tiny, view)
    assert view.after() != clean
    expect(view.field(first)).to_have_value(f"{value:g}")
    # Beyond the end of the scale is its end.
    view.drag(first, -4, -9)
    tiny.wait_for_python(f"dict(sliders.values) == {{{first!r}: -5, {second!r}: 1}}")
    check_bars(tiny, view)


def test_a_slider_moves_by_keyboard_and_no_key_reaches_the_notebook(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    before = tiny.look_of_cells()
    slider = view.slider(second)
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    tiny.wait_for_python(f"dict(sliders.values) == {{{first!r}: 1, {second!r}: 0.7}}")
    check_bars(tiny, view)
    for key, value in (("Home", -5), ("ArrowUp", -4.9), ("End", 5), ("ArrowDown", 4.9)):
        slider.press(key)
        tiny.wait_for_python(f"sliders.values[{second!r}] == {value}")
    for element in (slider, view.field(second), view.mode("propagated"), view.reset):
        element.focus()
        for key in ("b", "a", "d", "d", "x", "z", "m", "j", "Shift+M", "Escape", "ArrowDown", "ArrowUp"):
            tiny.page.keyboard.press(key)
        assert tiny.look_of_cells() == before


def test_fifty_quick_movements_end_on_the_last_value(tiny: Lab) -> None:
    tiny.execute(f"{OWN_RUN}\ndef trouble(edits): time.sleep(0.1)")
    view = SlidersView.shown_by(tiny, SLIDERS_OF_RUN)
    first, _ = nodes(tiny)
    tiny.execute("runs.clear()")
    view.drag(first, *(1 + 4 * (step % 10) / 10 for step in range(49)), -2)
    value = float(view.slider(first).input_value())
    assert -2.5 < value < -1.5
    check_bars(tiny, view)
    assert tiny.python("sliders.values[features[0]]") == value
    # Newest wins: the last run is of the last value, and most of those on the way were never run.
    assert tiny.python("runs[-1]") == [value]
    assert tiny.python("len(runs)") < 40
    tiny.execute("runs.clear()")
    for _ in range(50):
        view.slider(first).press("ArrowRight")
    tiny.wait_for_python(f"round(sliders.values[features[0]], 3) == {round(value + 5, 3)}")
    check_bars(tiny, view)
    assert tiny.python("runs[-1]") == [round(value + 5, 3)]


def test_numbers_are_typed_and_what_is_none_is_set_right(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, _ = nodes(tiny)
    field = view.field(first)
    field.fill("-2.5")
    tiny.wait_for_python("sliders.values[features[0]] == -2.5")
    expect(view.slider(first)).to_have_value("-2.5")
    field.fill("99")
    field.press("Tab")
    expect(field).to_have_value("5")
    tiny.wait_for_python("sliders.values[features[0]] == 5")
    for nothing in ("", "-", "e", "."):
        field.fill("")
        field.press_sequentially(nothing)
        field.blur()
        expect(field).to_have_value("5")
    assert tiny.python("sliders.values[features[0]]") == 5
    check_bars(tiny, view)


def test_buttons_ablate_invert_and_lead_back_to_the_clean_run(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    clean = view.after()
    for name, factor in (("ablate", 0), ("invert", -1), ("clean", 1), ("ablate", 0)):
        button = view.row(first).get_by_role("button", name=name)
        button.click()
        tiny.wait_for_python(f"sliders.values[features[0]] == {factor}")
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(view.slider(first)).to_have_value(str(factor))
    check_bars(tiny, view)
    view.drag(second, 4)
    expect(view.reset).to_have_text("Reset all (2)")
    view.reset.click()
    tiny.wait_for_python("sliders.edits == []")
    for node in (first, second):
        expect(view.slider(node)).to_have_value("1")
    expect(view.reset).to_be_disabled()
    check_bars(tiny, view)
    assert view.after() == clean


def test_the_mode_is_switched_by_mouse_and_by_keyboard(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS.replace(")", ", values={features[0]: -4})", 1))
    check_bars(tiny, view)
    propagated = view.after()
    view.mode("direct").check()
    tiny.wait_for_python("sliders.mode == 'direct'")
    check_bars(tiny, view)
    assert view.after() != propagated
    view.mode("direct").press("ArrowLeft")
    tiny.wait_for_python("sliders.mode == 'propagated'")
    expect(view.mode("propagated")).to_be_checked()
    check_bars(tiny, view)
    assert view.after() == propagated


# --- Python sets, the view follows ------------------------------------------------------------------------------------


def test_values_set_from_python_move_the_sliders(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    tiny.execute("sliders.values = {features[0]: -2.5}")
    expect(view.slider(first)).to_have_value("-2.5")
    expect(view.field(first)).to_have_value("-2.5")
    check_bars(tiny, view)
    tiny.execute("sliders.values = {features[1]: 0}\nsliders.mode = 'direct'")
    expect(view.slider(first)).to_have_value("1")
    expect(view.slider(second)).to_have_value("0")
    expect(view.mode("direct")).to_be_checked()
    check_bars(tiny, view)
    for wrong, message in (
        ("sliders.values = {features[0]: 99}", "from -5 to 5"),
        ("sliders.values = {'f/9/9/9': 1}", "no slider for f/9/9/9"),
        ("sliders.values = {features[0]: float('nan')}", "nan"),
        ("sliders.mode = 'sideways'", "no mode 'sideways'"),
    ):
        with pytest.raises(KernelError, match=message):
            tiny.execute(wrong)
    check_bars(tiny, view)
    expect(view.slider(second)).to_have_value("0")
    tiny.execute("sliders.reset()")
    expect(view.slider(second)).to_have_value("1")
    check_bars(tiny, view)


def test_what_the_explorer_has_selected_gets_sliders(tiny: Lab) -> None:
    first, second = nodes(tiny)
    explorer = ExplorerView.shown_by(tiny)
    explorer.click("t/1")
    explorer.click(first, "Shift")
    explorer.click(second, "Shift")
    explorer.label.fill("named in the graph")
    explorer.label.press("Enter")
    tiny.wait_for_python("explorer.labels == {features[1]: 'named in the graph'}")
    view = SlidersView.shown_by(tiny, "bench.sliders(graph, nodes=explorer.selected)", cell=2)
    # A token has no activation to scale.
    assert tiny.python("list(sliders.values)") == [first, second]
    expect(view.row(second)).to_contain_text("named in the graph")
    check_bars(tiny, view)


def test_text_of_any_kind_is_shown_as_text(tiny: Lab) -> None:
    dialogs = Dialogs(tiny.page)
    tiny.execute(
        f"{OWN_RUN}\n"
        "strange = with_strange_text(graph)\n"
        "def run(edits, mode):\n"
        "    outcome = bench.intervene(graph, edits, mode=mode)\n"
        "    rows = range(len(outcome.tokens))\n"
        f"    outcome.tokens['token'] = [{list(TOKENS)!r}[row % {len(TOKENS)}] for row in rows]\n"
        "    return outcome"
    )
    view = SlidersView.shown_by(tiny, "InterventionSliders(strange.select(features[:2]), run, prompt=strange.prompt)")
    first, _ = nodes(tiny)
    expect(view.row(first)).to_contain_text(IMAGE)
    tiny.execute("sliders.values = {features[0]: 3}")
    view.settle()
    texts = view.bars.locator(".wb-token").all_text_contents()
    assert len(texts) >= len(TOKENS)
    # Long ones are cut.
    assert all(shown.startswith(text.rstrip("…")) for shown, text in zip(TOKENS.values(), texts, strict=False))
    assert view.root.locator("script, img, iframe").count() == 0
    assert tiny.page.evaluate("window.pwned") is None
    assert dialogs.messages == []


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_slider_moved_while_a_cell_runs_ends_on_its_last_value(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    tiny.write_cell(2, "for second in range(4):\n    time.sleep(1)\n    print(second)")
    tiny.start_cell(2)
    view.drag(first, 2, 3, -3)
    view.slider(second).press("Home")
    value = float(view.slider(first).input_value())
    tiny.wait_until_run()
    tiny.wait_for_python(f"dict(sliders.values) == {{{first!r}: {value}, {second!r}: -5}}")
    check_bars(tiny, view)
    (output,) = tiny.cell_output(2)
    assert output["text"] == "0\n1\n2\n3\n"


def test_an_intervention_that_fails_is_shown_and_the_sliders_work_on(tiny: Lab) -> None:
    tiny.execute(
        f"{OWN_RUN}\n"
        "def trouble(edits):\n"
        "    for edit in edits:\n"
        "        if edit.factor < -4.5: raise InterventionError('Not <b>that</b> far: stay above -4.5.')\n"
        "        if edit.factor > 4.5: raise ZeroDivisionError('a defect')"
    )
    view = SlidersView.shown_by(tiny, SLIDERS_OF_RUN)
    first, second = nodes(tiny)
    slider = view.slider(first)
    view.drag(first, 3)
    check_bars(tiny, view)
    good = view.after()
    slider.press("Home")
    expect(view.notice).to_have_text("Not <b>that</b> far: stay above -4.5.")
    expect(view.root).to_have_attribute("data-phase", "failed")
    assert tiny.python("[sliders.values[features[0]], sliders.error]") == [-5, "Not <b>that</b> far: stay above -4.5."]
    # The last good bars stay, marked as such.
    assert view.after() == good
    expect(view.root.get_by_test_id("status")).to_contain_text("of the last run that worked")
    # A dismissed message comes back when it happens again.
    view.root.get_by_role("button", name="Dismiss").click()
    expect(view.notice).to_have_count(0)
    view.slider(second).press("ArrowRight")
    expect(view.notice).to_be_visible()
    slider.press("End")
    expect(view.notice).to_have_text("ZeroDivisionError: a defect")
    view.row(first).get_by_role("button", name="ablate").click()
    check_bars(tiny, view)
    expect(view.notice).to_have_count(0)
    assert tiny.python("sliders.error") == ""
    # The defect is in the log of the kernel, not in the cell.
    assert [output["output_type"] for output in tiny.cell_output(1)] == ["execute_result"]


def test_sliders_shown_twice_stay_in_step(tiny: Lab) -> None:
    one = SlidersView.shown_by(tiny, SLIDERS)
    other = SlidersView.shown_by(tiny, "sliders", cell=2)
    first, second = nodes(tiny)
    one.drag(first, -2)
    value = one.slider(first).input_value()
    expect(other.slider(first)).to_have_value(value)
    other.slider(second).press("Home")
    expect(one.slider(second)).to_have_value("-5")
    other.mode("direct").check()
    expect(one.mode("direct")).to_be_checked()
    check_bars(tiny, one)
    check_bars(tiny, other)
    assert one.after() == other.after()
    tiny.write_cell(2, "None")
    tiny.run_cell(2)
    expect(other.root).to_have_count(0)
    one.reset.click()
    tiny.wait_for_python("sliders.edits == []")
    check_bars(tiny, one)


def test_sliders_follow_the_theme_and_disappear_when_they_are_closed(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    expect(view.root).to_have_attribute("data-theme", "light")
    try:
        tiny.set_theme("dark")
        expect(view.root).to_have_attribute("data-theme", "dark")
    finally:
        tiny.set_theme("light")
    tiny.execute("sliders.close()")
    expect(view.root).to_have_count(0)


def test_after_a_restart_the_sliders_are_off_and_the_bars_can_be_read(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    view.drag(first, -3)
    check_bars(tiny, view)
    bars, value = view.after(), view.slider(first).input_value()
    tiny.restart_kernel()
    expect(view.notice).to_contain_text("no kernel")
    expect(view.notice).to_contain_text("run this cell")
    for node in (first, second):
        expect(view.slider(node)).to_be_disabled()
        expect(view.field(node)).to_be_disabled()
    expect(view.reset).to_be_disabled()
    expect(view.mode("direct")).to_be_disabled()
    view.drag(first, 4)
    expect(view.slider(first)).to_have_value(value)
    assert view.after() == bars
    expect(view.bars.first).to_be_visible()
    # The same cells again, and everything works again.
    tiny.run_cell(0)
    fresh = SlidersView.shown_by(tiny, SLIDERS)
    fresh.drag(first, 2)
    check_bars(tiny, fresh)


def test_a_stored_result_is_there_before_a_cell_is_run(tiny: Lab) -> None:
    view = SlidersView.shown_by(tiny, SLIDERS)
    first, second = nodes(tiny)
    view.drag(first, -3)
    view.mode("direct").check()
    check_bars(tiny, view)
    bars, value = view.after(), view.slider(first).input_value()
    tiny.write_cell(2, "None")
    tiny.run_cell(2)
    tiny.save_widgets_too(True)
    saved = tiny.save()
    tiny.save_widgets_too(False)
    tiny.server.stop_kernels()
    tiny.open_notebook(saved)
    stored = SlidersView.of(tiny.widget(1))
    expect(stored.bars).to_have_count(len(bars))
    assert stored.after() == pytest.approx(bars)
    expect(stored.slider(first)).to_have_value(value)
    expect(stored.mode("direct")).to_be_checked()
    expect(stored.notice).to_contain_text("run this cell")
    for node in (first, second):
        expect(stored.slider(node)).to_be_disabled()
    assert tiny.python("'sliders' in globals()") is False
