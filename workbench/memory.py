"""How much memory there is, and how much this process has used at its peak."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import psutil

from workbench.errors import ResourceError


def available_memory() -> int:
    """Return the bytes that this machine can still hand out without swapping."""
    return int(psutil.virtual_memory().available)


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MB (10⁶ bytes)."""
    if sys.platform == "linux":
        # getrusage carries the peak of the parent over fork and exec: a command started from a large notebook
        # would report the notebook's. The high-water mark of the address space starts anew.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        if found:
            return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def require_memory(n_bytes: int, what: str, remedy: str, *, available: int | None = None) -> None:
    """Check that memory will suffice before a long job starts.

    Args:
        available: free bytes of what is to hold it; by default this machine's memory.

    Raises:
        ResourceError: less than ``n_bytes`` are available.
    """
    available = available_memory() if available is None else available
    if available < n_bytes:
        raise ResourceError(
            f"{what} needs {n_bytes / 1e9:.1f} GB of memory, but {available / 1e9:.1f} GB are available: {remedy}."
        )
