"""Take the pictures of docs/explorer.md: every view of the graph explorer on the default model, in a real JupyterLab.

Usage: python scripts/take_explorer_screenshots.py [FOLDER [THEME …]]   (by default docs/images and light)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from workbench.benchmarks.browser.chromium import started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import lab_server
from workbench.benchmarks.browser.traffic import Traffic

ROOT = Path(__file__).parents[1]
# The name that comes twice is not the answer; with the other name twice, the answer changes.
CELLS = [
    """
import workbench as wb

bench = wb.open("smollm2-135m-instruct")
graph, other = (
    bench.attribute(f"When Mary and John went to the store, {name} gave a drink to", progress=False)
    for name in ("John", "Mary")
)
shown = bench.label(graph.prune())
features = shown.nodes[shown.nodes["kind"] == "feature"].nlargest(14, "influence")["node_id"].tolist()
answer = shown.nodes.loc[shown.nodes["probability"].idxmax(), "node_id"]
groups = dict(list(bench.suggest_supernodes(shown).items())[:4])
""",
    """
explorer = bench.explore(
    shown,
    other=graph.difference(other),
    selected=features[1:2],
    pinned=[*features[:5], answer],
    supernodes=groups,
    height=600,
)
explorer
""",
]
VIEWS = ("graph", "subgraph", "card", "table", "paths", "diff")


def main(folder: Path, themes: list[str]) -> None:
    """Start JupyterLab and a browser, and take a picture of every view."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as private, lab_server(Path(private)) as server, started_browser() as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(120_000)
        lab = Lab(context.new_page(), server, Traffic(context), name="pictures")
        lab.new_notebook(CELLS)
        lab.run_all()
        lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        explorer = lab.output(1).get_by_test_id("graph-explorer")
        explorer.scroll_into_view_if_needed()
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            for view in VIEWS:
                lab.execute(f"explorer.view = {view!r}")
                lab.page.wait_for_timeout(2000)  # what the view asks Python for comes, and the layout settles
                lab.screenshot(explorer, folder / f"explorer-{view}-{theme}.png")
        server.stop_kernels()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images",
        sys.argv[2:] or ["light"],
    )
