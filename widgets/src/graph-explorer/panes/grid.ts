/** A table of many rows, of which only those in sight are built: sorted by its headings, walked with the keys. */

import { fill, h, on, uid } from "../../kit/dom";
import { ordered, type Sorting } from "./grid-order";

/** Of every row, in CSS pixels; grid.css has the same. */
export const ROW_HEIGHT = 25;
/** Rows above and below those in sight, so that a fast wheel meets no gap. */
const SPARE = 8;

export interface Column<Row> {
  key: string;
  title: string;
  /** What the heading says to a pointer that rests on it. */
  hint?: string;
  cell: (row: Row) => Node | string;
  /** What the column is sorted by; without it the heading is no button. */
  value?: (row: Row) => number | string;
}

export interface GridOptions<Row> {
  label: string;
  columns: Column<Row>[];
  sorting: Sorting;
  id: (row: Row) => string;
  /** Whether a row stands for a node that can be selected. */
  selectable?: (row: Row) => boolean;
  isSelected: (id: string) => boolean;
  point: (id: string | null) => void;
  choose: (id: string, add: boolean) => void;
  pin?: (id: string) => void;
}

/** A cell with this attribute pins the node of its row when it is clicked. */
export const PINS = "data-pins";

export class Grid<Row> {
  readonly element = h("div", "wbx-grid");
  readonly #options: GridOptions<Row>;
  readonly #name = uid("grid");
  readonly #table: HTMLTableElement;
  readonly #headings = new Map<string, HTMLTableCellElement>();
  readonly #body = h("tbody");
  readonly #observer: ResizeObserver;
  #sorting: Sorting;
  #given: Row[] = [];
  #rows: Row[] = [];
  #at = -1;
  #first = 0;
  #built = 0;
  #hovered: string | null = null;
  #frame = 0;

  constructor(options: GridOptions<Row>) {
    this.#options = options;
    this.#sorting = options.sorting;
    const headings = options.columns.map((column) => this.#heading(column));
    this.#table = h(
      "table",
      {
        role: "grid",
        tabindex: 0,
        "aria-label": options.label,
        "aria-multiselectable": "true",
        onkeydown: (event) => this.#key(event as KeyboardEvent),
        onfocus: () => this.#activate(Math.max(this.#at, 0)),
        onblur: () => options.point(null),
      },
      h("thead", {}, h("tr", { "aria-rowindex": 1 }, ...headings)),
      this.#body,
    );
    // The table takes the focus when the button goes down: its rows must not move under the pointer then.
    on(this.#body, {
      mousedown: (event) => {
        this.#at = this.#rowAt(event) ?? this.#at;
      },
      click: (event) => this.#click(event),
      pointerover: (event) => options.point(this.#idAt(event)),
      pointerleave: () => options.point(null),
    });
    this.element.append(this.#table);
    on(this.element, {
      scroll: () => {
        cancelAnimationFrame(this.#frame);
        this.#frame = requestAnimationFrame(() => this.#build());
      },
    });
    this.#observer = new ResizeObserver(() => this.#build());
    this.#observer.observe(this.element);
    this.#markSorting();
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#observer.disconnect();
  }

  /** Show other rows, in the order that the headings ask for. */
  setRows(rows: Row[]): void {
    const active = this.#rows[this.#at];
    const id = active === undefined ? null : this.#options.id(active);
    this.#given = rows;
    this.#sort();
    this.#at = id === null ? -1 : this.#rows.findIndex((row) => this.#options.id(row) === id);
    this.refresh();
  }

  /** Build what is in sight anew: what the cells say has changed. */
  refresh(): void {
    this.#table.setAttribute("aria-rowcount", String(this.#rows.length + 1));
    this.#build(true);
  }

  /** Mark the row of the node under the pointer. */
  mark(id: string | null): void {
    if (this.#hovered === id) return;
    this.#hovered = id;
    for (const row of this.#body.querySelectorAll<HTMLElement>("tr[data-id]")) {
      row.classList.toggle("wbx-pointed", row.dataset.id === id);
    }
  }

  /** Scroll a node's row into sight. */
  reveal(id: string): void {
    const at = this.#rows.findIndex((row) => this.#options.id(row) === id);
    if (at >= 0) this.#scrollTo(at);
  }

  #heading(column: Column<Row>): HTMLTableCellElement {
    const sortable = column.value !== undefined;
    const heading = h(
      "th",
      { scope: "col", class: `wbx-col-${column.key}`, title: column.hint, "data-column": column.key },
      sortable
        ? h("button", { class: "wbx-sort", onclick: () => this.#sortBy(column.key) }, column.title)
        : h("span", "wb-visually-hidden", column.title),
    );
    this.#headings.set(column.key, heading);
    return heading;
  }

  #sortBy(key: string): void {
    const again = this.#sorting.key === key;
    const numeric = typeof this.#value(key)?.(this.#given[0]!) === "number";
    const first = numeric ? "descending" : "ascending";
    const other = this.#sorting.direction === "ascending" ? "descending" : "ascending";
    this.#sorting = { key, direction: again ? other : first };
    this.#markSorting();
    this.#at = -1;
    this.#sort();
    this.element.scrollTop = 0;
    this.refresh();
  }

  #value(key: string): ((row: Row) => number | string) | undefined {
    const value = this.#options.columns.find((column) => column.key === key)?.value;
    return this.#given.length > 0 ? value : undefined;
  }

  #sort(): void {
    const value = this.#value(this.#sorting.key);
    this.#rows = value ? ordered(this.#given, value, this.#sorting.direction) : this.#given;
  }

  #markSorting(): void {
    for (const [key, heading] of this.#headings) {
      if (key === this.#sorting.key) heading.setAttribute("aria-sort", this.#sorting.direction);
      else heading.removeAttribute("aria-sort");
    }
  }

  /** Build the rows in sight, where they are not those that stand there already. */
  #build(always = false): void {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(Math.floor(scrollTop / ROW_HEIGHT) - SPARE, 0);
    const end = Math.min(Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + SPARE, this.#rows.length);
    if (!always && first === this.#first && end - first === this.#built) return;
    this.#first = first;
    this.#built = Math.max(end - first, 0);
    const rows = this.#rows.slice(first, end).map((row, at) => this.#row(row, first + at));
    fill(this.#body, this.#space(first), ...rows, this.#space(this.#rows.length - Math.max(end, first)));
    this.#markActive();
  }

  #space(rows: number): HTMLTableRowElement | null {
    if (rows <= 0) return null;
    const space = h("tr", { "aria-hidden": "true", class: "wbx-space" }, h("td", {}));
    space.style.height = `${rows * ROW_HEIGHT}px`;
    return space;
  }

  #row(row: Row, at: number): HTMLTableRowElement {
    const { columns, id, selectable, isSelected } = this.#options;
    const own = id(row);
    const can = selectable?.(row) ?? true;
    return h(
      "tr",
      {
        id: `${this.#name}-${at}`,
        class: own === this.#hovered ? "wbx-pointed" : undefined,
        "aria-rowindex": at + 2,
        "aria-selected": can ? String(isSelected(own)) : undefined,
        "aria-disabled": can ? undefined : "true",
        "data-id": own,
        "data-at": at,
      },
      ...columns.map((column) => h("td", { class: `wbx-col-${column.key}` }, column.cell(row))),
    );
  }

  #idAt({ target }: Event): string | null {
    return (target as Element).closest<HTMLElement>("tr[data-id]")?.dataset.id ?? null;
  }

