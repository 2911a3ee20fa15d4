"""The card of a feature in a cell of a real JupyterLab: read, relabelled, tried, steered, walked from."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .strange import CLOSING, IMAGE
from .views import Dialogs

# A feature of a random model that fires on some of its prompts, and one that never does.
CARDS = """
from browser.cards import measured, measured_card
from helpers import tiny_prompt

texts = [tiny_prompt(seed=seed) for seed in range(8)]
busiest = max(range(16), key=lambda feature: measured_card(bench, 1, feature, texts)["n_active"])
data = measured_card(bench, 1, busiest, texts)
data["upstream"] = [{"layer": 0, "feature": 3, "label": IMAGE, "twera": 0.5}]
data["downstream"] = [{"layer": 2, "feature": 9, "label": "", "twera": -0.2}]
data["bottom_logits"] = [{"token_id": 0, "token": CLOSING, "value": -1.0}]
silent = {**measured_card(bench, 1, busiest, texts[:1]), "n_active": 0, "kind": "silent", "examples": [], "label": ""}
asked = []

def try_text(text):
    asked.append(text)
    pause(text)
    return measured(bench, 1, busiest, text)

def pause(text):
    pass
"""


@pytest.fixture
def cards(tiny: Lab) -> Lab:
    """Return the notebook with the mapping ``data`` of a card and a function ``try_text``."""
    tiny.execute(f"IMAGE, CLOSING = {IMAGE!r}, {CLOSING!r}\n{CARDS}")
    return tiny


def shown_by(lab: Lab, code: str, *, cell: int = 1) -> Locator:
    """Run a cell that shows a card, which Python calls ``card`` from then on, and return its root."""
    lab.page.mouse.move(0, 0)
    lab.write_cell(cell, f"card = {code}\ncard")
    lab.run_cell(cell)
    root = lab.widget(cell).get_by_test_id("feature-card")
    expect(root).to_be_visible()
    return root


def test_a_card_shows_what_is_known_as_text(cards: Lab) -> None:
    dialogs = Dialogs(cards.page)
    root = shown_by(cards, "wb.FeatureCard(data)")
    expect(root.get_by_test_id("name")).to_have_text(f"1/{cards.python('busiest')}")
    n_active = cards.python("data['n_active']")
    expect(root.get_by_test_id("facts")).to_contain_text(f"{n_active} of ")
    expect(root.locator(".card-bars").first.locator(".card-column")).to_have_count(24)
    expect(root.get_by_text(CLOSING)).to_be_visible()
    expect(root.get_by_text(IMAGE)).to_be_visible()
    example = root.locator(".card-examples li").first
    assert example.locator(".wb-strip-token").count() == cards.python("len(data['examples'][0]['tokens'])")
    example.locator("[data-peak]").hover()
    value = cards.python("data['examples'][0]['activation']")
    text = root.get_by_test_id("tip").text_content() or ""
    assert float(text[-len(f"{value:.3g}") :]) == pytest.approx(value, rel=0.02)
    expect(root.get_by_test_id("steer")).to_be_hidden()
    expect(root.locator("textarea")).to_be_hidden()
    assert dialogs.messages == []
    assert cards.page.evaluate("window.pwned") is None


def test_label_and_neighbour_reach_python_and_python_shows_the_next(cards: Lab) -> None:
    root = shown_by(cards, "wb.FeatureCard(data)")
    before = cards.look_of_cells()
    label = root.get_by_test_id("label")
    label.fill("says b, d d and x")
    label.press("Enter")
    cards.wait_for_python("card.label == 'says b, d d and x'")
    expect(root.get_by_test_id("score")).to_have_text("label by a human, not scored")
    root.locator('[data-feature="2/9"]').focus()
    cards.page.keyboard.press("Enter")
    cards.wait_for_python("card.selected_feature == (2, 9)")
    assert cards.look_of_cells() == before
    cards.execute("card.show(measured_card(bench, 2, 9, texts))")
    expect(root.get_by_test_id("name")).to_have_text("2/9")
    cards.wait_for_python("card.selected_feature is None")
    expect(label).to_have_value(cards.python("card.label"))


def test_a_text_is_tried_while_it_is_typed_and_the_newest_wins(cards: Lab) -> None:
    root = shown_by(cards, "wb.FeatureCard(data, try_text=try_text)")
    text = cards.python("texts[0]")
    field = root.get_by_label("Try a text")
    field.fill(text)
    cards.wait_for_python(f"card.tried.get('text') == {text!r}")
    truth = cards.python("measured(bench, 1, busiest, texts[0])")
    assert cards.python("card.tried['activations']") == truth["activations"]
    tried = root.get_by_test_id("tried")
    expect(tried.locator(".wb-strip-token")).to_have_count(len(truth["tokens"]))
    expect(tried).not_to_have_attribute("data-stale", "")

    cards.execute("def pause(text): time.sleep(0.5)\nasked.clear()")
    words = text.split()
    field.press_sequentially(" ".join(["", *words[:6]]), delay=30)
    whole = field.input_value()
    cards.wait_for_python(f"card.tried['text'] == {whole!r}")
    assert cards.python("asked[-1]") == whole
    assert cards.python("len(asked)") < 6
    expect(tried.locator(".wb-strip-token")).to_have_count(cards.python("len(card.tried['tokens'])"))

    # What cannot be computed is said in one sentence, and the last result stays.
    cards.execute("def pause(text): raise wb.WorkbenchError('The prompt is too long: shorten it.')")
    field.fill("x")
    status = root.get_by_test_id("tried-status")
    expect(status).to_have_text("The prompt is too long: shorten it.")
    assert cards.python("card.tried['text']") == whole
    field.fill("")
    expect(status).to_have_text("")


def test_steering_opens_sliders_below_the_card(cards: Lab) -> None:
    steer = "lambda text: bench.sliders(graph, nodes=features[:1])"
    root = shown_by(cards, f"wb.FeatureCard(data, steer={steer})")
    root.get_by_test_id("steer").click()
    sliders = root.get_by_test_id("steering").get_by_test_id("intervention-sliders")
    expect(sliders).to_have_attribute("data-phase", "ready")
    sliders.get_by_role("button", name="ablate").click()
    cards.wait_for_python("list(card.steering.values.values()) == [0]")
    cards.execute("card.steering = None")
    expect(sliders).to_have_count(0)

    cards.execute("def broken(text): raise wb.WorkbenchError('There is no graph: attribute a prompt first.')")
    root = shown_by(cards, "wb.FeatureCard(data, steer=broken)")
    root.get_by_test_id("steer").click()
    expect(root.locator(".wb-notice-text")).to_have_text("There is no graph: attribute a prompt first.")


def test_a_silent_feature_says_that_it_never_fired(cards: Lab) -> None:
    root = shown_by(cards, "wb.FeatureCard(silent)")
    expect(root.get_by_test_id("silent")).to_contain_text("This feature is silent: it never fired on the")
    expect(root.locator(".card-examples")).to_have_count(0)


def test_a_saved_notebook_shows_the_card_without_a_kernel(cards: Lab) -> None:
    root = shown_by(cards, "wb.FeatureCard(data, try_text=try_text, steer=lambda text: None)")
    root.get_by_label("Try a text").fill(cards.python("texts[1]"))
    cards.wait_for_python("card.tried.get('text') == texts[1]")
    tokens = root.get_by_test_id("tried").locator(".wb-strip-token")
    shown = tokens.all_text_contents()
    cards.save_widgets_too(True)
    saved = cards.save()
    cards.save_widgets_too(False)
    cards.server.stop_kernels()
    cards.open_notebook(saved)
    stored = cards.widget(1).get_by_test_id("feature-card")
    expect(stored).to_be_visible()
    assert stored.get_by_test_id("tried").locator(".wb-strip-token").all_text_contents() == shown
    assert stored.locator(".card-examples li").count() > 0
    expect(stored.get_by_test_id("steer")).to_be_disabled()
    expect(stored.locator("textarea")).to_be_disabled()


def test_the_card_follows_the_theme_and_its_width(cards: Lab) -> None:
    root = shown_by(cards, "wb.FeatureCard(data, try_text=try_text)")
    try:
        cards.set_theme("dark")
        expect(root).to_have_attribute("data-theme", "dark")
    finally:
        cards.set_theme("light")
    left, right = root.locator(".card-left"), root.locator(".card-right")
    for width, beside in ((1100, True), (400, False)):
        root.evaluate("(root, width) => { root.style.width = `${width}px`; }", width)
        boxes = [part.bounding_box() for part in (left, right)]
        assert boxes[0] is not None
        assert boxes[1] is not None
        assert (boxes[0]["y"] == boxes[1]["y"]) is beside
        assert root.evaluate("root => root.scrollWidth <= root.clientWidth")
