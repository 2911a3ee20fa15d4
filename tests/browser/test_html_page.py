"""The one file of `wb.to_html`, opened from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt
from playwright.sync_api import Page, expect

import workbench as wb
from workbench.attribution import Graph
from workbench.benchmarks.browser.traffic import Traffic

from .strange import IMAGE, MARKUP, TOKENS, with_strange_text
from .views import Dialogs, ExplorerView

Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama", dtype=torch.float32)
    bench = wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")
    return with_strange_text(bench.attribute(tiny_prompt(), progress=False).prune())


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_a_file_opened_from_disk_draws_and_answers_by_itself(
    page: Page, traffic: Traffic, graph: Graph, tmp_path: Path, scheme: Scheme, other: Scheme
) -> None:
    dialogs = Dialogs(page)
    nodes = graph.nodes[graph.nodes["kind"] == "feature"].nlargest(2, "influence")["node_id"].tolist()
    path = wb.to_html(graph, tmp_path / "a graph & more.html", max_edges=10, pinned=nodes[0])
    page.emulate_media(color_scheme=scheme)
    page.goto(path.as_uri())
    view = ExplorerView.of(page)
    expect(view.root).to_have_attribute("data-theme", scheme)
    assert (view.brightness < 60) is (scheme == "dark")
    bare = view.pixels()
    assert view.chips("pinned") == nodes[:1]
    assert MARKUP in page.title()
    expect(view.details.locator(".wbx-prompt")).to_contain_text(MARKUP)

    view.hover(nodes[1])
    expect(view.tooltip).to_contain_text(IMAGE)
    view.wait_for_pixels(bare, same=False)
    view.click(nodes[1])
    view.show_details_of(nodes[1])
    expect(view.label).to_have_value(IMAGE)
    expect(view.details.get_by_test_id("source")).to_contain_text("No kernel to ask")
    for position, shown in list(enumerate(TOKENS.values()))[:9]:
        view.click(f"t/{position}", "Shift")
        view.show_details_of(f"t/{position}")
        expect(view.label).to_have_attribute("placeholder", shown)
    assert view.chips("selected") == [nodes[1], *(f"t/{position}" for position in range(9))]
    view.label.fill(MARKUP)
    view.label.press("Enter")
    expect(view.details.get_by_test_id("selected")).to_contain_text(MARKUP)
    view.canvas.press("Escape")
    view.show_details_of("")
    view.leave()
    view.wait_for_pixels(bare, same=True)
    drawn = str(view.root.get_attribute("data-nodes"))
    view.threshold.press("Home")
    expect(view.root).not_to_have_attribute("data-nodes", drawn)

    # The system changes its theme while the page is open.
    page.emulate_media(color_scheme=other)
    expect(view.root).to_have_attribute("data-theme", other)
    assert (view.brightness < 60) is (other == "dark")

    assert page.evaluate("window.pwned") is None
    assert view.root.locator("script, img, iframe").count() == 0
    assert dialogs.messages == []
    assert not traffic.errors
    # The file itself, and the blob through which the module in it is imported.
    assert [url for url in traffic.requests if not url.startswith("blob:")] == [path.as_uri()]
