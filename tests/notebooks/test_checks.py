"""The checks notice what they are there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from . import checks

SOURCE = '# %% [markdown]\n# # Title\n\n# %%\nprint("x")\n\n# %%\n1 + 1\n'


def _notebook(output: NotebookNode | None = None, **model: Any) -> NotebookNode:
    """Return a sound notebook of three cells, with ``output`` in its last one and ``model`` as a stored widget."""
    printed = new_output("stream", name="stdout", text="x\n")
    result = output or new_output("execute_result", data={"text/plain": "2"}, execution_count=2)
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell('print("x")', execution_count=1, outputs=[printed]),
        new_code_cell("1 + 1", execution_count=2, outputs=[result]),
    ]
    notebook = new_notebook(cells=cells)
    if model:
        model = {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "0", **model}
        notebook.metadata["widgets"] = {checks.STATE: {"version_major": 2, "version_minor": 0, "state": {"w": model}}}
    return nbformat.from_dict(notebook)


def _shown(kind: str, value: Any) -> NotebookNode:
    return new_output("display_data", data={kind: value})


ESM = "export default { render() {} }"
VIEW = _shown(checks.VIEW, {"model_id": "w", "version_major": 2, "version_minor": 0})


# Put together here, so that no file of the project names a folder of a machine.
WORK, ROOTS = "/".join(("", "work", "folder")), "/".join(("", "root", "folder"))


@pytest.mark.parametrize("check", [checks.execution, checks.outputs, checks.widgets, checks.leaks])
@pytest.mark.parametrize(
    "notebook",
    [
        _notebook(),
        _notebook(VIEW, state={"_esm": ESM}),
        _notebook(_shown("text/html", '<a href="https://arxiv.org/">paper</a>')),
        _notebook(_shown("text/plain", "out/graph.html, ~/work/x, either/home/or")),
        _notebook(_shown("image/png", "iVBO/tmp/abc")),
        _notebook(VIEW, state={"_esm": ESM + "; ns = 'http://www.w3.org/2000/svg'"}, buffers=[{"data": "/home/x"}]),
    ],
)
def test_a_sound_notebook_has_no_problems(check: Callable[[NotebookNode], list[str]], notebook: NotebookNode) -> None:
    assert check(notebook) == []


def test_cells_that_differ_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "00_x.py"
    path.write_text(SOURCE)
    assert checks.pairing(path, _notebook()) == []
    path.write_text(SOURCE.replace("1 + 1", "1 + 2"))
    assert checks.pairing(path, _notebook()) == ["cell 2 differs from 00_x.py: run `make notebooks`"]
    path.write_text(SOURCE + "\n# %%\nmore\n")
    assert "has 4 cells, the notebook 3" in checks.pairing(path, _notebook())[0]


def test_cells_that_were_not_executed_in_order_are_noticed() -> None:
    notebook = _notebook()
    notebook.cells[1].execution_count = 7
    assert "[7, 2]" in checks.execution(notebook)[0]
    notebook.cells[1].execution_count = None
    assert checks.execution(notebook)


@pytest.mark.parametrize(
    ("check", "notebook", "problem"),
    [
        (checks.outputs, _notebook(new_output("error", ename="E", evalue="", traceback=[])), "cell 2 raised E"),
        (checks.outputs, _notebook(new_output("stream", name="stderr", text="hm")), "cell 2 wrote to stderr"),
        (checks.outputs, _notebook(_shown("text/plain", "a.py:1: FutureWarning: old")), "cell 2 warns"),
        (checks.widgets, _notebook(VIEW), "cell 2 displays a widget whose state is not stored"),
        (checks.widgets, _notebook(VIEW, state={}), "without the text of its module"),
        (checks.widgets, _notebook(VIEW, state={"_esm": ESM, "a": ["IPY_MODEL_x"]}), "refers to a widget"),
        (checks.widgets, _notebook(VIEW, state={"_esm": ESM, "_anywidget_id": "workbench.W"}), "an older bundle"),
        (checks.widgets, _notebook(model_name="FloatProgressModel", state={"_esm": ESM}), "a progress bar is stored"),
        (checks.leaks, _notebook(_shown("text/plain", "wrote /home/someone/x")), "names /home/someone"),
        (checks.leaks, _notebook(new_output("stream", name="stdout", text=f"in '{WORK}'")), f"names {WORK}"),
        (checks.leaks, _notebook(VIEW, state={"_esm": ESM, "path": ROOTS}), f"names {ROOTS}"),
        (checks.leaks, _notebook(_shown("text/html", '<script src="https://cdn.x/a.js">')), "https://cdn.x/a.js"),
        (checks.leaks, _notebook(_shown("text/html", "import('https://esm.sh/d3')")), "https://esm.sh/d3"),
        (checks.leaks, _notebook(_shown("text/html", '<link rel="x" href="http://x/a.css">')), "http://x/a.css"),
        (checks.leaks, _notebook(VIEW, state={"_esm": 'import * as d3 from "https://esm.sh/d3"'}), "https://esm.sh/d3"),
        (checks.leaks, _notebook(VIEW, state={"_esm": ESM, "_css": "@import url(https://x/f.css)"}), "https://x/f.css"),
    ],
)
def test_each_problem_is_named(
    check: Callable[[NotebookNode], list[str]], notebook: NotebookNode, problem: str
) -> None:
    (found,) = check(notebook)
    assert problem in found


def test_a_notebook_without_outputs_is_noticed() -> None:
    notebook = _notebook()
    for cell in notebook.cells[1:]:
        cell.outputs = []
    assert checks.outputs(notebook) == ["no output is stored: run `make notebooks`"]


def test_a_large_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "00_x.ipynb"
    path.write_bytes(b" " * checks.MAX_BYTES)
    assert checks.size(path) == []
    path.write_bytes(b" " * (checks.MAX_BYTES + 1))
    assert "3.0 MB" in checks.size(path)[0]
