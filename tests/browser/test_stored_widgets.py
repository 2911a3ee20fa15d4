"""What a reader sees of a stored notebook before any cell is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.benchmarks.browser.lab import Lab

ROOT = Path(__file__).parents[2]
SOURCE = '''
# %%
import anywidget, ipywidgets, struct, traitlets

class Bars(anywidget.AnyWidget):
    _esm = """
    function render({ model, el }) {
      const text = document.createElement("p");
      const show = () => {
        const view = model.get("data");
        const values = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
        const deep = new TextDecoder().decode(model.get("nested").parts[1]);
        const sum = values.reduce((a, b) => a + b, 0);
        text.textContent = `${values.length} bars, sum ${sum}, ${deep}, ${model.get("n")}`;
      };
      model.on("change", show);
      show();
      const button = document.createElement("button");
      button.textContent = "more";
      button.onclick = () => { model.set("n", model.get("n") + 1); model.save_changes(); };
      el.append(text, button);
    }
    export default { render };
    """
    data = traitlets.Bytes().tag(sync=True)
    nested = traitlets.Dict().tag(sync=True)
    n = traitlets.Int(0).tag(sync=True)

bars = Bars(data=struct.pack("3f", 1, 2, 3.5), nested={"parts": [b"", b"deep text"]})
bars

# %%
slider = ipywidgets.IntSlider(7, description="steps")
slider

# %%
import plotly.graph_objects as go
go.Figure(go.Scatter(x=[1, 2, 3], y=[2, 1, 3]))
'''
STORED = "3 bars, sum 6.5, deep text, 0"


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a notebook with widgets, executed as `make notebooks` does it."""
    source = tmp_path_factory.mktemp("stored") / "00_stored.py"
    source.write_text(SOURCE.lstrip())
    script = ROOT / "scripts" / "build_notebooks.py"
    subprocess.run([sys.executable, str(script), str(source)], check=True, capture_output=True)
    return source.with_suffix(".ipynb")


def test_stored_widgets_show_while_no_cell_has_been_run(lab: Lab, notebook: Path) -> None:
    lab.open_notebook(notebook)
    lab.widget(0).get_by_text(STORED).wait_for()
    assert lab.widget(1).get_by_role("slider").get_attribute("aria-valuenow") == "7.0"
    lab.output(2).locator(".js-plotly-plot .scatterlayer .points path").first.wait_for()
    assert lab.python("'bars' in globals()") is False
    assert not lab.traffic.errors


def test_a_stored_widget_answers_clicks_by_itself_and_is_marked_as_disconnected(lab: Lab, notebook: Path) -> None:
    lab.open_notebook(notebook)
    lab.widget(0).get_by_role("button").click()
    lab.widget(0).get_by_text(STORED.replace(", 0", ", 1")).wait_for()
    assert "jupyter-widgets-disconnected" in (lab.widget(0).get_attribute("class") or "")
    lab.run_cell(0)
    lab.widget(0).get_by_text(STORED).wait_for()
    assert "jupyter-widgets-disconnected" not in (lab.widget(0).get_attribute("class") or "")
    lab.widget(0).get_by_role("button").click()
    lab.wait_for_python("bars.n == 1")


def test_before_somebody_trusts_a_notebook_its_widgets_are_shown_as_text(lab: Lab, notebook: Path) -> None:
    lab.open_notebook(notebook, trusted=False)
    lab.output(0).get_by_text("<__main__.Bars object>").wait_for()
    lab.output(1).get_by_text("IntSlider(value=7").wait_for()
    lab.output(2).locator(".js-plotly-plot .scatterlayer .points path").first.wait_for()
    assert lab.widget(0).count() == 0
    # Running a cell is trust enough for its output.
    lab.run_cell(0)
    lab.widget(0).get_by_text(STORED).wait_for()


@pytest.mark.parametrize("saved_too", [True, False], ids=["widgets saved too", "as JupyterLab is set"])
def test_saving_in_jupyterlab_keeps_the_widgets_where_it_is_told_to(lab: Lab, notebook: Path, saved_too: bool) -> None:
    lab.open_notebook(notebook)
    lab.run_cell(0)
    lab.execute("bars.n = 41")
    lab.widget(0).get_by_text("deep text, 41").wait_for()
    lab.save_widgets_too(saved_too)
    saved = lab.save()
    lab.save_widgets_too(False)
    lab.server.stop_kernels()
    lab.open_notebook(saved)
    lab.output(0).get_by_text("deep text, 41" if saved_too else "Error displaying widget: model not found").wait_for()
