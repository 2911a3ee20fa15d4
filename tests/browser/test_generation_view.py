"""Clean and steered text in a cell of a real JupyterLab: how it grows, what a token tells, another seed, stopping."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from workbench.benchmarks.browser.lab import KernelError, Lab

from .strange import IMAGE
from .views import Dialogs, GenerationTexts

STEER = """
at = graph.select(features[:1]).iloc[0]
steer = [wb.Edit.everywhere(int(at["layer"]), int(at["feature"]), add=40)]
"""
VIEW = "bench.steer(graph, steer, max_new_tokens={n}, stop_at_end=False)"
# A text that grows as slowly as that of a large model.
SLOW = """
from workbench.widgets.generation_view import GenerationView, Settings

class Slow:
    def __init__(self, generating): self.generating = generating
    def __iter__(self):
        for token in self.generating:
            time.sleep(0.4)
            yield token
    def cancel(self): self.generating.cancel()
    @property
    def result(self): return self.generating.result

def slowly(settings):
    return Slow(bench.stream(graph, steer, stop_at_end=False, **settings._asdict()))
"""


@pytest.fixture
def steered(tiny: Lab) -> Lab:
    """The notebook with ``steer``, edits that change the text."""
    tiny.execute(STEER)
    return tiny


def test_both_texts_are_what_python_has_and_where_they_part_is_marked(steered: Lab) -> None:
    texts = GenerationTexts.shown_by(steered, VIEW.format(n=6))
    texts.settle()
    steered.execute("said = bench.generate(graph, steer, max_new_tokens=6, stop_at_end=False)")
    for run in ("clean", "steered"):
        expect(texts.tokens(run)).to_have_count(6)
        ids = [token["id"] for token in steered.python(f"view.texts[{run!r}]")]
        assert ids == steered.python(f"list(said.{run}.token_ids)")
    parts = steered.python("view.parts_at")
    expect(texts.root.get_by_test_id("parts")).to_have_text(f"The texts part at step {parts + 1}.")
    for run in ("clean", "steered"):
        expect(texts.token(run, parts)).to_have_attribute("data-parts", "")
    expect(texts.root.get_by_test_id("facts")).to_have_text("the most probable token each time")


def test_a_token_tells_its_alternatives_by_mouse_and_by_keyboard_and_is_chosen_both_ways(steered: Lab) -> None:
    texts = GenerationTexts.shown_by(steered, VIEW.format(n=6))
    texts.settle()
    before = steered.look_of_cells()
    texts.token("steered", 2).hover()
    expect(texts.tip.locator(".wb-tip-row")).to_have_count(5)
    expect(texts.tip).to_contain_text("the clean model gives it")
    steered.page.mouse.move(0, 0)
    expect(texts.tip).to_be_hidden()
    texts.token("clean", 0).focus()
    texts.token("clean", 0).press("ArrowRight")
    expect(texts.token("clean", 1)).to_be_focused()
    expect(texts.tip).to_be_visible()
    for key in ("b", "a", "d", "d", "x", "End", "Home", "Escape"):
        steered.page.keyboard.press(key)
    assert steered.look_of_cells() == before
    texts.token("clean", 0).press("Enter")
    steered.wait_for_python("view.chosen == ('clean', 0)")
    place = texts.root.get_by_test_id("steered-place")
    expect(place.locator("tbody tr")).to_have_count(5)
    steered.execute("view.chosen = ('steered', 3)")
    expect(texts.token("steered", 3)).to_have_attribute("aria-selected", "true")
    expect(place).to_contain_text("At step 4")
    ids = place.locator("tbody tr").evaluate_all("rows => rows.map(row => Number(row.dataset.tokenId))")
    assert ids == steered.python("view.alternatives['token_id'].tolist()")
    texts.token("steered", 3).click()
    steered.wait_for_python("view.chosen is None")
    expect(place).to_be_hidden()


def test_the_text_grows_is_stopped_and_begins_anew(steered: Lab) -> None:
    steered.execute(SLOW)
    texts = GenerationTexts.shown_by(steered, "GenerationView(slowly, settings=Settings(max_new_tokens=20))")
    expect(texts.root).to_have_attribute("data-phase", "running")
    expect(texts.tokens("steered").nth(1)).to_be_visible()
    # The kernel is free meanwhile: the text grows on a thread of its own.
    assert steered.python("view.running")
    texts.stop.click()
    texts.settle()
    expect(texts.root.locator("[data-run=clean] h3")).to_contain_text("stopped")
    assert 0 < steered.python("len(view.texts['clean'])") < 20
    expect(texts.stop).to_be_disabled()
    texts.root.get_by_test_id("max_new_tokens").fill("3")
    texts.root.get_by_test_id("temperature").fill("2")
    texts.root.get_by_test_id("seed").fill("5")
    texts.root.get_by_test_id("seed").press("Tab")
    steered.wait_for_python("view.settings == (5, 2.0, 3)")
    texts.start.click()
    steered.wait_for_python("view.made.get('seed') == 5 and not view.running")
    texts.settle()
    expect(texts.tokens("clean")).to_have_count(3)
    expect(texts.root.get_by_test_id("facts")).to_have_text("drawn at temperature 2, seed 5")
    first = steered.python("[token['id'] for token in view.texts['steered']]")
    steered.execute("view.seed = 5\nview.start()\nview.wait()")
    assert steered.python("[token['id'] for token in view.texts['steered']]") == first
    steered.execute("view.seed = 6")
    expect(texts.root.get_by_test_id("seed")).to_have_value("6")


def test_what_fails_is_said_and_the_view_works_on(steered: Lab) -> None:
    dialogs = Dialogs(steered.page)
    steered.execute(
        f"{SLOW}\n"
        "def failing(settings):\n"
        f"    if settings.seed == 1: raise InterventionError({IMAGE!r})\n"
        "    return bench.stream(graph, steer, **settings._asdict())"
    )
    texts = GenerationTexts.shown_by(steered, "GenerationView(failing, settings=Settings(max_new_tokens=3))")
    texts.settle()
    steered.execute("view.seed = 1")
    texts.start.click()
    expect(texts.notice).to_have_text(IMAGE)
    expect(texts.tokens("clean").first).to_be_visible()
    texts.root.get_by_test_id("max_new_tokens").fill("2")
    texts.root.get_by_test_id("max_new_tokens").press("Tab")
    steered.execute("view.seed = 2")
    texts.start.click()
    texts.settle()
    expect(texts.notice).to_have_count(0)
    expect(texts.tokens("clean")).to_have_count(2)
    with pytest.raises(KernelError, match="temperature"):
        steered.execute("view.temperature = -1.0\nview.start()")
    assert texts.root.locator("img, script").count() == 0
    assert dialogs.messages == []


def test_a_stored_text_can_be_read_before_a_cell_is_run(steered: Lab) -> None:
    texts = GenerationTexts.shown_by(steered, VIEW.format(n=4))
    texts.settle()
    shown = texts.tokens("steered").all_text_contents()
    steered.save_widgets_too(True)
    saved = steered.save()
    steered.save_widgets_too(False)
    steered.server.stop_kernels()
    steered.open_notebook(saved)
    stored = GenerationTexts.of(steered.widget(1))
    assert stored.tokens("steered").all_text_contents() == shown
    expect(stored.notice).to_contain_text("run this cell")
    expect(stored.start).to_be_disabled()
    stored.token("steered", 1).hover()
    expect(stored.tip.locator(".wb-tip-row")).to_have_count(5)
    stored.token("steered", 1).click()
    expect(stored.root.get_by_test_id("clean-place")).to_be_visible()
