"""A real JupyterLab and a real browser: one server and one browser for all these tests, a fresh page for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import Error as PlaywrightError

from workbench.benchmarks.browser.chromium import find_browser, started_browser
from workbench.benchmarks.browser.lab import Lab
from workbench.benchmarks.browser.server import LabServer, lab_server
from workbench.benchmarks.browser.traffic import Traffic

from .cells import TINY_BENCH


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Package scope, not session: while Playwright's loop runs in this thread no other test can start one of its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no browser was found: run `make browser`")
    with started_browser() as started:
        yield started


@pytest.fixture(scope="package")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    with lab_server(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@contextmanager
def _watched(node: pytest.Item | pytest.Collector, browser: Browser, folder: Path) -> Iterator[BrowserContext]:
    """A browser context whose requests and complaints are recorded for a test, or for all tests of a module."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    traffic = Traffic(context)
    node.stash[_WATCHED] = (context, traffic, folder)
    yield context
    context.close()
    traffic.check()


@pytest.fixture
def traffic(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Traffic]:
    """The requests and complaints of this test's page; a request to another host fails the test."""
    with _watched(request.node, browser, tmp_path):
        yield request.node.stash[_WATCHED][1]


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


@pytest.fixture(scope="module")
def shared_lab(
    request: pytest.FixtureRequest, browser: Browser, server: LabServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """One page for all tests of a module: JupyterLab and a kernel with torch start once, not for every test.

    Each test makes what it needs anew, because one that failed may have left something behind.
    """
    name = request.node.path.stem
    with _watched(request.node, browser, tmp_path_factory.mktemp(name)) as context:
        yield Lab(context.new_page(), server, request.node.stash[_WATCHED][1], name=name)
        server.stop_kernels()


@pytest.fixture(scope="module")
def _tiny_notebook(shared_lab: Lab) -> Lab:
    shared_lab.new_notebook([TINY_BENCH, "", ""])
    return shared_lab


@pytest.fixture
def tiny(_tiny_notebook: Lab) -> Iterator[Lab]:
    """The shared page with a notebook whose kernel holds a tiny ``bench`` and its ``graph``; cells 1 and 2 are free.

    What the page complains about in the browser's console fails the test.
    """
    # Tests that restart or stop the kernel leave one without the names of the first cell.
    if _tiny_notebook.python("'features' not in globals()"):
        _tiny_notebook.run_cell(0)
    # Names that an earlier test gave to features.
    _tiny_notebook.execute("bench.labels.path.unlink(missing_ok=True)")
    _tiny_notebook.traffic.errors.clear()
    yield _tiny_notebook
    assert not _tiny_notebook.traffic.errors


_WATCHED: pytest.StashKey[tuple[BrowserContext, Traffic, Path]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the page looked like and complained about when a test fails."""
    report = yield
    if not report.failed:
        return report
    for node in (item, item.getparent(pytest.Module)):
        if node is None or (watched := node.stash.get(_WATCHED, None)) is None:
            continue
        context, traffic, folder = watched
        for number, page in enumerate(context.pages):
            path = folder / f"failure-{number}-{re.sub(r'[^a-zA-Z0-9]+', '-', item.name)[:60]}.png"
            try:
                page.screenshot(path=path, timeout=20_000)
            except PlaywrightError as error:
                report.sections.append(("screenshot", f"none: {error.message}"))
            else:
                report.sections.append(("screenshot", str(path)))
        report.sections.append(("errors in the page", "\n".join(traffic.errors[-30:]) or "none"))
    return report
