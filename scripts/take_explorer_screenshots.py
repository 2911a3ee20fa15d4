"""Take the pictures of docs/explorer.md: every view of the graph explorer on the default model, in a real JupyterLab.

Usage: python scripts/take_explorer_screenshots.py [FOLDER] [--theme light]   (by default docs/images, both themes)
"""

from __future__ import annotations

from pathlib import Path

from pictures import folder_and_themes, hide_files, opened_lab

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
    with opened_lab() as lab:
        lab.new_notebook(CELLS)
        lab.run_all()
        hide_files(lab)
        explorer = lab.output(1).get_by_test_id("graph-explorer")
        explorer.scroll_into_view_if_needed()
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            for view in VIEWS:
                lab.execute(f"explorer.view = {view!r}")
                lab.page.wait_for_timeout(2000)  # what the view asks Python for comes, and the layout settles
                lab.screenshot(explorer, folder / f"explorer-{view}-{theme}.png")


if __name__ == "__main__":
    main(*folder_and_themes(__doc__))
