"""The notebooks as they are stored: paired, executed, complete, small, and of no machine in particular."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from . import checks

NOTEBOOKS = pytest.mark.parametrize("source", checks.SOURCES, ids=lambda path: path.stem)
CHECKS = [checks.execution, checks.outputs, checks.widgets, checks.leaks]


@NOTEBOOKS
def test_the_python_file_and_the_notebook_have_the_same_cells(source: Path) -> None:
    assert not checks.pairing(source, checks.read(source.with_suffix(".ipynb")))


@NOTEBOOKS
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_is_stored_is_complete_and_clean(source: Path, check: Callable[[NotebookNode], list[str]]) -> None:
    assert not check(checks.read(source.with_suffix(".ipynb")))


@NOTEBOOKS
def test_the_notebook_is_small(source: Path) -> None:
    assert not checks.size(source.with_suffix(".ipynb"))


def test_every_notebook_has_its_python_file() -> None:
    stored = {path.with_suffix("") for path in (checks.ROOT / "notebooks").rglob("*.ipynb")}
    stored = {path for path in stored if ".ipynb_checkpoints" not in path.parts}
    assert stored == {path.with_suffix("") for path in checks.SOURCES}
