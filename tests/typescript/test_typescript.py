"""The TypeScript's own checks and tests, and whether the bundles are what it builds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIDGETS = ROOT / "widgets"
STATIC = ROOT / "workbench" / "widgets" / "static"


@pytest.fixture(scope="module")
def npm() -> str:
    found = shutil.which("npm")
    if found is None:
        pytest.skip("npm was not found: install Node 20 or newer to check the TypeScript of the widgets")
    if not (WIDGETS / "node_modules").is_dir():
        pytest.skip("widgets/node_modules is missing: run make widgets first")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=WIDGETS, capture_output=True, text=True, check=False)


def test_types_and_style_are_clean(npm: str) -> None:
    done = run(npm, "run", "check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_typescript_test_passes(npm: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run("npx", "vitest", "run", "--reporter=default", "--reporter=json", f"--outputFile={report}")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(report.read_text(encoding="utf-8"))
    assert counts["numPassedTests"] == counts["numTotalTests"] > 0


def test_the_committed_bundles_are_what_the_sources_build(npm: str, tmp_path: Path) -> None:
    done = run("node", "build.mjs", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert built.keys() == committed.keys()
    assert [name for name in built if built[name] != committed[name]] == [], "run make widgets and commit the bundles"
