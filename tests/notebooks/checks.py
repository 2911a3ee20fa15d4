"""What must hold for a stored notebook. Each check returns one line a problem, and nothing where all is well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.py"))
BUNDLES = ROOT / "workbench" / "widgets" / "static"
MAX_BYTES = 3_000_000
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
BUILD = "run `make notebooks`"

_WARNING = re.compile(r"\b\w*Warning:|\bwarnings\.warn\(|\bWARNING\b")
_MACHINE = re.compile(r"(?<![\w.~-])/(?:work|home|root|tmp|Users|private)/[\w.-]+")
# What a browser would load from elsewhere: a link that a reader may click is none of it.
_REMOTE = re.compile(
    r"""(?:\bsrc\s*=\s*["']?|<link\b[^>]*\bhref\s*=\s*["']?|\bimport\s*\(?\s*["'`]|\bfrom\s*["'`]|\burl\(\s*["']?)"""
    r"""\s*https?://[^\s"'`)>]*""",
    re.IGNORECASE,
)


def read(path: Path) -> NotebookNode:
    """Read a stored notebook."""
    assert path.is_file(), f"{path.name} is missing: {BUILD}"
    return nbformat.read(path, as_version=4)


def pairing(source: Path, notebook: NotebookNode) -> list[str]:
    """The Python file and the notebook have the same cells."""
    expected = [(cell.cell_type, cell.source) for cell in jupytext.read(source).cells]
    found = [(cell.cell_type, cell.source) for cell in notebook.cells]
    if len(expected) != len(found):
        return [f"{source.name} has {len(expected)} cells, the notebook {len(found)}: {BUILD}"]
    differing = [i for i, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1]]
    return [f"cell {i} differs from {source.name}: {BUILD}" for i in differing]


def execution(notebook: NotebookNode) -> list[str]:
    """Every code cell was executed, once, from top to bottom."""
    counts = [cell.execution_count for cell in _code(notebook) if cell.source.strip()]
    expected = list(range(1, len(counts) + 1))
    return [] if counts == expected else [f"the cells were executed as {counts}, not from top to bottom: {BUILD}"]


def outputs(notebook: NotebookNode) -> list[str]:
    """No output is an error, comes from stderr or warns; some cell shows something."""
    problems = [
        problem
        for i, output in _outputs(notebook)
        for problem in (
            f"cell {i} raised {output.get('ename')}" if output.output_type == "error" else "",
            f"cell {i} wrote to stderr: {output.get('text', '')[:80]!r}" if output.get("name") == "stderr" else "",
            *(f"cell {i} warns: {text[:80]!r}" for text in _texts(output) if _WARNING.search(text)),
        )
        if problem
    ]
    if not list(_outputs(notebook)):
        problems.append(f"no output is stored: {BUILD}")
    return problems


def widgets(notebook: NotebookNode) -> list[str]:
    """Every widget that is displayed is stored with all that it refers to, and with the module of today."""
    state: dict[str, Any] = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    problems = []
    for i, output in _outputs(notebook):
        if VIEW in output.get("data", {}) and output.data[VIEW]["model_id"] not in state:
            problems.append(f"cell {i} displays a widget whose state is not stored")
    for model in state.values():
        for text in _strings(model["state"]):
            if text.startswith("IPY_MODEL_") and text.removeprefix("IPY_MODEL_") not in state:
                problems.append(f"a {model['model_name']} refers to a widget whose state is not stored")
        if model["model_name"] == "FloatProgressModel":
            problems.append("a progress bar is stored")
        ours = str(model["state"].get("_anywidget_id", "")).startswith("workbench.")
        if ours and model["state"].get("_esm") not in {path.read_text("utf-8") for path in BUNDLES.glob("*.js")}:
            problems.append(f"a {model['state']['_anywidget_id']} is stored with an older bundle: {BUILD}")
        if model["model_module"] == "anywidget" and "export" not in model["state"].get("_esm", ""):
            problems.append("an anywidget is stored without the text of its module")
    return problems


def leaks(notebook: NotebookNode) -> list[str]:
    """No output names a folder of the machine that it was made on, or loads anything from another host."""
    shown = [text for _, output in _outputs(notebook) for text in _texts(output)]
    stored = list(_strings(notebook.metadata.get("widgets", {})))
    problems = [f"an output names {found[0]}" for text in shown + stored if (found := _MACHINE.search(text))]
    problems += [f"an output loads {found[0]}" for text in shown + stored if (found := _REMOTE.search(text))]
    return problems


def size(path: Path) -> list[str]:
    """The file is small enough for a repository."""
    if not path.is_file():
        return [f"{path.name} is missing: {BUILD}"]
    n_bytes = path.stat().st_size
    return [] if n_bytes <= MAX_BYTES else [f"{path.name} has {n_bytes / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}"]


def kinds(notebook: NotebookNode) -> list[list[tuple[str, ...]]]:
    """Return for each code cell which kinds of output it shows, to compare two executions."""
    return [[_kind(output) for output in cell.outputs] for cell in _code(notebook)]


def _kind(output: NotebookNode) -> tuple[str, ...]:
    return (output.output_type, *sorted(output.get("data", {})), *([output.name] if "name" in output else []))


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield i, output


def _texts(output: NotebookNode) -> list[str]:
    """Return the texts of an output; pictures are base64, in which any letters can come up."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    traceback = output.get("traceback", [])
    return [*_strings(data), *([output.text] if "text" in output else []), *traceback]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != "buffers":
                yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
