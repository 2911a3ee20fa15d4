"""`make notebooks` stores what a reader sees: outputs and widgets, and no noise."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from . import checks
from .building import build

SOURCE = """
# %% [markdown]
# # Widgets of every kind

# %%
import anywidget, ipywidgets, traitlets
from IPython.display import display

class Packet(anywidget.AnyWidget):
    _esm = "export default { render({ model, el }) { el.textContent = model.get('count'); } }"
    count = traitlets.Int(0).tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    nested = traitlets.Dict().tag(sync=True)

packet = Packet(data=b"first", nested={"parts": [b"abc", {"deep": b"de"}], "old": b"old"})
packet

# %%
from tqdm.auto import tqdm
for _ in tqdm(range(3), disable=False):
    pass
closed = ipywidgets.Label("closed later")
display(closed)
closed.close()
never_shown = ipywidgets.Text("never shown")
left, right = ipywidgets.IntSlider(2), ipywidgets.IntText()
link = ipywidgets.jslink((left, "value"), (right, "value"))
ipywidgets.HBox([left, right])

# %%
packet.data = b"second"
packet.nested = {"parts": [b"xyz"]}
print(object())

# %%
object()
"""


def _write(folder: Path, source: str, name: str = "00_try.py") -> Path:
    path = folder / name
    path.write_text(source.lstrip())
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python file of a notebook that has just been built."""
    path = _write(tmp_path_factory.mktemp("notebooks"), SOURCE)
    result = build(path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return path


@pytest.fixture(scope="module")
def notebook(source: Path) -> NotebookNode:
    return checks.read(source.with_suffix(".ipynb"))


def _models(notebook: NotebookNode, name: str) -> list[dict[str, Any]]:
    state = notebook.metadata["widgets"][checks.STATE]["state"]
    return [model for model in state.values() if model["model_name"] == name]


def test_what_it_builds_passes_every_check(source: Path, notebook: NotebookNode) -> None:
    assert not checks.pairing(source, notebook)
    for check in (checks.execution, checks.outputs, checks.widgets, checks.leaks):
        assert not check(notebook)


def test_the_last_value_of_every_trait_is_stored_with_its_bytes(notebook: NotebookNode) -> None:
    (packet,) = _models(notebook, "AnyModel")
    # A value that equals the default is stored too: the JavaScript side knows no defaults.
    assert packet["state"]["count"] == 0
    assert packet["state"]["nested"] == {"parts": [None]}
    buffers = {json.dumps(buffer["path"]): base64.b64decode(buffer["data"]) for buffer in packet["buffers"]}
    assert buffers == {'["data"]': b"second", '["nested", "parts", 0]': b"xyz"}


def test_progress_bars_and_closed_widgets_leave_no_trace(notebook: NotebookNode) -> None:
    (_, _, cell, *_) = notebook.cells
    (output,) = cell.outputs
    assert "HBox" in output.data["text/plain"]
    assert not _models(notebook, "FloatProgressModel")
    assert not _models(notebook, "LabelModel")


def test_only_what_is_displayed_is_stored_with_all_that_it_needs(notebook: NotebookNode) -> None:
    assert not _models(notebook, "TextModel")
    assert len(_models(notebook, "IntSliderModel")) == len(_models(notebook, "IntTextModel")) == 1
    assert len(_models(notebook, "LinkModel")) == 1


def test_nothing_stored_depends_on_time_or_place(notebook: NotebookNode) -> None:
    assert "version" not in notebook.metadata["language_info"]
    assert notebook.cells[4].outputs[0].data["text/plain"] == "<object>"
    assert notebook.cells[3].outputs[0].text == "<object object>\n"
    for cell in notebook.cells:
        assert "execution" not in cell.metadata


def test_building_again_gives_the_same_bytes(source: Path) -> None:
    before = source.with_suffix(".ipynb").read_bytes()
    assert build(source).returncode == 0
    assert source.with_suffix(".ipynb").read_bytes() == before


def test_a_new_cell_leaves_the_ids_of_the_others_alone(tmp_path: Path) -> None:
    cells = ["# %%\n1\n", "# %%\n2\n", "# %%\n1\n"]
    path = _write(tmp_path, "\n".join(cells))
    assert build(path).returncode == 0
    before = [cell["id"] for cell in checks.read(path.with_suffix(".ipynb")).cells]
    assert len(set(before)) == 3
    _write(tmp_path, "\n".join([cells[0], "# %%\n7\n", *cells[1:]]))
    assert build(path).returncode == 0
    after = [cell["id"] for cell in checks.read(path.with_suffix(".ipynb")).cells]
    assert [after[0], *after[2:]] == before


def test_a_cell_that_fails_is_named_and_the_old_notebook_stays(tmp_path: Path) -> None:
    good = _write(tmp_path, "# %%\n1\n", "01_good.py")
    bad = _write(tmp_path, "# %%\n1\n\n# %%\nraise ValueError('no such feature')\n")
    old = bad.with_suffix(".ipynb")
    old.write_text("what was there before")
    result = build(bad, good)
    assert result.returncode == 1
    assert result.stderr == f"{bad}: cell 1 raised ValueError: no such feature\n"
    assert old.read_text() == "what was there before"
    assert good.with_suffix(".ipynb").is_file(), "one notebook that fails does not keep the others from being built"
    assert {path.suffix for path in tmp_path.iterdir()} == {".py", ".ipynb"}


WORKING = """
# %%
import threading, time
import anywidget, traitlets

class Slow(anywidget.AnyWidget):
    _esm = "export default { render() {} }"
    result = traitlets.Unicode("working").tag(sync=True)

    def __init__(self):
        super().__init__()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        time.sleep(0.5)
        self.result = "done"

    def wait(self, timeout=None):
        self.thread.join(timeout)
        return self.result == EXPECTED

Slow()
"""


def test_a_widget_that_works_on_a_thread_is_stored_with_its_result(tmp_path: Path) -> None:
    path = _write(tmp_path, WORKING.replace("EXPECTED", "'done'"))
    result = build(path)
    assert result.returncode == 0, result.stderr
    (model,) = _models(checks.read(path.with_suffix(".ipynb")), "AnyModel")
    assert model["state"]["result"] == "done"


def test_a_widget_that_fails_at_its_work_is_not_stored(tmp_path: Path) -> None:
    path = _write(tmp_path, WORKING.replace("EXPECTED", "'something else'"))
    result = build(path)
    assert result.returncode == 1
    assert "Slow shows an error or did not finish its work" in result.stderr
    assert not path.with_suffix(".ipynb").exists()
