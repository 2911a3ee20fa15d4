"""Every widget as axe-core judges it, in both themes: nothing that it calls serious or critical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .test_feature_card import CARDS
from .test_generation_view import STEER
from .test_token_strip import ACTIVATIONS
from .test_training_monitor import TRAIN
from .views import ExplorerView

AXE = Path(__file__).parents[2] / "widgets" / "node_modules" / "axe-core" / "axe.min.js"
_JUDGE = """async root => {
    const { violations } = await axe.run(root, { resultTypes: ['violations'] });
    return violations.map(({ id, impact, help, nodes }) => ({
        id, impact, help, nodes: nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`),
    }));
}"""


def serious(lab: Lab, root: Locator) -> list[str]:
    """Return what axe-core finds in a widget that keeps somebody from using it, in words."""
    if not lab.page.evaluate("() => 'axe' in window"):
        if not AXE.is_file():
            pytest.skip("axe-core is not installed: run `npm ci` in widgets/")
        lab.page.evaluate(AXE.read_text(encoding="utf-8"))
    findings: list[dict[str, Any]] = root.evaluate(_JUDGE)
    return [
        f"{finding['impact']} {finding['id']}: {finding['help']} {node}"
        for finding in findings
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]


def assert_usable(lab: Lab, root: Locator) -> None:
    """Assert that axe-core finds nothing serious in a widget, in the light and in the dark theme."""
    expect(root).to_be_visible()
    found: list[str] = []
    try:
        for theme in ("light", "dark"):
            lab.set_theme(theme)  # type: ignore[arg-type]
            expect(root).to_have_attribute("data-theme", theme)
            found += [f"{theme}: {line}" for line in serious(lab, root)]
    finally:
        lab.set_theme("light")
    assert not found, "\n".join(found)


def shown_by(lab: Lab, code: str, testid: str) -> Locator:
    """Run a cell that shows a widget and return its root."""
    lab.page.mouse.move(0, 0)
    lab.write_cell(1, code)
    lab.run_cell(1)
    root = lab.widget(1).get_by_test_id(testid)
    expect(root).to_be_visible()
    return root


@pytest.mark.parametrize("view", ["graph", "subgraph", "card", "table", "paths", "diff"])
def test_the_explorer_can_be_used_by_everybody(tiny: Lab, view: str) -> None:
    tiny.execute("from helpers import tiny_prompt\nother = bench.attribute(tiny_prompt(seed=1), progress=False)")
    options = f"other=other, selected=features[:2], pinned=features[2:5], view={view!r}"
    explorer = ExplorerView.shown_by(tiny, f"bench.explore(graph, {options})")
    explorer.show_details_of(tiny.python("features[1]"))
    if view == "paths":
        expect(explorer.root.get_by_test_id("paths-found").locator("li").first).to_be_visible()
    if view == "card":
        # Without an atlas: what a card itself looks like is judged with the feature card.
        expect(explorer.root.get_by_test_id("card-hint")).to_contain_text("this CLT has none")
        explorer.root.get_by_test_id("export").click()
    assert_usable(tiny, explorer.root)


@pytest.mark.parametrize("pane", ["tokens", "features", "curve"])
def test_the_sliders_can_be_used_by_everybody(tiny: Lab, pane: str) -> None:
    code = "sliders = bench.sliders(graph, nodes=features[:4], supernodes={'Pair': features[4:6]})\nsliders"
    root = shown_by(tiny, code, "intervention-sliders")
    tiny.execute(
        "sliders.links = [features[:2]]\nsliders.values = {features[0]: -2}\nsliders.control_seed = 0\n"
        f"sliders.sweep(features[3], [0, 1, 2])\nsliders.pane = {pane!r}\nsliders.wait()"
    )
    expect(root).to_have_attribute("data-phase", "ready", timeout=60_000)
    expect(root.get_by_test_id(f"tab-{pane}")).to_have_attribute("aria-selected", "true")
    assert_usable(tiny, root)


def test_the_generated_texts_can_be_used_by_everybody(tiny: Lab) -> None:
    tiny.execute(STEER)
    root = shown_by(tiny, "view = bench.steer(graph, steer, max_new_tokens=6)\nview", "generation-view")
    tiny.execute("view.wait()\nview.chosen = ('steered', 1)")
    expect(root.get_by_test_id("clean-place")).to_be_visible()
    assert_usable(tiny, root)


def test_the_token_strip_can_be_used_by_everybody(tiny: Lab) -> None:
    tiny.execute(ACTIVATIONS)
    assert_usable(tiny, shown_by(tiny, "wb.TokenStrip(tokens, values, names=['a', 'b', 'c'])", "token-strip"))


def test_the_feature_card_can_be_used_by_everybody(tiny: Lab) -> None:
    tiny.execute(f"IMAGE, CLOSING = 'up', 'down'\n{CARDS}")
    assert_usable(tiny, shown_by(tiny, "wb.FeatureCard(data, try_text=try_text)", "feature-card"))


def test_the_operand_grids_can_be_used_by_everybody(tiny: Lab) -> None:
    tiny.execute("from browser.cards import Grids\ngrids = Grids()")
    root = shown_by(tiny, "wb.OperandGrid(grids)", "operand-grid")
    root.locator(".grid-small").first.locator("canvas").click()
    assert_usable(tiny, root)


def test_the_training_monitor_can_be_used_by_everybody(tiny: Lab, tmp_path: Path) -> None:
    tiny.execute(f"FOLDER = {str(tmp_path) + '/'!r}\n{TRAIN}")
    root = shown_by(tiny, "run = train('run', 4)", "training-monitor")
    tiny.execute("run.wait()")
    assert_usable(tiny, root)
