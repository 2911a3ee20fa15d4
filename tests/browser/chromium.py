"""Run as a script (`make browser`) this gets a browser for the tests where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from workbench.benchmarks.browser.chromium import ADVICE, find_browser

# A bare Debian draws boxes instead of emoji and of scripts that are written from right to left.
PACKAGES = ("chromium", "fonts-noto-core", "fonts-noto-color-emoji")
WITHOUT = f"{ADVICE} Without one, tests/browser is skipped."


def provide_browser(
    find: Callable[[], Path | None] = find_browser,
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run,
    *,
    may_install: bool | None = None,
) -> str:
    """Find a browser, or install Debian's where that needs no question, and return one line that says which."""
    if found := find():
        return f"Browser: {found}"
    if may_install is None:
        may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    if not may_install:
        return f"No browser was found. {WITHOUT}"
    quiet = ["apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([*quiet, "update"], [*quiet, "install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"No browser was found, and `{' '.join(command)}` failed: {reason} {WITHOUT}"
    if found := find():
        return f"Browser: {found}, installed with apt-get"
    return f"apt-get installed {PACKAGES[0]}, but no browser was found afterwards. {WITHOUT}"


if __name__ == "__main__":
    sys.stdout.write(provide_browser() + "\n")
