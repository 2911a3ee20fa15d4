"""A runner takes turns with us, with another Python that knows nothing of this package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench.benchmarks.turns import answer, ask, started
from workbench.errors import ResourceError

RUNNER = """
import sys

def begin(case, peak_memory_mb):
    print("what a library says while it loads")
    assert "workbench" not in sys.modules

    def turn(line):
        print("and while it works")
        return {"sum": case["first"] + float(line), "peak_memory_mb": peak_memory_mb()}

    return {"first": case["first"]}, turn
"""


def runner(folder: Path) -> Path:
    path = folder / "runner.py"
    path.write_text(RUNNER, encoding="utf-8")
    return path


def test_facts_come_first_then_one_answer_for_every_line(tmp_path: Path) -> None:
    python, log = Path(sys.executable), tmp_path / "log.txt"
    with started(python, runner(tmp_path), {"first": 4}, log=log, environment={}) as process:
        assert answer(process, name="it", log=log) == {"first": 4}
        turns = [ask(process, line, name="it", log=log) for line in ("1", "0.5")]

    assert [turn["sum"] for turn in turns] == [5.0, 4.5]
    assert 1 < turns[0]["peak_memory_mb"] <= turns[1]["peak_memory_mb"] < 1_000
    assert process.poll() is not None
    assert log.read_text(encoding="utf-8").count("and while it works") == 2


def test_a_turn_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    python, log = Path(sys.executable), tmp_path / "log.txt"
    with started(python, runner(tmp_path), {"first": 4}, log=log, environment={}) as process:
        answer(process, name="it", log=log)
        with pytest.raises(ResourceError, match="it failed: ValueError: could not convert string to float: 'much"):
            ask(process, "much", name="it", log=log)
