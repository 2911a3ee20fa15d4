"""What is taken out of the explorer, and what it shares with others: files, code, names, cards, selections."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from workbench.attribution import Graph
from workbench.benchmarks.browser.lab import Lab

from .strange import MARKUP
from .views import Dialogs, ExplorerView


@pytest.fixture
def apart(tiny: Lab, tmp_path: Path) -> Iterator[Lab]:
    """The notebook, with a cache of its own: no label and no atlas is there, and none stays."""
    tiny.execute(f"os.environ['WORKBENCH_CACHE'] = {str(tmp_path)!r}\nbench = wb.Session(model, bench.clt, 'tiny')")
    yield tiny
    tiny.execute("os.environ['WORKBENCH_CACHE'] = cache.name\nbench = wb.Session(model, bench.clt, 'tiny')")


def save(view: ExplorerView, kind: str, folder: Path) -> Path:
    """Click an item of the export menu and return the file that the browser saved."""
    panel = view.root.get_by_role("region", name="Export")
    if not panel.is_visible():
        view.root.get_by_test_id("export").click()
    with view.root.page.expect_download() as download:
        panel.get_by_test_id(f"export-{kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    expect(panel).to_contain_text(f"{path.name} was saved.")
    return path


def look_of(view: ExplorerView, picture: Path) -> tuple[int, int]:
    """Return the width of a picture and how many colours it has, as the browser reads it."""
    width, colours = view.root.page.evaluate(
        """async url => {
            const image = new Image();
            image.src = url;
            await image.decode();
            const canvas = new OffscreenCanvas(image.width, image.height);
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, image.width, image.height);
            return [image.width, new Set(new Uint32Array(data.buffer)).size];
        }""",
        f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}",
    )
    return width, colours


def test_pictures_and_the_graph_are_saved(tiny: Lab, tmp_path: Path) -> None:
    dialogs = Dialogs(tiny.page)
    view = ExplorerView.shown_by(
        tiny,
        f"bench.explore(graph, pinned=features[:2], selected=features[0], labels={{features[0]: {MARKUP!r}}}, "
        "supernodes={'pair': features[:2]})",
    )
    drawing = save(view, "svg", tmp_path)
    root = ElementTree.parse(drawing).getroot()
    names = {"s": "http://www.w3.org/2000/svg"}
    texts = [text.text or "" for text in root.iterfind(".//s:text", names)]
    # Markup is text in it, cut to the label's length.
    assert any(text.strip("\u2068\u2069").startswith(MARKUP[:12]) for text in texts)
    assert not root.findall(".//s:script", names)
    assert len(root.findall(".//s:path", names)) > 50
    tokens = tiny.python("list(graph.tokens)")
    assert all(any(token in text for text in texts) for token in tokens[1:])

    width, colours = look_of(view, save(view, "png", tmp_path))
    box = view.canvas.bounding_box()
    assert box is not None
    assert width >= 1.9 * box["width"]
    assert colours > 50

    read = Graph.from_json(save(view, "json", tmp_path))
    first, second = tiny.python("features[:2]")
    nodes = read.nodes.set_index("node_id")
    assert nodes.loc[first, "label"] == MARKUP
    assert nodes.loc[[first, second], "supernode"].tolist() == ["pair", "pair"]
    assert read.info["q_params"]["pinned"] == [first, second]
    assert len(read.nodes) == tiny.python("int((explorer.graph.nodes['kind'] != 'bias').sum())")
    assert dialogs.messages == []


def test_an_id_and_the_code_of_a_view_are_copied(tiny: Lab) -> None:
    tiny.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=0.6)")
    (node,) = tiny.python("features[:1]")
    view.click(node)
    view.show_details_of(node)

    def copied() -> str:
        text: str = tiny.page.evaluate("() => navigator.clipboard.readText()")
        return text

    view.canvas.press("c")
    assert copied() == node
    tiny.page.evaluate("() => navigator.clipboard.writeText('')")
    view.details.get_by_test_id("copy-id").click()
    assert copied() == node
    view.root.get_by_test_id("export").click()
    panel = view.root.get_by_role("region", name="Export")
    panel.get_by_test_id("export-python").click()
    expect(panel).to_contain_text("The code is in the clipboard.")
    assert copied() == tiny.python("explorer.snippet()")
    tiny.execute(f"names = {{'bench': bench}}\nexec({copied()!r}, names)")
    assert tiny.python("[names['explorer'].selected_ids, names['explorer'].node_threshold]") == [[node], 0.6]
    view.canvas.press("Escape")
    expect(panel).to_be_hidden()


def test_a_name_given_in_one_explorer_is_shown_by_another(apart: Lab) -> None:
    one = ExplorerView.shown_by(apart, cell=1)
    (node,) = apart.python("features[:1]")
    apart.write_cell(2, "second = bench.explore(graph)\nsecond")
    apart.run_cell(2)
    other = ExplorerView.of(apart.widget(2))
    other.click(node)
    apart.wait_for_python(f"second.selected_ids == {[node]!r}")
    apart.execute("explorer.selected = features[0]")
    one.show_details_of(node)
    one.label.fill("shared name")
    one.label.press("Enter")
    expect(other.label).to_have_value("shared name")
    assert "shared name" in apart.python("bench.labels.path.read_text()")
    # And when it is taken back.
    one.root.get_by_test_id("undo").click()
    expect(other.label).not_to_have_value("shared name")
    apart.wait_for_python("bench.labels.human() == {}")


def test_what_is_selected_in_one_explorer_is_highlighted_in_a_linked_one(tiny: Lab) -> None:
    one = ExplorerView.shown_by(tiny, cell=1)
    (node,) = tiny.python("features[:1]")
    tiny.write_cell(2, "second = bench.explore(graph, node_threshold=1)\nexplorer.link(second)\nsecond")
    tiny.run_cell(2)
    other = ExplorerView.of(tiny.widget(2))
    plain = other.pixels()
    one.click(node)
    one.leave()
    tiny.wait_for_python(f"second.highlighted_ids == {[node]!r}")
    other.wait_for_pixels(plain, same=False)
    assert tiny.python("second.selected_ids") == []
    other.click("t/2")
    tiny.wait_for_python("'t/2' in explorer.highlighted_ids")
    tiny.execute("explorer.unlink()\nsecond.selected = ()")
    assert tiny.python("[explorer.highlighted_ids, second.highlighted_ids]") == [[], []]


def test_the_card_of_the_selected_feature_stands_in_the_explorer(apart: Lab) -> None:
    view = ExplorerView.shown_by(apart)
    first, second = apart.python("features[:2]")
    view.root.get_by_test_id("tab-card").click()
    hint, card = view.root.get_by_test_id("card-hint"), view.root.get_by_test_id("feature-card")
    expect(hint).to_have_text("Select a feature to see its card.")
    apart.execute("explorer.selected = features[0]")
    expect(hint).to_contain_text("Cards are made from an atlas, and this CLT has none.")
    assert apart.python("bench.atlas_build is None")
    view.root.get_by_test_id("card-compute").click()
    expect(card).to_have_attribute("data-feature", "/".join(first.split("/")[1:3]), timeout=60_000)
    expect(hint).to_be_hidden()
    apart.execute("explorer.selected = features[1]")
    expect(card).to_have_attribute("data-feature", "/".join(second.split("/")[1:3]))
    # There is one card, whatever is selected, and its name is the node's.
    expect(card).to_have_count(1)
    view.label.fill("named beside the card")
    view.label.press("Enter")
    expect(card.get_by_role("textbox").first).to_have_value("named beside the card")
    apart.execute("explorer.selected = 't/1'")
    expect(hint).to_have_text("Select a feature to see its card.")
