/** A pane over a small graph: what the tests of all panes begin with. */

import { afterEach, beforeEach, vi } from "vitest";
import type { MakePane } from "../../../src/graph-explorer/panes";
import { makeState, type State } from "../../../src/graph-explorer/state";
import { EDGES, type Edge, FakeModel, NODES, type Node, wire } from "../graphs";

/** happy-dom measures nothing, and nothing ever changes its size. */
class NoSize {
  observe(): void {}
  disconnect(): void {}
}

const states: State[] = [];

export function setUp(): void {
  beforeEach(() => {
    vi.stubGlobal("ResizeObserver", NoSize);
    vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(300);
  });
  afterEach(() => {
    for (const state of states.splice(0)) state.dispose();
    document.body.replaceChildren();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
}

interface Options {
  nodes?: Node[];
  edges?: Edge[];
  state?: Record<string, unknown>;
  info?: Record<string, unknown>;
  alive?: boolean;
}

/** Show a pane as the view does: it is told of every change while it is in sight. */
export function show(
  make: MakePane,
  { nodes = NODES, edges = EDGES, state = {}, info = {}, alive = true }: Options = {},
) {
  const model = new FakeModel({ ...wire(nodes, edges, info), node_threshold: 1, ...state });
  const shared = makeState(model as never, () => alive);
  states.push(shared);
  const go = vi.fn((id: string) => shared.select(id));
  const pane = make(shared, go);
  document.body.append(pane.element);
  pane.show();
  shared.listen((change) => pane.follow(change));
  const find = <T extends HTMLElement = HTMLElement>(testid: string) =>
    pane.element.querySelector<T>(`[data-testid="${testid}"]`)!;
  const table = () => pane.element.querySelector<HTMLTableElement>("table")!;
  const rows = () => [...pane.element.querySelectorAll<HTMLTableRowElement>("tr[data-id]")];
  const row = (id: string) => rows().find(({ dataset }) => dataset.id === id)!;
  const ids = () => rows().map(({ dataset }) => dataset.id);
  const heading = (key: string) => pane.element.querySelector<HTMLElement>(`th[data-column="${key}"]`)!;
  const key = (name: string, init: KeyboardEventInit = {}) =>
    table().dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...init }));
  return { pane, model, state: shared, go, find, table, rows, row, ids, heading, key };
}

/** Write into a field as a user does. */
export function type(field: HTMLInputElement, text: string): void {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
