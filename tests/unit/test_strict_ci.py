"""A skipped test fails the run in CI, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PASSES = "def test_passes(): assert True\n"
FAILS = "def test_fails(): assert False\n"
SKIPS = "import pytest\ndef test_skips(): pytest.skip('no network here')\n"
SKIPS_WHOLLY = "import pytest\npytest.skip('nothing here', allow_module_level=True)\n"
EXPECTS_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_is_known_to_fail(): assert False\n"
SKIPS_IN_A_FIXTURE = """
import pytest
@pytest.fixture
def browser(): pytest.skip('no browser here')
def test_needs_it(browser): pass
"""
WORKERS = pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])


def _run(folder: Path, sources: dict[str, str], *options: str, ci: bool) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, source in {"passing": PASSES, **sources}.items():
        (folder / f"test_{name}.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "PYTEST"))}
    environment |= {"PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "strict_ci", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@WORKERS
def test_skips_fail_the_run_in_ci_and_are_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    sources = {"one": SKIPS, "fixture": SKIPS_IN_A_FIXTURE, "module": SKIPS_WHOLLY, "expected": EXPECTS_FAILURE}
    result = _run(tmp_path, sources, *options, ci=True)
    assert result.returncode == 1, result.stdout
    assert [line for line in result.stdout.splitlines() if line.startswith("SKIPPED IN CI")] == [
        "SKIPPED IN CI test_fixture.py::test_needs_it: no browser here",
        "SKIPPED IN CI test_module.py: nothing here",
        "SKIPPED IN CI test_one.py::test_skips: no network here",
    ]


@WORKERS
def test_a_run_without_skips_passes_in_ci(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = _run(tmp_path, {"expected": EXPECTS_FAILURE}, *options, ci=True)
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 xfailed" in result.stdout


def test_skips_fail_nothing_where_somebody_reads_the_summary(tmp_path: Path) -> None:
    result = _run(tmp_path, {"one": SKIPS, "module": SKIPS_WHOLLY}, ci=False)
    assert result.returncode == 0, result.stdout
    assert "SKIPPED IN CI" not in result.stdout


def test_a_failure_stays_a_failure(tmp_path: Path) -> None:
    result = _run(tmp_path, {"one": SKIPS, "bad": FAILS}, ci=True)
    assert result.returncode == 1
    assert "1 failed, 1 passed, 1 skipped" in result.stdout
