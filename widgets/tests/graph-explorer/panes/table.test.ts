import { describe, expect, it } from "vitest";
import { ROW_HEIGHT } from "../../../src/graph-explorer/panes/grid";
import { ordered } from "../../../src/graph-explorer/panes/grid-order";
import { tablePane } from "../../../src/graph-explorer/panes/table";
import { NODES, type Node } from "../graphs";
import { setUp, show, type } from "./shared";

setUp();

const DRAWN = NODES.filter(({ kind }) => kind !== "bias").map(({ id }) => id);

const many = (count: number): Node[] =>
  Array.from({ length: count }, (_, at) => ({
    id: `f/${at % 26}/${at}/1`,
    kind: "feature" as const,
    layer: at % 26,
    position: 1,
    influence: count - at,
  }));

describe("the rows", () => {
  it("are the drawn nodes, the most influential first", () => {
    const { ids, find, table } = show(tablePane);
    expect([...ids()].sort()).toEqual([...DRAWN].sort());
    // A logit counts with its probability.
    expect(ids().slice(0, 3)).toEqual(["t/1", "l/5/2", "t/0"]);
    expect(find("table-count").textContent).toBe("9 drawn nodes");
    expect(table().getAttribute("aria-rowcount")).toBe("10");
  });

  it("follow what is drawn", () => {
    const { state, ids } = show(tablePane);
    state.set("show_biases", true);
    expect(ids()).toContain("b/0/b_dec/1");
    state.set("show_errors", false);
    expect(ids()).not.toContain("e/0/2");
    state.set("node_threshold", 0.3);
    expect(ids()).toContain("f/0/7/1");
    expect(ids()).not.toContain("f/0/8/1");
    // What is selected is drawn in any case.
    state.select("f/0/8/1");
    expect(ids()).toContain("f/0/8/1");
  });

  it("show the names that the user gave, as text", () => {
    const { state, row } = show(tablePane);
    state.setLabel("f/0/7/1", "<img src=x onerror=alert(1)>");
    expect(row("f/0/7/1").textContent).toContain("<img src=x onerror=alert(1)>");
    expect(row("f/0/7/1").querySelector("img")).toBeNull();
  });
});

describe("the headings", () => {
  it("sort by their column, numbers from the largest, and the other way round", () => {
    const { ids, heading } = show(tablePane);
    expect(heading("influence").getAttribute("aria-sort")).toBe("descending");
    heading("influence").querySelector("button")!.click();
    expect(heading("influence").getAttribute("aria-sort")).toBe("ascending");
    expect(ids()[0]).toBe("f/0/8/1");
    heading("node").querySelector("button")!.click();
    expect(heading("influence").hasAttribute("aria-sort")).toBe(false);
    expect(heading("node").getAttribute("aria-sort")).toBe("ascending");
    heading("layer").querySelector("button")!.click();
    expect(heading("layer").getAttribute("aria-sort")).toBe("descending");
    // Outputs stand above the layers, tokens below them.
    expect(ids()[0]).toBe("l/5/2");
    expect(ids().at(-1)).toBe("t/2");
  });

  it("put what has no value last, either way", () => {
    const rows = [{ at: Number.NaN }, { at: 2 }, { at: 3 }];
    const value = ({ at }: { at: number }) => at;
    expect(ordered(rows, value, "ascending").map(value)).toEqual([2, 3, Number.NaN]);
    expect(ordered(rows, value, "descending").map(value)).toEqual([3, 2, Number.NaN]);
  });

  it("sort text with numbers as a reader does", () => {
    const names = ["Feature 10", "feature 9", ""];
    expect(ordered(names, (name) => name, "ascending")).toEqual(["feature 9", "Feature 10", ""]);
  });
});

describe("the filter", () => {
  it("keeps what has every word in its name, kind, layer, token or id", () => {
    const { find, ids } = show(tablePane);
    const field = find<HTMLInputElement>("table-filter");
    type(field, "NAMES");
    expect(ids()).toEqual(["f/1/3/2"]);
    expect(find("table-count").textContent).toBe("1 of 9 drawn nodes");
    type(field, "l0 feature");
    expect([...ids()].sort()).toEqual(["f/0/7/1", "f/0/8/1"]);
    type(field, "e/0");
    expect(ids()).toEqual(["e/0/2"]);
    type(field, "nothing like it");
    expect(ids()).toEqual([]);
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(ids()).toHaveLength(9);
  });

  it("does not take layer 1 for layer 10", () => {
    const { find, ids } = show(tablePane, { nodes: many(26), edges: [] });
    type(find<HTMLInputElement>("table-filter"), "L1");
    expect(ids()).toEqual(["f/1/1/1"]);
  });
});

