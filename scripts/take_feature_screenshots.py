"""Take the pictures of docs/atlas.md and docs/features.md: a feature's card, a coloured text, operand grids.

Usage: python scripts/take_feature_screenshots.py [FOLDER] [--theme light]   (by default docs/images, both themes)
"""

from __future__ import annotations

from pathlib import Path

from pictures import folder_and_themes, hide_files, opened_lab

PICTURES = ("feature-card", "token-strip", "operand-grid")
CELLS = [
    """
import os

os.environ["WORKBENCH_ATLAS_BUILD"] = "0"  # the compact atlas is what a new user has
import workbench as wb

bench = wb.open("gemma-3-270m")
firing = bench.atlas.find_text("The capital of Texas is")
three = firing[firing["label"].ne("")].nlargest(40, "relative").drop_duplicates("position", keep="first").head(3)
""",
    "bench.feature_card(int(three.iloc[-1]['layer']), int(three.iloc[-1]['feature']))",
    """
series = [bench.atlas.activations("The capital of Texas is", row.layer, row.feature) for row in three.itertuples()]
wb.TokenStrip(
    series[0]["tokens"],
    [each["activations"] for each in series],
    names=[f"{row.layer}/{row.feature} {row.label}" for row in three.itertuples()],
    shown=[0, 1, 2],
)
""",
    """
grids = bench.operands(template="{a} + {b} = ", a=range(10), b=range(10), min_active=0.03, progress=False)
wb.OperandGrid(grids, sort="score")
""",
]


def main(folder: Path, themes: list[str]) -> None:
    """Start JupyterLab and a browser, and take a picture of every widget."""
    with opened_lab() as lab:
        lab.new_notebook(CELLS)
        lab.run_all()
        hide_files(lab)
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            for cell, name in enumerate(PICTURES, start=1):
                widget = lab.output(cell).get_by_test_id(name)
                widget.scroll_into_view_if_needed()
                lab.page.wait_for_timeout(1000)
                lab.screenshot(widget, folder / f"{name}-{theme}.png")


if __name__ == "__main__":
    main(*folder_and_themes(__doc__))
