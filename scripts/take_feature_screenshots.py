"""Take the pictures of docs/atlas.md and docs/features.md: a feature's card, a coloured text, operand grids.

Usage: python scripts/take_feature_screenshots.py [FOLDER] [THEME …]   (by default docs/images, light and dark)
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


def main(folder: Path, themes: tuple[str, ...]) -> None:
    """Start JupyterLab and a browser, and take a picture of every widget."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as private, lab_server(Path(private)) as server, started_browser() as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(600_000)
        lab = Lab(context.new_page(), server, Traffic(context), name="pictures")
        lab.new_notebook(CELLS)
        lab.run_all()
        lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        for theme in themes:
            lab.set_theme(theme)  # type: ignore[arg-type]
            for cell, name in enumerate(PICTURES, start=1):
                widget = lab.output(cell).get_by_test_id(name)
                widget.scroll_into_view_if_needed()
                lab.page.wait_for_timeout(1000)
                lab.screenshot(widget, folder / f"{name}-{theme}.png")
        server.stop_kernels()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", tuple(sys.argv[2:]) or ("light", "dark"))
