"""A browser is found where there is one, installed where that is possible, and asked for where it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.benchmarks.browser import chromium as browser
from workbench.errors import ConfigError

from . import chromium


def _fake_browser(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", browser.COMMANDS)
def test_a_browser_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = _fake_browser(tmp_path, name)
    assert browser.find_browser() == path


def test_without_one_on_the_path_that_of_playwright_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(browser, "_of_playwright", lambda: tmp_path / "chrome")
    assert browser.find_browser() == tmp_path / "chrome"


def test_without_playwright_or_a_browser_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    with pytest.raises(ConfigError, match=r"No browser was found\. .*playwright install chromium"):
        browser.started_browser().__enter__()
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(ConfigError, match=r"not installed: run pip install 'circuit-workbench\[browser\]'"):
        browser.started_browser().__enter__()


class Apt:
    """A package manager that brings a browser unless one of its commands fails."""

    def __init__(self, failing: str = "") -> None:
        self.commands: list[str] = []
        self.failing = failing

    def __call__(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(" ".join(command))
        status = 100 if self.failing and self.failing in command else 0
        return subprocess.CompletedProcess(command, status, stdout="", stderr="E: no network\n" if status else "")

    def find(self) -> Path | None:
        return Path("/usr/bin/chromium") if any("install" in command for command in self.commands) else None


def test_a_browser_that_is_there_is_left_alone(tmp_path: Path) -> None:
    apt = Apt()
    assert chromium.provide_browser(lambda: tmp_path, apt) == f"Browser: {tmp_path}"
    assert not apt.commands


def test_a_browser_is_installed_where_that_needs_no_question() -> None:
    apt = Apt()
    assert "installed with apt-get" in chromium.provide_browser(apt.find, apt, may_install=True)
    update, install = apt.commands
    assert update.endswith("update")
    assert "--no-install-recommends chromium fonts-noto-core fonts-noto-color-emoji" in install


@pytest.mark.parametrize("failing", ["update", "install"])
def test_a_failed_installation_says_why_in_one_line_and_stops(failing: str) -> None:
    apt = Apt(failing)
    line = chromium.provide_browser(lambda: None, apt, may_install=True)
    assert "E: no network" in line
    assert "\n" not in line
    assert failing in apt.commands[-1]


def test_where_nothing_may_be_installed_one_line_says_what_to_do() -> None:
    apt = Apt()
    line = chromium.provide_browser(lambda: None, apt, may_install=False)
    assert "playwright install chromium" in line
    assert "\n" not in line
    assert not apt.commands
