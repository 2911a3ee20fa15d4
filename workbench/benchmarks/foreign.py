"""Lets a runner take turns: run by path, with the Python of a virtual environment that another program is installed in.

It and the runners know nothing of this package, which that environment lacks, and import nothing from beside them: the
names of our modules would hide theirs. The arguments are the runner's file and a case as JSON. A runner has a function
``begin(case, peak_memory_mb)`` that makes everything ready and returns facts and a function of one line; for every
line on standard input, that function does a timed turn and returns what it found. Facts and findings are answered on
standard output, one line of JSON each.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def main(runner: str, case: dict[str, Any]) -> None:
    """Let a runner begin, then take a turn whenever a line asks for it."""
    # What a library prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    spec = spec_from_file_location("runner", runner)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    facts, turn = module.begin(case, peak_memory_mb)
    answer(facts)
    for line in sys.stdin:
        answer(turn(line))


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MB (10⁶ bytes)."""
    # The high-water mark of this address space: that of getrusage may be the parent's.
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if found:
        return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
