"""Where nobody reads the list of skipped tests (`CI=true`), a skipped test fails the run and is named.

With xdist each worker hands its list to the controller when it ends.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

_KEY = "strict_ci_skips"


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        config.pluginmanager.register(NoSkips(config), "no-skips")


class NoSkips:
    """Collects what was skipped, reports it at the end and turns success into failure."""

    def __init__(self, config: pytest.Config) -> None:
        self._worker_output: dict[str, Any] | None = getattr(config, "workeroutput", None)
        self._has_workers = self._worker_output is None and bool(config.getoption("dist", "no") != "no")
        self._skips: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._add(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self._has_workers and not hasattr(report, "wasxfail"):
            self._add(report)

    def _add(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped:
            place = report.longrepr
            reason = place[2] if isinstance(place, tuple) else str(place)
            self._skips[report.nodeid] = reason.removeprefix("Skipped: ")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A worker that crashed has no output, but then the run fails anyway.
        self._skips.update(getattr(node, "workeroutput", {}).get(_KEY, {}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._worker_output is not None:
            self._worker_output[_KEY] = self._skips
        elif self._skips and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skips:
            terminalreporter.section("skipped tests fail the run where CI=true", red=True, bold=True)
            for name, reason in sorted(self._skips.items()):
                terminalreporter.line(f"SKIPPED IN CI {name}: {reason}")
