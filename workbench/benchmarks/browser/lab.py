"""A JupyterLab page as its user has it: open a notebook, run its cells, ask its kernel, look at its widgets."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import nbformat

from workbench.benchmarks.browser.server import LabServer
from workbench.benchmarks.browser.traffic import Traffic

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LOAD_MS = 180_000  # JupyterLab loads megabytes of JavaScript and starts a kernel, on shared cores
RUN_MS = 300_000  # a cell may load a model
_PANEL = "window.jupyterapp.shell.currentWidget"


class KernelError(AssertionError):
    """Python code that a test ran in the kernel raised an exception."""


class Lab:
    """One browser page with JupyterLab in it. Cells are numbered from 0, Markdown cells included."""

    def __init__(self, page: Page, server: LabServer, traffic: Traffic, *, name: str) -> None:
        self.page, self.server, self.traffic = page, server, traffic
        self._name = name
        self.folder = server.folder / name
        self.folder.mkdir()

    # --- notebooks ----------------------------------------------------------------------------------------------------

    def open_notebook(self, path: Path, *, trusted: bool = True) -> None:
        """Open a copy of the notebook at ``path`` and wait until its kernel is idle.

        JupyterLab shows no stored widget and runs no stored script before somebody has trusted the notebook:
        ``trusted=False`` shows what a user sees who opens a file from elsewhere.
        """
        copy = self.folder / path.name
        if path != copy:
            shutil.copyfile(path, copy)
        relative = copy.relative_to(self.server.folder).as_posix()
        if trusted:
            self.server.request("POST", f"api/contents/{quote(relative)}/trust")
        else:
            _make_unknown(copy)
        self.page.goto(
            f"{self.server.url}lab/workspaces/{self._name}/tree/{relative}?reset&token={self.server.token}",
            timeout=LOAD_MS,
        )
        self.page.wait_for_function(
            """path => {
                const panel = window.jupyterapp?.shell?.currentWidget;
                return panel?.context?.isReady && panel.context.path === path && panel.sessionContext.isReady;
            }""",
            arg=relative,
            timeout=LOAD_MS,
        )
        self.wait_until_idle(timeout=LOAD_MS)

    def new_notebook(self, cells: Sequence[str], name: str = "scratch.ipynb") -> None:
        """Write a notebook with these code cells and open it."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)
        self.open_notebook(self.folder / name)

    def save(self) -> Path:
        """Save the notebook as the user's Ctrl+S does and return its path."""
        path: str = self.page.evaluate(
            f"async () => {{ await {_PANEL}.context.save(); return {_PANEL}.context.path; }}"
        )
        return self.server.folder / path

    def save_widgets_too(self, on: bool) -> None:
        """Switch "Save Widget State Automatically", which JupyterLab has off, for every notebook of this server."""
        command = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
        toggled = f"on => window.jupyterapp.commands.isToggled('{command}') === on"
        if not self.page.evaluate(toggled, on):
            self.page.evaluate(f"() => window.jupyterapp.commands.execute('{command}')")
        self.page.wait_for_function(toggled, arg=on)

    # --- cells --------------------------------------------------------------------------------------------------------

    def run_cell(self, index: int, *, may_fail: bool = False, timeout: float = RUN_MS) -> None:
        """Run one cell as Shift+Enter's command does, and wait until it has finished.

        Raises:
            KernelError: the cell raised an exception (unless ``may_fail``).
        """
        self._run("notebook:run-cell", index, timeout)
        if not may_fail:
            self._check_cell(index)

    def run_all(self, *, may_fail: bool = False, timeout: float = RUN_MS) -> None:
        """Run every cell from top to bottom and wait until the last has finished.

        Raises:
            KernelError: a cell raised an exception (unless ``may_fail``).
        """
        self._run("notebook:run-all-cells", 0, timeout)
        if not may_fail:
            for index in range(self.n_cells):
                self._check_cell(index)

    def start_cell(self, index: int) -> None:
        """Run one cell and do not wait for it; `wait_until_run` does."""
        self._start("notebook:run-cell", index)

    def wait_until_run(self, *, timeout: float = RUN_MS) -> None:
        """Wait until what was started last has finished."""
        self.page.wait_for_function("() => window.testRun.done", timeout=timeout)
        self.wait_until_idle(timeout=timeout)

    def write_cell(self, index: int, source: str) -> None:
        """Replace the source of a cell."""
        self.page.evaluate(
            f"([index, source]) => {_PANEL}.content.widgets[index].model.sharedModel.setSource(source)", [index, source]
        )

    @property
    def n_cells(self) -> int:
        """How many cells the notebook has."""
        return int(self.page.evaluate(f"() => {_PANEL}.content.widgets.length"))

    def look_of_cells(self) -> dict[str, Any]:
        """Return what a stray key would change: the cells with their sources and types, the active one, the mode."""
        look: dict[str, Any] = self.page.evaluate(
            f"""() => {{
                const notebook = {_PANEL}.content;
                return {{
                    cells: notebook.widgets.map(cell => [cell.model.type, cell.model.sharedModel.getSource()]),
                    active: notebook.activeCellIndex,
                    selected: notebook.selectedCells.length,
                    mode: notebook.mode,
                }};
            }}"""
        )
        return look

    def cell_output(self, index: int) -> list[dict[str, Any]]:
        """Return the outputs of a cell as the notebook format has them."""
        outputs: list[dict[str, Any]] = self.page.evaluate(
            f"index => {_PANEL}.content.widgets[index].model.outputs?.toJSON() ?? []", index
        )
        return outputs

    def cell(self, index: int) -> Locator:
        """Scroll to a cell and return its locator."""
        self.page.evaluate(
            f"""async index => {{
                const notebook = {_PANEL}.content;
                // Cells far from the screen are not in the page at all until they are scrolled to.
                await notebook.scrollToItem(index);
                notebook.widgets.forEach((cell, i) => cell.node.setAttribute('data-test-cell', String(i)));
            }}""",
            index,
        )
        return self.page.locator(f'[data-test-cell="{index}"]')

    def output(self, index: int) -> Locator:
        """Return the locator of a cell's output area."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def widget(self, index: int) -> Locator:
        """Return the locator of the widgets that a cell shows (the outermost ones, in their order)."""
        # An anywidget's element carries no class of its own; that of any widget is the child of a panel.
        return self.output(index).locator(".jp-OutputArea-output.lm-Panel > .lm-Widget")

    def _run(self, command: str, index: int, timeout: float) -> None:
        self._start(command, index)
        self.wait_until_run(timeout=timeout)

    def _start(self, command: str, index: int) -> None:
        self.page.evaluate(
            f"""([command, index]) => {{
                {_PANEL}.content.deselectAll();
                {_PANEL}.content.activeCellIndex = index;
                window.testRun = {{ done: false }};
                const finish = () => {{ window.testRun.done = true; }};
                // Not awaited here: an evaluation in the page has no timeout, waiting for the flag has one.
                window.jupyterapp.commands.execute(command).then(finish, finish);
            }}""",
            [command, index],
        )

    def _check_cell(self, index: int) -> None:
        for output in self.cell_output(index):
            if output["output_type"] == "error":
                raise KernelError(f"cell {index} raised {output['ename']}: {output['evalue']}")

    # --- the kernel ---------------------------------------------------------------------------------------------------

    def wait_until_idle(self, *, timeout: float = RUN_MS) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(
            f"() => {_PANEL}.sessionContext.session?.kernel?.status === 'idle'", timeout=timeout
        )

    def python(self, expression: str, *, timeout: float = RUN_MS) -> Any:
        """Evaluate a Python expression among the notebook's names and return its value, which must be plain JSON.

        No cell is made and the execution counter does not move.

        Raises:
            KernelError: the expression raised an exception.
        """
        return self._ask("", f"__import__('json').dumps({expression})", timeout)

    def execute(self, code: str, *, timeout: float = RUN_MS) -> None:
        """Execute Python statements among the notebook's names, without a cell.

        Raises:
            KernelError: they raised an exception.
        """
        self._ask(code, "'null'", timeout)

    def wait_for_python(self, expression: str, *, timeout: float = 60_000) -> None:
        """Wait until a Python expression is true in the kernel; on a timeout say what it was at last.

        Raises:
            AssertionError: it never became true.
        """
        # Each question is one message to the kernel and its reply, so this asks as fast as the kernel answers.
        last: Any = None
        deadline = self.page.evaluate("ms => performance.now() + ms", timeout)
        while self.page.evaluate("() => performance.now()") < deadline:
            last = self.python(f"(lambda value: [bool(value), repr(value)])({expression})", timeout=timeout)
            if last[0]:
                return
        raise AssertionError(f"{expression} did not become true in {timeout / 1000:.0f} s: it is {last and last[1]}")

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does once its question is answered."""
        self.page.evaluate(f"() => {_PANEL}.sessionContext.restartKernel()")
        self.wait_until_idle(timeout=LOAD_MS)

    def _ask(self, code: str, expression: str, timeout: float) -> Any:
        self.page.evaluate(
            f"""([code, expression]) => {{
                window.testReply = null;
                const kernel = {_PANEL}.sessionContext.session.kernel;
                const request = {{ code, store_history: false, user_expressions: {{ value: expression }} }};
                kernel.requestExecute(request).done.then(
                    reply => {{ window.testReply = reply.content; }},
                    error => {{ window.testReply = {{ status: 'error', ename: 'Error', evalue: `${{error}}` }}; }},
                );
            }}""",
            [code, expression],
        )
        self.page.wait_for_function("() => window.testReply !== null", timeout=timeout)
        reply = self.page.evaluate("() => window.testReply")
        if reply["status"] == "ok":
            reply = reply["user_expressions"]["value"]
        if reply["status"] != "ok":
            raise KernelError(f"{expression if not code else code!r} raised {reply['ename']}: {reply['evalue']}")
        return json.loads(ast.literal_eval(reply["data"]["text/plain"]))

    # --- looks --------------------------------------------------------------------------------------------------------

    def set_theme(self, theme: Literal["light", "dark"]) -> None:
        """Switch JupyterLab to its light or its dark theme and wait until it is shown."""
        name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[theme]
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        # JupyterLab's curtain has to be gone: when the next change comes too soon, it is taken away twice.
        self.page.wait_for_function(
            "name => document.body.dataset.jpThemeName === name && !document.getElementById('jupyterlab-splash')",
            arg=name,
        )

    def screenshot(self, target: str | Locator | None, path: Path) -> Path:
        """Write a picture of a part of the page (a selector or a locator), or of all of it, and return its path."""
        if target is None:
            self.page.screenshot(path=path)
        else:
            (self.page.locator(target) if isinstance(target, str) else target).first.screenshot(path=path)
        return path


def _make_unknown(path: Path) -> None:
    """Change a notebook's bytes where nobody sees it: trust is a signature of the content, not of the file."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["unknown"] = str(path)
    nbformat.write(notebook, path)
