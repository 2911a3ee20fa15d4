"""The widgets as their user handles them: with the mouse, the keyboard, and the eyes."""

from __future__ import annotations

from typing import Any, TypedDict

from playwright.sync_api import Dialog, Locator, Page, expect

from workbench.benchmarks.browser.lab import Lab


class Point(TypedDict):
    """A place on a canvas or on the page, in CSS pixels."""

    x: float
    y: float


class ExplorerView:
    """One view of a GraphExplorer, in JupyterLab or on a page of its own."""

    def __init__(self, root: Locator) -> None:
        expect(root).to_have_attribute("data-ready", "true", timeout=60_000)
        self.root = root
        self.canvas = root.get_by_test_id("graph-canvas")
        self.details = root.get_by_test_id("details")
        self.tooltip = root.get_by_test_id("tooltip")
        self.threshold = root.get_by_test_id("threshold")
        self.label = self.details.get_by_test_id("label")

    @classmethod
    def of(cls, parent: Locator | Page) -> ExplorerView:
        """Return the view inside an element or a page, once it has drawn its graph."""
        return cls(parent.get_by_test_id("graph-explorer"))

    @classmethod
    def shown_by(cls, lab: Lab, code: str = "bench.explore(graph)", *, cell: int = 1) -> ExplorerView:
        """Run a cell that shows an explorer, which Python calls ``explorer`` from then on."""
        # A pointer that rests where the graph will be is on a node at once.
        lab.page.mouse.move(0, 0)
        lab.write_cell(cell, f"explorer = {code}\nexplorer")
        lab.run_cell(cell)
        return cls.of(lab.widget(cell))

    def place(self, node_id: str) -> Point:
        """Return where a node stands on the canvas.

        Raises:
            AssertionError: the node is not drawn.
        """
        point: Point | None = self.root.evaluate("(root, id) => root.nodePosition(id)", node_id)
        assert point is not None, f"{node_id} is not drawn"
        return point

    def draws(self, node_id: str) -> bool:
        """Return whether a node is drawn."""
        return bool(self.root.evaluate("(root, id) => root.nodePosition(id) !== null", node_id))

    def hover(self, node_id: str) -> None:
        self.canvas.hover(position=self.place(node_id))

    def click(self, node_id: str, *modifiers: str) -> None:
        self.canvas.click(position=self.place(node_id), modifiers=list(modifiers))  # type: ignore[arg-type]

    def leave(self) -> None:
        """Move the pointer to where no node is meant."""
        self.root.get_by_test_id("counts").hover()

    def drag(
        self, start: tuple[float, float], end: tuple[float, float], *, shift: bool = False, drop: bool = True
    ) -> None:
        """Drag a rectangle from one point of the canvas to another one; without ``drop`` the button stays down."""
        page = self.root.page
        self.canvas.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        assert box is not None
        if shift:
            page.keyboard.down("Shift")
        page.mouse.move(box["x"] + start[0], box["y"] + start[1])
        page.mouse.down()
        page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=4)
        if drop:
            page.mouse.up()
        if shift:
            page.keyboard.up("Shift")

    def show_details_of(self, node_id: str) -> None:
        """Wait until the pane shows a node."""
        expect(self.details).to_have_attribute("data-node", node_id)

    def chips(self, group: str) -> list[str]:
        """Return the ids of the nodes that the pane lists as "selected" or "pinned"."""
        return _ids(self.details.get_by_test_id(group))

    def rows(self, direction: str) -> list[str]:
        """Return the ids in the list "incoming", "outgoing" or "influential"."""
        return _ids(self.details.get_by_test_id(direction))

    def show_all_edges_of(self, lab: Lab, node_id: str) -> None:
        """Wait until the pane lists every edge that a node has in Python's graph."""
        self.show_details_of(node_id)
        lab.execute("edges = explorer.graph.edges")
        for direction, end in (("incoming", "target"), ("outgoing", "source")):
            count = lab.python(f"int((edges[{end!r}] == {node_id!r}).sum())")
            expect(self.details.get_by_test_id(direction).locator("[data-id]")).to_have_count(count)

    def pixels(self) -> list[str]:
        """Return what all layers of the canvas show, for comparing one look with another."""
        pictures: list[str] = self.root.locator("canvas").evaluate_all("all => all.map(layer => layer.toDataURL())")
        return pictures

    def wait_for_pixels(self, pictures: list[str], *, same: bool) -> None:
        """Wait until all layers look like these pictures, or until one does not."""
        self.root.page.wait_for_function(
            """([root, pictures, same]) => {
                const now = [...root.querySelectorAll('canvas')].map(layer => layer.toDataURL());
                return now.every((picture, layer) => picture === pictures[layer]) === same;
            }""",
            arg=[self.root.element_handle(), pictures, same],
        )

    @property
    def brightness(self) -> int:
        """The brightest channel of the background, up to 255."""
        colour: str = self.root.evaluate("root => getComputedStyle(root).backgroundColor")
        return max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


