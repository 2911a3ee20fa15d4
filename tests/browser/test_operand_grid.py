"""Operand grids in a cell of a real JupyterLab: hovered, clicked, sorted, enlarged, read as a table."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

N = 20  # operands on each axis


@pytest.fixture
def grids(tiny: Lab) -> Lab:
    """Return the notebook with ``grids``, six features over twenty by twenty operands."""
    tiny.execute("from browser.cards import Grids\ngrids = Grids()")
    return tiny


def shown_by(lab: Lab, code: str = "wb.OperandGrid(grids)", *, cell: int = 1) -> Locator:
    """Run a cell that shows grids, which Python calls ``grid`` from then on, and return their root."""
    lab.page.mouse.move(0, 0)
    lab.write_cell(cell, f"grid = {code}\ngrid")
    lab.run_cell(cell)
    root = lab.widget(cell).get_by_test_id("operand-grid")
    expect(root).to_be_visible()
    return root


def names(root: Locator) -> list[str]:
    """Return the features whose grids are shown, in their order."""
    found: list[str] = root.locator(".grid-small").evaluate_all("all => all.map(one => one.dataset.feature)")
    return found


def place(canvas: Locator, a: int, b: int) -> dict[str, float]:
    """Return where the middle of a cell is on a canvas."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    return {"x": (b + 0.5) * box["width"] / N, "y": (a + 0.5) * box["height"] / N}


def pixel(canvas: Locator, a: int, b: int) -> list[int]:
    """Return the colour of a cell."""
    colour: list[int] = canvas.evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]", [b, a]
    )
    return colour


def test_cells_are_drawn_hovered_and_clicked(grids: Lab) -> None:
    root = shown_by(grids)
    small = root.locator('[data-feature="2/17"] canvas')
    # "operand ends in d": b ends in 6, whatever a is.
    assert pixel(small, 3, 16) == pixel(small, 11, 6) != pixel(small, 3, 15)
    small.hover(position=place(small, 4, 16))
    tip = root.get_by_test_id("tip")
    expect(tip).to_have_text("a 4, b 16sum 20feature 2/174.00")
    small.click(position=place(small, 4, 16))
    grids.wait_for_python("(grid.selected, grid.cell) == ((2, 17), (4, 16))")
    expect(root).to_have_attribute("data-selected", "2/17")

    plot = root.get_by_test_id("plot")
    plot.click(position=place(plot, 7, 6))
    grids.wait_for_python("grid.cell == (7, 6)")
    expect(root.get_by_test_id("readout")).to_contain_text("7 + 6 = ")
    large = plot.locator("canvas")
    assert pixel(large, 3, 16) == pixel(small, 3, 16)
    grids.execute("grid.selected = (9, 11)")
    expect(root.locator(".grid-large h3")).to_have_text("9/11exact pair")
    assert pixel(large, 6, 9) != pixel(large, 6, 8) == pixel(large, 3, 16)


def test_grids_are_sorted_filtered_and_scaled(grids: Lab) -> None:
    root = shown_by(grids)
    assert root.locator("h4").all_text_contents()[0] == "sum ends in d2 features"
    for sort, order in (
        ("score", ["5/3", "2/17", "9/11", "5/40", "14/7", "20/250"]),
        ("maximum", ["5/40", "5/3", "2/17", "9/11", "14/7", "20/250"]),
        ("layer", ["2/17", "5/3", "5/40", "9/11", "14/7", "20/250"]),
    ):
        root.get_by_label("Sort by").select_option(sort)
        grids.wait_for_python(f"grid.sort == {sort!r}")
        assert names(root) == order
    root.get_by_label("Family").select_option("sum ends in d")
    assert names(root) == ["5/3", "14/7"]
    expect(root.get_by_test_id("count")).to_have_text("2 features")
    canvas = root.locator('[data-feature="14/7"] canvas')
    own = pixel(canvas, 10, 10)
    root.get_by_label("Scale").select_option("shared")
    grids.wait_for_python("grid.scale == 'shared'")
    assert sum(pixel(canvas, 10, 10)) > sum(own)
    expect(root.get_by_test_id("legend")).to_have_text("09.00")
    grids.execute("grid.family = ''")
    assert len(names(root)) == 6


def test_grids_are_read_by_keyboard_and_as_tables(grids: Lab) -> None:
    root = shown_by(grids)
    before = grids.look_of_cells()
    root.locator('.grid-small[tabindex="0"]').focus()
    for key in ("b", "ArrowRight", "ArrowRight", "d", "d", "Enter"):
        grids.page.keyboard.press(key)
    third = names(root)[2]
    layer, feature = map(int, third.split("/"))
    grids.wait_for_python(f"grid.selected == ({layer}, {feature})")
    assert grids.python("grid.cell") is None
    root.get_by_test_id("plot").focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowRight", "x", " "):
        grids.page.keyboard.press(key)
    grids.wait_for_python("grid.cell == (2, 1)")
    assert grids.look_of_cells() == before

    tables = root.get_by_test_id("tables")
    tables.locator("summary").click()
    expect(tables.locator("tbody").first.locator("tr")).to_have_count(6)
    tables.get_by_role("button", name="5/40").click()
    grids.wait_for_python("grid.selected == (5, 40)")
    rows = tables.locator("tbody").nth(1).locator("tr")
    expect(rows).to_have_count(20)
    cells = rows.first.locator("th, td").all_text_contents()
    assert int(cells[0]) + int(cells[1]) == int(cells[2]) == 18


def test_a_saved_notebook_shows_the_grids_without_a_kernel_in_either_theme(grids: Lab) -> None:
    root = shown_by(grids)
    small = root.locator('[data-feature="2/17"] canvas')
    small.click(position=place(small, 4, 16))
    grids.wait_for_python("grid.cell == (4, 16)")
    colour = pixel(small, 4, 16)
    grids.save_widgets_too(True)
    saved = grids.save()
    grids.save_widgets_too(False)
    grids.server.stop_kernels()
    grids.open_notebook(saved)
    stored = grids.widget(1).get_by_test_id("operand-grid")
    expect(stored).to_have_attribute("data-selected", "2/17")
    expect(stored.get_by_test_id("readout")).to_contain_text("4 + 16 = ")
    small = stored.locator('[data-feature="2/17"] canvas')
    assert pixel(small, 4, 16) == colour
    try:
        grids.set_theme("dark")
        expect(stored).to_have_attribute("data-theme", "dark")
        assert pixel(small, 4, 16) != colour
    finally:
        grids.set_theme("light")
