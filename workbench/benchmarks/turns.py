"""A process of another virtual environment that takes turns with ours: a line asks, a line of JSON answers."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import ResourceError


def ask(process: subprocess.Popen[str], line: str, *, name: str, log: Path) -> dict[str, Any]:
    """Send a line and return the answer; see :func:`answer`."""
    assert process.stdin is not None
    # Where the process has ended, reading its answer tells why.
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return answer(process, name=name, log=log)


def answer(process: subprocess.Popen[str], *, name: str, log: Path) -> dict[str, Any]:
    """Return the next line that the process says.

    Args:
        name: of the program, for the error.
        log: where its standard error goes.

    Raises:
        ResourceError: it ended instead.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        status = process.wait()
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ResourceError(f"{name} failed: {(said or [f'it ended with status {status}'])[-1]}")
    return dict(json.loads(line))
