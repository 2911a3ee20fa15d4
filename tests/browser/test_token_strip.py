"""A text coloured by features in a cell of a real JupyterLab: what is seen, and what Python holds."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .strange import TOKENS
from .views import Dialogs

# Real activations of a random model's features on its prompt.
ACTIVATIONS = """
from browser.cards import measured

rows = [measured(bench, 1, feature, graph.prompt) for feature in range(16)]
rows = sorted(rows, key=lambda row: -max(row["activations"]))[:3]
tokens, values = rows[0]["tokens"], [row["activations"] for row in rows]
"""


def shown_by(lab: Lab, code: str, *, cell: int = 1) -> Locator:
    """Run a cell that shows a strip, which Python calls ``strip`` from then on, and return its root."""
    lab.page.mouse.move(0, 0)
    lab.write_cell(cell, f"strip = {code}\nstrip")
    lab.run_cell(cell)
    root = lab.widget(cell).get_by_test_id("token-strip")
    expect(root).to_be_visible()
    return root


def shares(root: Locator) -> list[float]:
    """Return how strongly each token is coloured."""
    found: list[float] = root.locator(".wb-strip-token").evaluate_all(
        "tokens => tokens.map(token => Number(token.style.getPropertyValue('--share')))"
    )
    return found


def test_a_text_is_coloured_hovered_and_clicked(tiny: Lab) -> None:
    tiny.execute(ACTIVATIONS)
    root = shown_by(tiny, "wb.TokenStrip(tokens, values, names=['1/a', '1/b', '1/c'])")
    strongest = tiny.python("int(strip.values['1/a'].idxmax())")
    drawn = shares(root)
    assert drawn[strongest] == 1
    assert [share > 0 for share in drawn] == tiny.python("(strip.values['1/a'] > 0).tolist()")

    token = root.locator(f'[data-at="{strongest}"]')
    token.hover()
    tip = root.get_by_test_id("tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(f"position {strongest}")
    token.click()
    tiny.wait_for_python(f"strip.selected == {strongest}")
    expect(root.get_by_test_id("facts")).to_contain_text(f"Selected: position {strongest}")

    root.get_by_role("button", name="1/b").click()
    tiny.wait_for_python("strip.shown == [0, 1]")
    assert [share > 0 for share in shares(root)] == tiny.python("(strip.values[['1/a', '1/b']].max(1) > 0).tolist()")
    tiny.execute("strip.selected = 0")
    expect(root.locator('[data-at="0"]')).to_have_attribute("aria-selected", "true")


def test_a_text_is_read_by_keyboard_and_no_key_reaches_the_notebook(tiny: Lab) -> None:
    tiny.execute(ACTIVATIONS)
    root = shown_by(tiny, "wb.TokenStrip(tokens * 40, values[0] * 40)")
    before = tiny.look_of_cells()
    tokens = root.locator(".wb-strip-token")
    tokens.first.focus()
    for key in ("ArrowRight", "ArrowRight", "b", "d", "d", "ArrowLeft"):
        tiny.page.keyboard.press(key)
    expect(tokens.nth(1)).to_be_focused()
    expect(root.get_by_test_id("tip")).to_contain_text("position 1")
    # The text is longer than a line: there is a token below.
    tiny.page.keyboard.press("ArrowDown")
    below = int(root.locator(":focus").get_attribute("data-at") or 0)
    assert below > 5
    tiny.page.keyboard.press("Enter")
    tiny.wait_for_python(f"strip.selected == {below}")
    tiny.page.keyboard.press("ArrowUp")
    expect(tokens.nth(1)).to_be_focused()
    tiny.page.keyboard.press("End")
    expect(tokens.last).to_be_focused()
    assert tiny.look_of_cells() == before


def test_strange_tokens_are_text_and_a_wide_one_is_not_cut_off(tiny: Lab) -> None:
    dialogs = Dialogs(tiny.page)
    tiny.execute("from browser.strange import TOKENS\nstrange = [*TOKENS, 'x' * 600]")
    root = shown_by(tiny, "wb.TokenStrip(strange, range(len(strange)), names=['<b>&amp;</b>'], kind='entropy')")
    assert root.locator(".wb-strip-token").all_text_contents() == [*TOKENS.values(), "x" * 600]
    expect(root.locator(".strip-name")).to_have_text("<b>&amp;</b>")
    text = root.locator(".strip-text")
    assert text.evaluate("element => element.scrollWidth <= element.clientWidth")
    # The line ends after the line feed.
    first, second = (root.locator(f'[data-at="{at}"]').bounding_box() for at in (0, 1))
    assert first is not None
    assert second is not None
    assert second["y"] > first["y"]
    assert dialogs.messages == []
    assert tiny.page.evaluate("window.pwned") is None


def test_a_saved_notebook_shows_the_strip_without_a_kernel(tiny: Lab) -> None:
    tiny.execute(ACTIVATIONS)
    root = shown_by(tiny, "wb.TokenStrip(tokens, values, shown=[0, 2])")
    root.locator('[data-at="2"]').click()
    tiny.wait_for_python("strip.selected == 2")
    drawn = shares(root)
    tiny.save_widgets_too(True)
    saved = tiny.save()
    tiny.save_widgets_too(False)
    tiny.server.stop_kernels()
    tiny.open_notebook(saved)
    stored = tiny.widget(1).get_by_test_id("token-strip")
    expect(stored).to_be_visible()
    assert shares(stored) == drawn
    expect(stored.locator('[data-at="2"]')).to_have_attribute("aria-selected", "true")