class SlidersView:
    """One view of InterventionSliders."""

    def __init__(self, root: Locator) -> None:
        expect(root).to_be_visible(timeout=60_000)
        self.root = root
        self.reset = root.get_by_test_id("reset")
        self.notice = root.locator(".wb-notice-text")
        self.bars = root.locator("tr[data-token-id]")

    @classmethod
    def of(cls, parent: Locator | Page) -> SlidersView:
        """Return the view inside an element or a page."""
        return cls(parent.get_by_test_id("intervention-sliders"))

    @classmethod
    def shown_by(cls, lab: Lab, code: str, *, cell: int = 1) -> SlidersView:
        """Run a cell that shows sliders, which Python calls ``sliders`` from then on, and wait for the first result."""
        lab.write_cell(cell, f"sliders = {code}\nsliders")
        lab.run_cell(cell)
        view = cls.of(lab.widget(cell))
        view.settle()
        return view

    def row(self, node_id: str) -> Locator:
        return self.root.locator(f'[data-node="{node_id}"]')

    def slider(self, node_id: str) -> Locator:
        return self.row(node_id).get_by_role("slider")

    def field(self, node_id: str) -> Locator:
        return self.row(node_id).get_by_role("spinbutton")

    def mode(self, name: str) -> Locator:
        return self.root.locator(f'input[data-mode="{name}"]')

    def tool(self, node_id: str, name: str) -> Locator:
        """Return a slider's small button: Link, Unlink, Sweep or Remove."""
        return self.row(node_id).locator(f'.sliders-tool[aria-label^="{name}"]')

    def show_pane(self, name: str) -> None:
        """Show the pane "tokens", "features" or "curve"."""
        self.root.get_by_test_id(f"tab-{name}").click()

    def drag(self, node_id: str, *factors: float) -> None:
        """Drag the thumb of a slider from where it stands over some factors to the last of them."""
        slider = self.slider(node_id)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        mouse = self.root.page.mouse
        # The thumb's centre stays half a thumb away from either end of the track.
        thumb = 16.0
        low, high = float(slider.get_attribute("min") or 0), float(slider.get_attribute("max") or 0)
        y = box["y"] + box["height"] / 2

        def x(factor: float) -> float:
            share = (factor - low) / (high - low)
            return box["x"] + thumb / 2 + share * (box["width"] - thumb)

        mouse.move(x(float(slider.input_value())), y)
        mouse.down()
        for factor in factors:
            mouse.move(x(factor), y)
        mouse.up()

    def settle(self) -> None:
        """Wait until the bars belong to the values that stand."""
        expect(self.root).to_have_attribute("data-phase", "ready", timeout=60_000)

    def after(self) -> dict[int, float]:
        """Return the probability of each shown token in the edited run, by token id."""
        pairs: list[list[Any]] = self.bars.evaluate_all(
            "rows => rows.map(row => [Number(row.dataset.tokenId), Number(row.dataset.after)])"
        )
        return {int(token_id): float(after) for token_id, after in pairs}


class GenerationTexts:
    """One view of a GenerationView."""

    def __init__(self, root: Locator) -> None:
        expect(root).to_be_visible(timeout=60_000)
        self.root = root
        self.start = root.get_by_test_id("start")
        self.stop = root.get_by_test_id("stop")
        self.tip = root.get_by_test_id("tip")
        self.notice = root.locator(".wb-notice-text")

    @classmethod
    def of(cls, parent: Locator | Page) -> GenerationTexts:
        """Return the view inside an element or a page."""
        return cls(parent.get_by_test_id("generation-view"))

    @classmethod
    def shown_by(cls, lab: Lab, code: str, *, cell: int = 1) -> GenerationTexts:
        """Run a cell that shows a text, which Python calls ``view`` from then on."""
        lab.page.mouse.move(0, 0)
        lab.write_cell(cell, f"view = {code}\nview")
        lab.run_cell(cell)
        return cls.of(lab.widget(cell))

    def settle(self) -> None:
        """Wait until nothing is being produced."""
        expect(self.root).to_have_attribute("data-phase", "ready", timeout=60_000)

    def tokens(self, run: str) -> Locator:
        return self.root.get_by_test_id(f"{run}-text").locator("[data-at]")

    def token(self, run: str, step: int) -> Locator:
        return self.root.get_by_test_id(f"{run}-text").locator(f'[data-at="{step}"]')


def _ids(parent: Locator) -> list[str]:
    ids: list[str] = parent.locator("[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)")
    return ids


class Dialogs:
    """The dialogs that a page opened, which a page of ours never does."""

    def __init__(self, page: Page) -> None:
        self.messages: list[str] = []
        page.on("dialog", self._note)

    def _note(self, dialog: Dialog) -> None:
        self.messages.append(dialog.message)
        dialog.dismiss()
