"""Take the pictures of docs/interventions.md: sliders and a steered text on the default model, in a real JupyterLab.

Usage: python scripts/take_intervention_screenshots.py [FOLDER] [--theme light]   (by default docs/images, both themes)
"""

from __future__ import annotations

from pathlib import Path

from pictures import folder_and_themes, hide_files, opened_lab

# The name that comes twice is not the answer: which features carry it?
CELLS = [
    """
import workbench as wb

bench = wb.open("smollm2-135m-instruct")
graph = bench.attribute("When Mary and John went to the store, John gave a drink to", cap=600, progress=False)
shown = bench.label(graph.prune())
features = shown.nodes[shown.nodes["kind"] == "feature"].nlargest(3, "influence")["node_id"].tolist()
groups = dict(list(bench.suggest_supernodes(shown).items())[:2])
""",
    """
sliders = bench.sliders(shown, nodes=features, supernodes=groups, values={features[0]: -1})
sliders.links = [features[:2]]
sliders.control_seed = 0
sliders
""",
    """
(strongest,) = shown.nodes[shown.nodes["kind"] == "feature"].nlargest(1, "influence").itertuples()
steer = [wb.Edit.everywhere(int(strongest.layer), int(strongest.feature), add=6)]
view = bench.steer("What is the best thing to drink in the morning?", steer, chat=True, max_new_tokens=32)
view
""",
]


def main(folder: Path, themes: list[str]) -> None:
    """Start JupyterLab and a browser, and take a picture of every pane."""
    with opened_lab() as lab:
        lab.new_notebook(CELLS)
        lab.run_all()
        hide_files(lab)
        lab.execute("sliders.wait(); sliders.sweep(features[0]); view.wait()")
        lab.execute("view.chosen = ('steered', view.parts_at or 0)")
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            sliders = lab.output(1).get_by_test_id("intervention-sliders")
            sliders.scroll_into_view_if_needed()
            for pane in ("features", "curve", "tokens"):
                lab.execute(f"sliders.pane = {pane!r}; sliders.wait()")
                lab.page.wait_for_timeout(1000)
                lab.screenshot(sliders, folder / f"sliders-{pane}-{theme}.png")
            view = lab.output(2).get_by_test_id("generation-view")
            view.scroll_into_view_if_needed()
            lab.page.wait_for_timeout(500)
            lab.screenshot(view, folder / f"generation-{theme}.png")


if __name__ == "__main__":
    main(*folder_and_themes(__doc__))