  #rowAt({ target }: Event): number | null {
    const place = (target as Element).closest<HTMLElement>("tr[data-id]");
    return place && Number(place.dataset.at);
  }

  #click(event: MouseEvent): void {
    const at = this.#rowAt(event);
    if (at === null) return;
    this.#at = at;
    const row = this.#rows[at]!;
    const id = this.#options.id(row);
    if ((event.target as Element).closest(`[${PINS}]`)) this.#options.pin?.(id);
    else if (this.#options.selectable?.(row) ?? true) {
      this.#options.choose(id, event.ctrlKey || event.metaKey || event.shiftKey);
    }
    this.#table.focus({ preventScroll: true });
    this.#markActive();
  }

  #key(event: KeyboardEvent): void {
    // The headings are buttons with keys of their own.
    if (event.target !== this.#table || event.altKey) return;
    const page = Math.max(Math.floor(this.element.clientHeight / ROW_HEIGHT) - 2, 1);
    const last = this.#rows.length - 1;
    const steps: Record<string, number> = {
      ArrowDown: this.#at + 1,
      ArrowUp: this.#at - 1,
      PageDown: this.#at + page,
      PageUp: this.#at - page,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    const row = this.#rows[this.#at];
    const add = event.ctrlKey || event.metaKey || event.shiftKey;
    if (to !== undefined) this.#activate(Math.min(Math.max(to, 0), last));
    else if (row !== undefined && (event.key === "Enter" || event.key === " ")) {
      if (this.#options.selectable?.(row) ?? true) this.#options.choose(this.#options.id(row), add);
    } else if (row !== undefined && event.key.toLowerCase() === "p" && !event.ctrlKey && !event.metaKey) {
      this.#options.pin?.(this.#options.id(row));
    } else return;
    event.preventDefault();
  }

  /** Walk to a row: it is in sight, the pointer of the graph is on its node, and the keys act on it. */
  #activate(at: number): void {
    const row = this.#rows[at];
    if (row === undefined) return;
    this.#at = at;
    this.#scrollTo(at);
    this.#markActive();
    this.#options.point(this.#options.id(row));
  }

  #scrollTo(at: number): void {
    const { element } = this;
    const top = at * ROW_HEIGHT;
    // The headings cover the first row of what is scrolled.
    const room = element.clientHeight - 2 * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - Math.max(room, 0);
    this.#build();
  }

  #markActive(): void {
    const active = this.#body.querySelector(`tr[data-at="${this.#at}"]`);
    for (const row of this.#body.querySelectorAll("tr[data-active]"))
      if (row !== active) delete (row as HTMLElement).dataset.active;
    if (active instanceof HTMLElement) {
      active.dataset.active = "true";
      this.#table.setAttribute("aria-activedescendant", active.id);
    } else this.#table.removeAttribute("aria-activedescendant");
  }
}
