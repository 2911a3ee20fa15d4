"""A process of another virtual environment that takes turns with ours: a line asks, a line of JSON answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, ResourceError

_FOREIGN = Path(__file__).with_name("foreign.py")


def python_with(venv: Path | str, package: str, *, module: str) -> Path:
    """Return the Python of a virtual environment that holds a package.

    Args:
        package: as pip calls it.
        module: what is imported of it.

    Raises:
        ConfigError: there is no such environment, or the package is not in it.
    """
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    python = Path(venv).expanduser().absolute().joinpath(*inside)
    if not python.is_file():
        raise ConfigError(f"There is no {python}: give the folder of a virtual environment with {package}.")
    asked = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    if subprocess.run([python, "-I", "-c", asked], capture_output=True, check=False).returncode:
        raise ConfigError(f"{venv} has no {package}: install it there with `{python} -m pip install {package}`.")
    return python


@contextmanager
def started(
    python: Path, runner: Path, case: Mapping[str, Any], *, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a runner on a case; it ends with the context.

    Args:
        python: of the virtual environment that the runner needs.
        log: where its standard error goes.
        environment: variables that are set beside those of this process.
    """
    with log.open("w") as file:
        # Isolated: neither this package's folder nor the environment of this process may shadow its packages.
        process = subprocess.Popen(
            [python, "-I", _FOREIGN, runner, json.dumps(case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, **environment},
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


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
