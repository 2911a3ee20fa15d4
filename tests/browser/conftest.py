"""A real JupyterLab and a real browser: one server and one browser for all these tests, a fresh page for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from .chromium import find_browser
from .lab import Lab
from .server import LabServer, lab_server
from .traffic import Traffic

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Package scope, not session: while Playwright's loop runs in this thread no other test can start one of its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        pytest.skip("no browser was found: run `make browser`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=FLAGS, timeout=120_000)
        yield started
        started.close()


@pytest.fixture(scope="package")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    with lab_server(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture
def traffic(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Traffic]:
    """The requests and complaints of this test's page; a request to another host fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    watched = Traffic(context)
    request.node.stash[_WATCHED] = (context, watched, tmp_path)
    yield watched
    context.close()
    watched.check()


@pytest.fixture
def page(request: pytest.FixtureRequest, traffic: Traffic) -> Page:
    """A fresh browser page without JupyterLab, for files and for pages of the test's own."""
    context, _, _ = request.node.stash[_WATCHED]
    return context.new_page()


@pytest.fixture
def lab(request: pytest.FixtureRequest, page: Page, server: LabServer, traffic: Traffic) -> Iterator[Lab]:
    """A fresh page that `Lab` drives; the kernels are stopped after the test."""
    yield Lab(page, server, traffic, name=re.sub(r"\W+", "-", request.node.name).strip("-"))
    server.stop_kernels()


_WATCHED = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the page looked like and complained about when a test fails."""
    report = yield
    if report.failed and (watched := item.stash.get(_WATCHED, None)):
        context, traffic, folder = watched
        for number, page in enumerate(context.pages):
            path = folder / f"failure-{number}.png"
            try:
                page.screenshot(path=path, timeout=20_000)
            except PlaywrightError as error:
                report.sections.append(("screenshot", f"none: {error.message}"))
            else:
                report.sections.append(("screenshot", str(path)))
        report.sections.append(("errors in the page", "\n".join(traffic.errors[-30:]) or "none"))
    return report
