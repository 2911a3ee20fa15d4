/** The small grids side by side. */

import { fill, h } from "../kit/dom";
import { count, plain } from "../kit/format";
import { onKeys } from "../kit/keyboard";
import { paint } from "./ramp";
import { type Cell, type Grid, type Grids, nameOf, type Sorting } from "./state";

/** How many grids are shown at first, and more at a time. */
const PAGE = 60;

export interface SmallActions {
  choose: (grid: Grid, cell: Cell | null) => void;
  point: (grid: Grid, cell: Cell, box: DOMRect) => void;
  leave: () => void;
}

export class Smalls {
  readonly element = h("div", { class: "grid-smalls", role: "group", "aria-label": "Grids", testid: "smalls" });
  readonly #actions: SmallActions;
  readonly #more = h("button", { class: "grid-more", onclick: () => this.#grow() });
  #grids: Grids = { a: [], b: [], all: [], maximum: 0 };
  #shown: Grid[] = [];
  #sort: Sorting = "family";
  #buttons = new Map<number, HTMLElement>();
  #limit = PAGE;

  constructor(actions: SmallActions) {
    this.#actions = actions;
    this.element.addEventListener(
      "keydown",
      onKeys({
        ArrowRight: () => this.#move(1),
        ArrowLeft: () => this.#move(-1),
        ArrowDown: () => this.#move(this.#perLine()),
        ArrowUp: () => this.#move(-this.#perLine()),
        Home: () => this.#move(Number.NEGATIVE_INFINITY),
        End: () => this.#move(Number.POSITIVE_INFINITY),
      }),
    );
  }

  /** Show these grids in this order, from the first on. */
  show(grids: Grids, shown: Grid[], sort: Sorting): void {
    this.#grids = grids;
    this.#shown = shown;
    this.#sort = sort;
    this.#limit = PAGE;
    this.#build();
  }

  /** Draw the grids again: in other colours, or on another scale. */
  paint(colours: Uint8ClampedArray, shared: boolean): void {
    const size = { rows: this.#grids.a.length, columns: this.#grids.b.length };
    for (const grid of this.#shown.slice(0, this.#limit)) {
      const canvas = this.#buttons.get(grid.index)!.querySelector("canvas")!;
      paint(canvas, grid.values, size, shared ? this.#grids.maximum : grid.maximum, colours);
    }
    this.#repaint = () => this.paint(colours, shared);
  }

  #repaint = () => {};

  /** Mark the grid that is enlarged; while the focus is elsewhere, it is the one that Tab leads to. */
  select(selected: Grid | null): void {
    for (const [index, button] of this.#buttons) button.setAttribute("aria-pressed", String(index === selected?.index));
    this.#rove(selected && this.#buttons.has(selected.index) ? selected.index : (this.#shown[0]?.index ?? -1));
  }

  #build(): void {
    this.#buttons.clear();
    const groups: HTMLElement[] = [];
    let family: string | null = null;
    for (const grid of this.#shown.slice(0, this.#limit)) {
      if (groups.length === 0 || (this.#sort === "family" && grid.family !== family)) {
        family = grid.family;
        groups.push(this.#group(family));
      }
      const button = this.#button(grid);
      this.#buttons.set(grid.index, button);
      groups.at(-1)!.lastElementChild!.append(button);
    }
    const rest = this.#shown.length - this.#limit;
    fill(this.#more, `Show ${Math.min(rest, PAGE)} more of ${rest}`);
    fill(this.element, ...groups, rest > 0 && this.#more);
  }

  /** Return the place of the next grids; sorted by family, each has its name above. */
  #group(family: string): HTMLElement {
    const members = this.#shown.filter((other) => other.family === family).length;
    const heading = h("h4", {}, family, h("span", "wb-muted", count(members, "feature")));
    return h("div", "grid-group", this.#sort === "family" && heading, h("div", "grid-members"));
  }

  #button(grid: Grid): HTMLElement {
    const name = nameOf(grid);
    const canvas = h("canvas", { "aria-hidden": "true" });
    const known = Number.isFinite(grid.score) ? `, score ${plain(grid.score)}` : "";
    const kind = grid.detail === "" ? grid.family : grid.detail;
    const said = `Feature ${name}, ${grid.family}${grid.detail && ` (${grid.detail})`}${known}, maximum ${plain(grid.maximum)}`;
    const button = h(
      "button",
      { class: "grid-small", "data-feature": name, "aria-label": said, "aria-pressed": "false" },
      canvas,
      h("span", "grid-small-name", h("b", {}, name), h("span", {}, plain(grid.maximum))),
      h("span", "grid-small-kind wb-muted", this.#sort === "family" ? kind : grid.family),
    );
    canvas.addEventListener("pointermove", (event) => {
      const cell = cellUnder(canvas, event, this.#grids);
      this.#actions.point(grid, cell, new DOMRect(event.clientX, event.clientY - 6, 0, 18));
    });
    canvas.addEventListener("pointerleave", () => this.#actions.leave());
    button.addEventListener("click", (event) => {
      // A click by keyboard has no place.
      const onCanvas = event.target === canvas && event.detail > 0;
      this.#actions.choose(grid, onCanvas ? cellUnder(canvas, event, this.#grids) : null);
    });
    return button;
  }

  #grow(): void {
    const first = this.#shown[this.#limit];
    this.#limit += PAGE;
    const pressed = this.element.querySelector<HTMLElement>('[aria-pressed="true"]')?.dataset.feature;
    this.#build();
    this.#repaint();
    for (const button of this.#buttons.values()) {
      button.setAttribute("aria-pressed", String(button.dataset.feature === pressed));
    }
    if (!first) return;
    this.#rove(first.index);
    this.#buttons.get(first.index)?.focus();
  }

  #move(step: number): void {
    const buttons = [...this.#buttons.values()];
    const here = buttons.indexOf(document.activeElement as HTMLElement);
    if (here < 0) return;
    const next = Math.max(0, Math.min(buttons.length - 1, here + step));
    this.#rove([...this.#buttons.keys()][next]!);
    buttons[next]!.focus();
  }

  #perLine(): number {
    const [first, ...others] = [...this.#buttons.values()].map((button) => button.offsetTop);
    return 1 + others.filter((top) => top === first).length;
  }

  #rove(index: number): void {
    for (const [other, button] of this.#buttons) button.tabIndex = other === index ? 0 : -1;
  }
}

/** Return the cell of a canvas that the pointer is on. */
export function cellUnder(
  canvas: Element,
  event: { clientX: number; clientY: number },
  grids: { a: ArrayLike<number>; b: ArrayLike<number> },
): Cell {
  const box = canvas.getBoundingClientRect();
  const place = (part: number, size: number, cells: number) =>
    Math.max(0, Math.min(cells - 1, Math.floor((part / Math.max(1, size)) * cells)));
  return {
    row: place(event.clientY - box.top, box.height, grids.a.length),
    column: place(event.clientX - box.left, box.width, grids.b.length),
  };
}
