/** One grid enlarged, with its axes, and a cell that the keys move. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import { onKeys } from "../kit/keyboard";
import { paint } from "./ramp";
import { cellUnder } from "./small";
import { type Cell, type Grid, type Grids, nameOf, promptOf, ticks, valueAt } from "./state";

export interface LargeActions {
  choose: (cell: Cell) => void;
  point: (grid: Grid, cell: Cell, box: DOMRect) => void;
  leave: () => void;
}

export class Large {
  readonly element: HTMLElement;
  readonly #actions: LargeActions;
  readonly #title = h("h3");
  readonly #facts = h("p", "wb-muted");
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #hover = h("i", { class: "grid-cell", hidden: true });
  readonly #chosen = h("i", { class: "grid-cell grid-chosen", hidden: true });
  readonly #plot: HTMLElement;
  readonly #rows = h("div", { class: "grid-rows", "aria-hidden": "true" });
  readonly #columns = h("div", { class: "grid-columns", "aria-hidden": "true" });
  readonly #readout = h("p", { class: "grid-readout", role: "status", testid: "readout" });
  #grids: Grids = { a: [], b: [], all: [], maximum: 0 };
  #grid: Grid | null = null;
  #template = "";
  #at: Cell = { row: 0, column: 0 };
  #selected: Cell | null = null;

  constructor(actions: LargeActions) {
    this.#actions = actions;
    this.#plot = h("div", { class: "grid-plot", tabindex: 0, role: "application", testid: "plot" });
    this.#plot.append(this.#canvas, this.#hover, this.#chosen);
    this.#plot.addEventListener("pointermove", (event) => this.#point(cellUnder(this.#canvas, event, this.#grids)));
    this.#plot.addEventListener("pointerleave", () => this.#leave());
    this.#plot.addEventListener("click", (event) => actions.choose(cellUnder(this.#canvas, event, this.#grids)));
    this.#plot.addEventListener("focus", () => this.#plot.matches(":focus-visible") && this.#point(this.#at));
    this.#plot.addEventListener("blur", () => this.#leave());
    const by = (row: number, column: number) => () => this.#move(row, column);
    const far = Number.POSITIVE_INFINITY;
    this.#plot.addEventListener(
      "keydown",
      onKeys({
        ArrowUp: by(-1, 0),
        ArrowDown: by(1, 0),
        ArrowLeft: by(0, -1),
        ArrowRight: by(0, 1),
        PageUp: by(-10, 0),
        PageDown: by(10, 0),
        Home: by(0, -far),
        End: by(0, far),
        Enter: () => actions.choose(this.#at),
        " ": () => actions.choose(this.#at),
        Escape: () => this.#leave(),
      }),
    );
    this.element = h(
      "div",
      "grid-large",
      this.#title,
      this.#facts,
      h(
        "div",
        "grid-frame",
        h("span", { class: "grid-axis-a", "aria-hidden": "true" }, "a"),
        this.#rows,
        this.#plot,
        this.#columns,
        h("span", { class: "grid-axis-b", "aria-hidden": "true" }, "b"),
      ),
      this.#readout,
    );
  }

  show(grids: Grids, grid: Grid, template: string): void {
    this.#grids = grids;
    this.#grid = grid;
    this.#template = template;
    fill(this.#title, h("span", "grid-feature", nameOf(grid)), grid.family);
    const known = Number.isFinite(grid.score) && `score ${plain(grid.score)}`;
    fill(this.#facts, [grid.detail, known, `maximum ${plain(grid.maximum)}`].filter((text) => text).join(" · "));
    this.#plot.setAttribute(
      "aria-label",
      `Grid of feature ${nameOf(grid)}: ${grid.family}. Arrow keys move over the operands, Enter selects a cell.`,
    );
    this.#plot.style.aspectRatio = `${grids.b.length} / ${grids.a.length}`;
    const label = (operands: ArrayLike<number>, side: "top" | "left", most: number) =>
      ticks(operands, most).map((i) => {
        const mark = h("span", {}, String(operands[i]));
        mark.style[side] = `${(100 * (i + 0.5)) / operands.length}%`;
        return mark;
      });
    fill(this.#rows, ...label(grids.a, "top", 10));
    fill(this.#columns, ...label(grids.b, "left", 10));
    this.#tell(this.#selected);
  }

  paint(colours: Uint8ClampedArray, shared: boolean): void {
    if (!this.#grid) return;
    const size = { rows: this.#grids.a.length, columns: this.#grids.b.length };
    paint(this.#canvas, this.#grid.values, size, shared ? this.#grids.maximum : this.#grid.maximum, colours);
  }

  /** Mark the cell that is chosen. */
  select(cell: Cell | null): void {
    this.#selected = cell;
    this.#chosen.hidden = cell === null;
    if (cell) {
      this.#place(this.#chosen, cell);
      this.#at = cell;
    }
    this.#tell(cell);
  }

  #move(rows: number, columns: number): void {
    const within = (place: number, size: number) => Math.max(0, Math.min(size - 1, place));
    this.#point({
      row: within(this.#at.row + rows, this.#grids.a.length),
      column: within(this.#at.column + columns, this.#grids.b.length),
    });
  }

  #point(cell: Cell): void {
    if (!this.#grid) return;
    this.#at = cell;
    this.#place(this.#hover, cell);
    this.#hover.hidden = false;
    this.#tell(cell);
    this.#actions.point(this.#grid, cell, this.#hover.getBoundingClientRect());
  }

  #leave(): void {
    this.#hover.hidden = true;
    this.#tell(this.#selected);
    this.#actions.leave();
  }

  #place(mark: HTMLElement, { row, column }: Cell): void {
    const [rows, columns] = [this.#grids.a.length, this.#grids.b.length];
    mark.style.top = `${(100 * row) / rows}%`;
    mark.style.left = `${(100 * column) / columns}%`;
    mark.style.height = `${100 / rows}%`;
    mark.style.width = `${100 / columns}%`;
  }

  #tell(cell: Cell | null): void {
    if (!this.#grid || !cell) {
      fill(this.#readout, h("span", "wb-muted", "Point to a cell or press an arrow key; a click selects."));
      return;
    }
    const [a, b] = [this.#grids.a[cell.row]!, this.#grids.b[cell.column]!];
    fill(
      this.#readout,
      h("span", "wb-token", promptOf(this.#template, a, b)),
      h("span", {}, `sum ${a + b}`),
      h("span", {}, "activation ", h("b", {}, plain(valueAt(this.#grids, this.#grid, cell)))),
      cell === this.#selected && h("span", "wb-muted", "selected"),
    );
  }
}
