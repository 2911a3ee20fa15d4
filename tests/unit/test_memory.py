"""Memory is told in bytes before a job and in MB after it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from workbench.errors import ResourceError
from workbench.memory import available_memory, peak_memory_mb, require_memory


def test_available_memory_is_less_than_the_machine_has() -> None:
    assert 0 < available_memory() < psutil.virtual_memory().total


def test_the_peak_is_at_least_what_the_process_holds_now() -> None:
    resident = psutil.Process().memory_info().rss
    assert peak_memory_mb() * 1e6 >= 0.9 * resident


def test_the_peak_remembers_memory_that_was_given_back() -> None:
    # In a process of its own, whose peak no other test has raised.
    script = (
        "from workbench.memory import peak_memory_mb\n"
        "before = peak_memory_mb()\n"
        "held = bytearray(200_000_000)\n"
        "del held\n"
        "print(peak_memory_mb() - before)\n"
    )
    grown = float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert 180 < grown < 220


def test_a_job_that_fits_passes() -> None:
    require_memory(1, "A graph", "leave something out")


def test_a_job_that_does_not_fit_is_told_how_much_it_needs_and_what_to_do() -> None:
    with pytest.raises(
        ResourceError, match=r"^A graph needs 1000000000\.0 GB of memory, but \d+\.\d GB are available: use --cap\.$"
    ):
        require_memory(10**18, "A graph", "use --cap")
