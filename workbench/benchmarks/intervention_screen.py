"""How long it takes until a slider's user sees new probabilities: in a real JupyterLab, in a real browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workbench.benchmarks.browser.chromium import started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import lab_server
from workbench.benchmarks.browser.traffic import Traffic
from workbench.errors import ResourceError

_PROBE = Path(__file__).parent / "browser" / "probe.js"
_MAKE = """from workbench.benchmarks.intervention import clean_run, strongest_slider

loaded, clean = clean_run({model!r}, {tokens})
sliders = strongest_slider(clean, {layer}, {tokens} - 1)"""
_SHOW_MS = 60_000


def screen_milliseconds(model: str, layer: int, tokens: int, movements: int) -> list[float]:
    """Return the milliseconds from each key that moves a slider to the end of the frame that shows its new bars.

    The slider is on the strongest feature of the layer at the last position; each movement waits for the one before.
    The first two are left out: they compute what the later ones reuse.

    Raises:
        ConfigError: there is no Playwright or no browser.
        ResourceError: the browser did not show what was expected.
    """
    with tempfile.TemporaryDirectory() as private, started_browser() as browser, lab_server(Path(private)) as server:
        from playwright.sync_api import Error as PlaywrightError

        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(path=_PROBE)
        lab = Lab(context.new_page(), server, Traffic(context), name="sliders")
        try:
            lab.new_notebook([_MAKE.format(model=model, tokens=tokens, layer=layer), "sliders"])
            lab.run_cell(0)
            lab.run_cell(1)
            root = lab.widget(1).get_by_test_id("intervention-sliders")
            root.locator("tr[data-after]").first.wait_for(state="attached", timeout=_SHOW_MS)
            slider = root.get_by_role("slider").first
            slider.focus()
            root.evaluate("sliders => workbenchProbe.until('input', sliders, 'data-after')")
            for movement in range(movements + 2):
                lab.page.keyboard.press("ArrowLeft")
                lab.page.wait_for_function("n => workbenchProbe.samples.length > n", arg=movement, timeout=_SHOW_MS)
            samples: list[float] = lab.page.evaluate("() => workbenchProbe.samples.map(({ ms }) => ms)")
        except PlaywrightError as error:
            raise ResourceError(f"The browser did not get through: {error.message.splitlines()[0]}") from error
        finally:
            server.stop_kernels()
    return samples[2:]
