"""Execute `notebooks/NN_name.py` (jupytext's percent form) into `NN_name.ipynb`, outputs and widget state included.

The same source with the same outputs gives the same file, byte for byte, so that a diff shows what changed: cell and
widget ids are derived from the content, and no time, Python version, memory address or progress bar is stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from workbench.errors import WorkbenchError
from workbench.files import atomic_file

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PATTERN = "[0-9][0-9]_*.py"
CELL_SECONDS = 1800
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
LINKS = {"LinkModel", "DirectionalLinkModel"}

# Runs in the notebook's kernel after its last cell. The kernel knows the state for certain, binary values at any depth
# included; put together from messages it would keep the buffers of values that have since been replaced.
_COLLECTED = "application/vnd.circuit-workbench.collected+json"
_COLLECT = f"""
def _collect():
    import sys
    from IPython.display import display
    state = {{}}
    if "ipywidgets" in sys.modules:
        from ipywidgets import Widget
        from ipywidgets.widgets.widget import _instances
        # What works on a thread of its own (`wait(timeout)`) is stored with its result, not half way to it.
        for widget in list(_instances.values()):
            if callable(getattr(widget, "wait", None)) and not widget.wait(timeout={CELL_SECONDS}):
                raise RuntimeError(f"{{type(widget).__name__}} shows an error or did not finish its work")
        state = Widget.get_manager_state()["state"]
        # ipywidgets' own models fill in what is missing; an anywidget's model knows no defaults.
        for model_id, model in Widget.get_manager_state(drop_defaults=True)["state"].items():
            if model["model_module"].startswith("@jupyter-widgets/"):
                state[model_id] = model
    display({{{_COLLECTED!r}: state}}, raw=True)
_collect()
"""

State = dict[str, dict[str, Any]]


def build(source: Path) -> Path:
    """Execute a notebook from a clean kernel and write it beside its source; return its path.

    Raises:
        WorkbenchError: a cell failed or took too long, or the kernel died; a notebook that was there stays as it was.
    """
    notebook = jupytext.read(source)
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _name_cells(notebook)
    state = _execute(notebook, source)
    model_ids = _store_widgets(notebook, state)
    _drop_addresses(notebook)
    notebook.metadata["language_info"].pop("version", None)
    notebook = _name_widgets(notebook, model_ids, source.stem)
    nbformat.validate(notebook)
    target = source.with_suffix(".ipynb")
    with atomic_file(target) as temporary:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return target


def _name_cells(notebook: NotebookNode) -> None:
    """Give each cell an id that depends on its text alone, numbered where two cells have the same text."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[name] += 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"


def _execute(notebook: NotebookNode, source: Path) -> State:
    """Fill in the outputs; return the state of every widget that is alive at the end, by its id."""
    # The collecting cell comes last and does not stay.
    collecting = nbformat.v4.new_code_cell(_COLLECT)
    notebook.cells.append(collecting)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        # Of a connection without encryption to the same machine there is nothing to warn.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(source.parent)}},
    )
    # A kernel named python3 of the user's is another environment; bars that go to stderr would be stored as noise.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        number = next(i for i, cell in enumerate(notebook.cells) if _failed(cell))
        where = f"cell {number}" if number < len(notebook.cells) - 1 else "after the last cell, storing the widgets"
        raise WorkbenchError(f"{source}: {where} raised {error.ename}: {error.evalue}") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise WorkbenchError(f"{source}: the kernel did not finish: {str(error).strip().splitlines()[0]}") from error
    notebook.cells.pop()
    (output,) = collecting.outputs
    state: State = json.loads(json.dumps(output.data[_COLLECTED]))
    return state


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


def _store_widgets(notebook: NotebookNode, state: State) -> list[str]:
    """Drop the views of progress bars and of closed widgets; store the state of the rest and return its ids."""
    views: list[str] = []
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if _is_kept(output, state)]
            views += [output.data[VIEW]["model_id"] for output in cell.outputs if VIEW in output.get("data", {})]
    kept = _reachable(views, state)
    if kept:
        stored = {model_id: state[model_id] for model_id in kept}
        notebook.metadata["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": stored}}
    return kept


def _is_kept(output: NotebookNode, state: State) -> bool:
    if VIEW not in output.get("data", {}):
        return True
    model_id = output.data[VIEW]["model_id"]
    return model_id in state and not _is_progress_bar(model_id, state)


def _is_progress_bar(model_id: str, state: State) -> bool:
    """Return whether a widget is what tqdm draws in a notebook: a text, a bar and a text in a row."""
    children = state[model_id]["state"].get("children", [])
    names = [state.get(child.removeprefix("IPY_MODEL_"), {}).get("model_name") for child in children]
    return names == ["HTMLModel", "FloatProgressModel", "HTMLModel"]


def _reachable(views: list[str], state: State) -> list[str]:
    """Return the ids of the displayed widgets, of all that they refer to, and of the links between those."""
    found: list[str] = []
    waiting = views[::-1]
    while waiting:
        model_id = waiting.pop()
        if model_id in state and model_id not in found:
            found.append(model_id)
            waiting += _references(state[model_id])[::-1]
    for model_id, model in state.items():
        if model["model_name"] in LINKS and model_id not in found and set(_references(model)) <= set(found):
            found.append(model_id)
    return found


def _references(model: dict[str, Any]) -> list[str]:
    return re.findall(r'"IPY_MODEL_([^"]+)"', json.dumps(model["state"]))


def _drop_addresses(notebook: NotebookNode) -> None:
    """Take the memory addresses out of objects' texts: `<Widget object at 0x7fc9ace82710>` differs in every run."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for texts, key in ((output, "text"), (output.get("data", {}), "text/plain")):
                if key in texts:
                    texts[key] = re.sub(r" at 0x[0-9a-f]{6,}>", ">", texts[key])


def _name_widgets(notebook: NotebookNode, model_ids: list[str], name: str) -> NotebookNode:
    """Replace the random ids of widgets, wherever they stand, by ones that the next run gives too."""
    text = nbformat.writes(notebook)
    for number, model_id in enumerate(model_ids):
        text = text.replace(model_id, hashlib.sha256(f"{name} {number}".encode()).hexdigest()[:32])
    return nbformat.reads(text, as_version=4)


def main(arguments: list[str] | None = None) -> int:
    """Build the notebooks that are named, or all of them; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("sources", nargs="*", type=Path, help=f"default: every notebooks/**/{PATTERN}")
    sources = parser.parse_args(arguments).sources or sorted(NOTEBOOKS.rglob(PATTERN))
    if not sources:
        sys.stderr.write(f"{NOTEBOOKS} holds no notebook: write one as NN_name.py, in jupytext's percent form.\n")
        return 1
    failed = False
    for source in sources:
        try:
            target = build(source)
        except WorkbenchError as error:
            sys.stderr.write(f"{error}\n")
            failed = True
        else:
            print(f"{target} ({target.stat().st_size / 1e6:.2f} MB)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
