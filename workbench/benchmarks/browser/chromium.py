"""The browser: where it is, and how it is started so that it talks to nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import ConfigError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = "Install Chromium or Chrome, or run `python -m playwright install chromium`."

# The browser talks to nobody by itself, and no name but this machine's resolves: a guard behind the guard of Traffic.
FLAGS = [
    "--no-sandbox",  # containers run as root, where the sandbox cannot start; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


def find_browser() -> Path | None:
    """Return the first Chromium or Chrome on the path, else the one that Playwright installed, else None."""
    for command in COMMANDS:
        if found := shutil.which(command):
            return Path(found)
    return _of_playwright()


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Start a browser without a window; it ends with the context.

    Raises:
        ConfigError: there is no Playwright, or no browser.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ConfigError(
            "Playwright, which drives the browser, is not installed: run pip install 'circuit-workbench[browser]'."
        ) from error
    executable = find_browser()
    if executable is None:
        raise ConfigError(f"No browser was found. {ADVICE}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS, timeout=120_000)
        yield browser
        browser.close()


def _of_playwright() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None
