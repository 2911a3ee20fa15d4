"""Where a browser for the tests is; run as a script (`make browser`) it gets one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A bare Debian draws boxes instead of emoji and of scripts that are written from right to left.
PACKAGES = ("chromium", "fonts-noto-core", "fonts-noto-color-emoji")
ADVICE = (
    "Install Chromium or Chrome, or run `python -m playwright install chromium`: without one, tests/browser is skipped."
)


def find_browser() -> Path | None:
    """Return the first Chromium or Chrome on the path, else the one that Playwright installed, else None."""
    for command in COMMANDS:
        if found := shutil.which(command):
            return Path(found)
    return _of_playwright()


def _of_playwright() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


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
        return f"No browser was found. {ADVICE}"
    quiet = ["apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([*quiet, "update"], [*quiet, "install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"No browser was found, and `{' '.join(command)}` failed: {reason} {ADVICE}"
    if found := find():
        return f"Browser: {found}, installed with apt-get"
    return f"apt-get installed {PACKAGES[0]}, but no browser was found afterwards. {ADVICE}"


if __name__ == "__main__":
    sys.stdout.write(provide_browser() + "\n")
