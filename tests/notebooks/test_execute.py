"""Every notebook runs from a clean kernel, in a folder that holds nothing but the notebooks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from . import checks
from .building import build
from .test_stored import CHECKS, NOTEBOOKS


@pytest.mark.integration
@NOTEBOOKS
def test_the_notebook_runs_and_shows_what_is_stored(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(checks.ROOT / "notebooks", folder)
    copy = folder / source.relative_to(checks.ROOT / "notebooks")
    stored = copy.with_suffix(".ipynb")
    expected = checks.kinds(checks.read(stored))
    stored.unlink()
    result = build(copy)
    assert result.returncode == 0, result.stderr
    assert checks.kinds(checks.read(stored)) == expected
    assert not [problem for check in CHECKS for problem in check(checks.read(stored))]
