/** A table of many rows, of which only those in sight are built: sorted by its headings, walked with the keys. */

import { fill, h, on, uid } from "../../kit/dom";
import { carries } from "../carry";
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

export function makeGrid<Row>(options: GridOptions<Row>) {
  const element = h("div", "wbx-grid");
  const name = uid("grid");
  const headings = new Map<string, HTMLTableCellElement>();
  const body = h("tbody");
  let sorting: Sorting;
  let given: Row[] = [];
  let sorted: Row[] = [];
  let current = -1;
  let firstBuilt = 0;
  let built = 0;
  let hovered: string | null = null;
  let frame = 0;

  sorting = options.sorting;
  const cells = options.columns.map((column) => heading(column));
  const table = h(
    "table",
    {
      role: "grid",
      tabindex: 0,
      "aria-label": options.label,
      "aria-multiselectable": "true",
      onkeydown: (event) => key(event as KeyboardEvent),
      onfocus: () => activate(Math.max(current, 0)),
      onblur: () => options.point(null),
    },
    h("thead", {}, h("tr", { "aria-rowindex": 1 }, ...cells)),
    body,
  );
  // The table takes the focus when the button goes down: its rows must not move under the pointer then.
  on(body, {
    mousedown: (event) => {
      current = rowAt(event) ?? current;
    },
    click: (event) => click(event),
    pointerover: (event) => options.point(idAt(event)),
    pointerleave: () => options.point(null),
  });
  element.append(table);
  on(element, {
    scroll: () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => build());
    },
  });
  const observer = new ResizeObserver(() => build());
  observer.observe(element);
  markSorting();

  function dispose(): void {
    cancelAnimationFrame(frame);
    observer.disconnect();
  }

  /** Show other rows, in the order that the headings ask for. */
  function setRows(rows: Row[]): void {
    const active = sorted[current];
    const id = active === undefined ? null : options.id(active);
    given = rows;
    sort();
    current = id === null ? -1 : sorted.findIndex((row) => options.id(row) === id);
    refresh();
  }

  /** Build what is in sight anew: what the cells say has changed. */
  function refresh(): void {
    table.setAttribute("aria-rowcount", String(sorted.length + 1));
    build(true);
  }

  /** Mark the row of the node under the pointer. */
  function mark(id: string | null): void {
    if (hovered === id) return;
    hovered = id;
    for (const row of body.querySelectorAll<HTMLElement>("tr[data-id]")) {
      row.classList.toggle("wbx-pointed", row.dataset.id === id);
    }
  }

  /** Scroll a node's row into sight. */
  function reveal(id: string): void {
    const at = sorted.findIndex((row) => options.id(row) === id);
    if (at >= 0) scrollTo(at);
  }

  function heading(column: Column<Row>): HTMLTableCellElement {
    const sortable = column.value !== undefined;
    const heading = h(
      "th",
      { scope: "col", class: `wbx-col-${column.key}`, title: column.hint, "data-column": column.key },
      sortable
        ? h("button", { class: "wbx-sort", onclick: () => sortBy(column.key) }, column.title)
        : h("span", "wb-visually-hidden", column.title),
    );
    headings.set(column.key, heading);
    return heading;
  }

  function sortBy(key: string): void {
    const again = sorting.key === key;
    const numeric = typeof sortValue(key)?.(given[0]!) === "number";
    const first = numeric ? "descending" : "ascending";
    const other = sorting.direction === "ascending" ? "descending" : "ascending";
    sorting = { key, direction: again ? other : first };
    markSorting();
    current = -1;
    sort();
    element.scrollTop = 0;
    refresh();
  }

  function sortValue(key: string): ((row: Row) => number | string) | undefined {
    const value = options.columns.find((column) => column.key === key)?.value;
    return given.length > 0 ? value : undefined;
  }

  function sort(): void {
    const value = sortValue(sorting.key);
    sorted = value ? ordered(given, value, sorting.direction) : given;
  }

  function markSorting(): void {
    for (const [key, heading] of headings) {
      if (key === sorting.key) heading.setAttribute("aria-sort", sorting.direction);
      else heading.removeAttribute("aria-sort");
    }
  }

  /** Build the rows in sight, where they are not those that stand there already. */
  function build(always = false): void {
    const { scrollTop, clientHeight } = element;
    const first = Math.max(Math.floor(scrollTop / ROW_HEIGHT) - SPARE, 0);
    const end = Math.min(Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + SPARE, sorted.length);
    if (!always && first === firstBuilt && end - first === built) return;
    firstBuilt = first;
    built = Math.max(end - first, 0);
    const rows = sorted.slice(first, end).map((row, at) => rowElement(row, first + at));
    fill(body, space(first), ...rows, space(sorted.length - Math.max(end, first)));
    markActive();
  }

  function space(rows: number): HTMLTableRowElement | null {
    if (rows <= 0) return null;
    const space = h("tr", { "aria-hidden": "true", class: "wbx-space" }, h("td", {}));
    space.style.height = `${rows * ROW_HEIGHT}px`;
    return space;
  }

  function rowElement(row: Row, at: number): HTMLTableRowElement {
    const { columns, id, selectable, isSelected } = options;
    const own = id(row);
    const can = selectable?.(row) ?? true;
    return h(
      "tr",
      {
        id: `${name}-${at}`,
        class: own === hovered ? "wbx-pointed" : undefined,
        "aria-rowindex": at + 2,
        "aria-selected": can ? String(isSelected(own)) : undefined,
        "aria-disabled": can ? undefined : "true",
        ...carries(own),
        "data-at": at,
      },
      ...columns.map((column) => h("td", { class: `wbx-col-${column.key}` }, column.cell(row))),
    );
  }

  function idAt({ target }: Event): string | null {
    return (target as Element).closest<HTMLElement>("tr[data-id]")?.dataset.id ?? null;
  }

  function rowAt({ target }: Event): number | null {
    const place = (target as Element).closest<HTMLElement>("tr[data-id]");
    return place && Number(place.dataset.at);
  }

  function click(event: MouseEvent): void {
    const at = rowAt(event);
    if (at === null) return;
    current = at;
    const row = sorted[at]!;
    const id = options.id(row);
    if ((event.target as Element).closest(`[${PINS}]`)) options.pin?.(id);
    else if (options.selectable?.(row) ?? true) {
      options.choose(id, event.ctrlKey || event.metaKey || event.shiftKey);
    }
    table.focus({ preventScroll: true });
    markActive();
  }

  function key(event: KeyboardEvent): void {
    // The headings are buttons with keys of their own.
    if (event.target !== table || event.altKey) return;
    const page = Math.max(Math.floor(element.clientHeight / ROW_HEIGHT) - 2, 1);
    const last = sorted.length - 1;
    const steps: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + page,
      PageUp: current - page,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    const row = sorted[current];
    const add = event.ctrlKey || event.metaKey || event.shiftKey;
    if (to !== undefined) activate(Math.min(Math.max(to, 0), last));
    else if (row !== undefined && (event.key === "Enter" || event.key === " ")) {
      if (options.selectable?.(row) ?? true) options.choose(options.id(row), add);
    } else if (row !== undefined && event.key.toLowerCase() === "p" && !event.ctrlKey && !event.metaKey) {
      options.pin?.(options.id(row));
    } else return;
    event.preventDefault();
  }

  /** Walk to a row: it is in sight, the pointer of the graph is on its node, and the keys act on it. */
  function activate(at: number): void {
    const row = sorted[at];
    if (row === undefined) return;
    current = at;
    scrollTo(at);
    markActive();
    options.point(options.id(row));
  }

  function scrollTo(at: number): void {
    const top = at * ROW_HEIGHT;
    // The headings cover the first row of what is scrolled.
    const room = element.clientHeight - 2 * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - Math.max(room, 0);
    build();
  }

  function markActive(): void {
    const active = body.querySelector(`tr[data-at="${current}"]`);
    for (const row of body.querySelectorAll("tr[data-active]"))
      if (row !== active) delete (row as HTMLElement).dataset.active;
    if (active instanceof HTMLElement) {
      active.dataset.active = "true";
      table.setAttribute("aria-activedescendant", active.id);
    } else table.removeAttribute("aria-activedescendant");
  }

  return { element, dispose, setRows, refresh, mark, reveal };
}

export type Grid<Row> = ReturnType<typeof makeGrid<Row>>;