describe("a row", () => {
  const click = (element: Element, init: MouseEventInit = {}) =>
    element.dispatchEvent(new MouseEvent("click", { bubbles: true, ...init }));

  it("selects by a click, adds with Ctrl, and says so", () => {
    const { model, row, go } = show(tablePane);
    click(row("t/1"));
    expect(go).toHaveBeenCalledWith("t/1");
    expect(row("t/1").getAttribute("aria-selected")).toBe("true");
    click(row("f/1/3/2"), { ctrlKey: true });
    expect(model.get("selected_ids")).toEqual(["t/1", "f/1/3/2"]);
    click(row("t/1"), { metaKey: true });
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    expect(row("t/1").getAttribute("aria-selected")).toBe("false");
  });

  it("stays under the pointer while the table takes the focus", () => {
    const { pane, row, table, key } = show(tablePane, { nodes: many(2000), edges: [] });
    table().focus();
    key("End");
    table().blur();
    const scroller = pane.element.querySelector<HTMLElement>(".wbx-grid")!;
    const before = scroller.scrollTop;
    row("f/20/1996/1").dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
    table().focus();
    expect(scroller.scrollTop).toBe(before);
    expect(table().getAttribute("aria-activedescendant")).toBe(row("f/20/1996/1").id);
  });

  it("pins with its button, which does not select", () => {
    const { model, row } = show(tablePane);
    const pin = () => row("t/1").querySelector("button")!;
    click(pin());
    expect(model.get("pinned_ids")).toEqual(["t/1"]);
    expect(pin().getAttribute("aria-pressed")).toBe("true");
    click(pin());
    expect(model.get("pinned_ids")).toEqual([]);
    expect(model.get("selected_ids")).toEqual([]);
  });

  it("points at its node, and is marked when something else points at it", () => {
    const { state, row, table } = show(tablePane);
    row("t/1").dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    expect(state.hovered).toBe("t/1");
    state.hover("f/1/3/2");
    expect(row("f/1/3/2").classList.contains("wbx-pointed")).toBe(true);
    expect(row("t/1").classList.contains("wbx-pointed")).toBe(false);
    table().tBodies[0]!.dispatchEvent(new PointerEvent("pointerleave"));
    expect(state.hovered).toBeNull();
  });
});

describe("the keys", () => {
  it("walk from row to row; Enter selects, Ctrl+Enter adds, P pins", () => {
    const { model, state, table, ids, key, row } = show(tablePane);
    table().focus();
    const [first, second, third] = ids() as [string, string, string];
    expect(table().getAttribute("aria-activedescendant")).toBe(row(first).id);
    expect(state.hovered).toBe(first);
    key("ArrowDown");
    expect(table().getAttribute("aria-activedescendant")).toBe(row(second).id);
    key("Enter");
    expect(model.get("selected_ids")).toEqual([second]);
    key("ArrowDown");
    key(" ", { ctrlKey: true });
    expect(model.get("selected_ids")).toEqual([second, third]);
    key("p");
    expect(model.get("pinned_ids")).toEqual([third]);
    key("Home");
    key("ArrowUp");
    expect(state.hovered).toBe(first);
    key("End");
    expect(state.hovered).toBe(ids().at(-1));
  });

  it("leave the keys of the headings alone", () => {
    const { model, heading, key } = show(tablePane);
    heading("node")
      .querySelector("button")!
      .dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    key("x");
    expect(model.get("selected_ids")).toEqual([]);
  });
});

describe("two thousand rows", () => {
  it("are built only where they are in sight", () => {
    const { pane, rows, table, key } = show(tablePane, { nodes: many(2000), edges: [] });
    expect(rows().length).toBeLessThan(40);
    expect(table().getAttribute("aria-rowcount")).toBe("2001");
    const space = pane.element.querySelector<HTMLElement>(".wbx-space")!;
    expect(Number.parseInt(space.style.height, 10)).toBe((2000 - rows().length) * ROW_HEIGHT);
    table().focus();
    key("End");
    const last = rows().at(-1)!;
    expect(last.dataset.id).toBe("f/23/1999/1");
    expect(last.getAttribute("aria-rowindex")).toBe("2001");
    expect(table().getAttribute("aria-activedescendant")).toBe(last.id);
    expect(rows().length).toBeLessThan(40);
  });

  it("scroll to the node that is selected elsewhere", () => {
    const { state, row } = show(tablePane, { nodes: many(2000), edges: [] });
    expect(row("f/12/1000/1")).toBeUndefined();
    state.select("f/12/1000/1");
    expect(row("f/12/1000/1").getAttribute("aria-selected")).toBe("true");
  });
});
