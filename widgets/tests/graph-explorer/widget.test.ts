import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../../src/graph-explorer/index";
import { EDGES, FakeModel, NODES, type Wire, wire } from "./graphs";

interface Explorer extends HTMLElement {
  nodePosition(id: string): { x: number; y: number } | null;
}

const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
const find = <T extends HTMLElement = HTMLElement>(root: Element, testid: string) =>
  root.querySelector<T>(`[data-testid="${testid}"]`)!;
const rows = (root: Element, testid: string) =>
  [...root.querySelectorAll<HTMLElement>(`[data-testid="${testid}"] .wbx-row`)].map((row) => row.dataset.id);

let cleanups: (() => void)[] = [];

/** happy-dom measures nothing, so that nothing ever changes its size: a view hears of its first size as in a browser. */
const sized = new Set<() => void>();
class FirstSize {
  readonly #changed: () => void;
  constructor(changed: () => void) {
    this.#changed = changed;
    sized.add(changed);
  }
  observe(): void {
    queueMicrotask(this.#changed);
  }
  disconnect(): void {
    sized.delete(this.#changed);
  }
}

beforeEach(() => {
  vi.stubGlobal("ResizeObserver", FirstSize);
  // happy-dom lays nothing out: every element is as large as a view.
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(700);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(420);
});

afterEach(() => {
  for (const cleanup of cleanups) cleanup();
  cleanups = [];
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Show a widget in some views, as a notebook does. */
async function show({ state = {} as Record<string, unknown>, views = 1, of = partial(), alive = true } = {}) {
  const model = new FakeModel({ ...of, ...state });
  const { initialize, render } = widget();
  const end = initialize({ model: model as never });
  const roots: Explorer[] = [];
  const closes: (() => void)[] = [];
  for (let view = 0; view < views; view += 1) {
    const el = document.createElement("div");
    el.classList.toggle("jupyter-widgets-disconnected", !alive);
    document.body.append(el);
    closes.push(render({ model: model as never, el }));
    roots.push(el.querySelector<Explorer>(".wb-explorer")!);
  }
  cleanups.push(end);
  await frame();
  await frame();
  return { model, roots, root: roots[0]!, closes, end };
}

/** A graph of which not all edges travel with the widget. */
const partial = (): Wire => wire(NODES, EDGES, { n_nodes: 40, n_edges: 900 });

function point(root: Explorer, type: string, at: { x: number; y: number }, init: PointerEventInit = {}): void {
  const canvas = find(root, "graph-canvas");
  const { left, top } = canvas.getBoundingClientRect();
  const options = {
    clientX: left + at.x,
    clientY: top + at.y,
    bubbles: true,
    button: 0,
    pointerType: "mouse",
    ...init,
  };
  canvas.dispatchEvent(new PointerEvent(type, options));
}

function click(root: Explorer, id: string | { x: number; y: number }, init: PointerEventInit = {}): void {
  const at = typeof id === "string" ? root.nodePosition(id)! : id;
  point(root, "pointerdown", at, init);
  point(root, "pointerup", at, init);
}

const key = (root: Explorer, name: string, init: KeyboardEventInit = {}) =>
  find(root, "graph-canvas").dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, ...init }));

const END = { weight: [1, -2], share: [0.4, -0.2], total: 412, positive: 0.7, negative: -0.3 };
const ANSWER = {
  node: { id: "f/1/3/2", kind: 0, layer: 1, position: 2, feature: 3, token: " b", label: "names" },
  incoming: { ids: ["f/0/7/1", "f/0/99/1"], ...END },
  outgoing: { ids: ["l/5/2"], weight: [1], share: [0.5], total: 1, positive: 0.5, negative: 0 },
  others: [
    { id: "f/0/99/1", kind: 0, layer: 0, position: 1, feature: 99, token: "a", label: "" },
    { id: "f/0/7/1", kind: 0, layer: 0, position: 1, feature: 7, token: "a", label: "" },
    { id: "l/5/2", kind: 4, layer: 2, position: 2, feature: -1, token: " c", label: "" },
  ],
};

describe("the pointer", () => {
  it("selects by a click, adds with Shift, selects nothing on empty ground", async () => {
    const { model, root } = await show();
    click(root, "f/1/3/2");
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    expect(model.save_changes).toHaveBeenCalled();
    click(root, "t/1", { shiftKey: true });
    expect(model.get("selected_ids")).toEqual(["f/1/3/2", "t/1"]);
    click(root, "t/1", { shiftKey: true });
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    click(root, { x: 690, y: 415 });
    expect(model.get("selected_ids")).toEqual([]);
  });

  it("pins with Ctrl or Cmd", async () => {
    const { model, root } = await show();
    click(root, "f/1/3/2", { metaKey: true });
    click(root, "t/1", { ctrlKey: true });
    expect(model.get("pinned_ids")).toEqual(["f/1/3/2", "t/1"]);
    click(root, "t/1", { ctrlKey: true });
    expect(model.get("pinned_ids")).toEqual(["f/1/3/2"]);
    expect(model.get("selected_ids")).toEqual([]);
  });

  it("selects what a rectangle encloses", async () => {
    const { model, root } = await show();
    const { x, y } = root.nodePosition("t/1")!;
    point(root, "pointerdown", { x: x - 30, y: y - 9 });
    point(root, "pointermove", { x: x + 30, y: y + 9 });
    point(root, "pointerup", { x: x + 30, y: y + 9 });
    expect(model.get("selected_ids")).toEqual(["t/1"]);
  });

  it("shows what a node is, and tells Python where it came to rest", async () => {
    const { model, root } = await show();
    vi.useFakeTimers();
    point(root, "pointermove", root.nodePosition("f/1/3/2")!);
    const tooltip = find(root, "tooltip");
    expect(tooltip.hidden).toBe(false);
    expect(tooltip.textContent).toContain("Feature 3 · layer 1 · ·b · position 2");
    expect(tooltip.textContent).toContain("names");
    expect(tooltip.textContent).toContain("Influence 0.300");
    expect(model.save_changes).not.toHaveBeenCalled();
    vi.runAllTimers();
    vi.useRealTimers();
    expect(model.save_changes).toHaveBeenCalledOnce();
    expect(model.get("hovered_id")).toBe("f/1/3/2");
    point(root, "pointermove", { x: 690, y: 415 });
    expect(tooltip.hidden).toBe(true);
  });

  it("leaves what Python points at after the pointer has gone", async () => {
    const { model, root } = await show();
    vi.useFakeTimers();
    point(root, "pointermove", root.nodePosition("f/1/3/2")!);
    vi.runAllTimers();
    point(root, "pointerleave", { x: 0, y: 0 });
    model.set("hovered_id", "t/1");
    vi.runAllTimers();
    vi.useRealTimers();
    expect(model.get("hovered_id")).toBe("t/1");
    expect(find(root, "tooltip").textContent).toContain("position 1");
  });

  it("finds the node that a new layout brings under a pointer that rests", async () => {
    const { model, root } = await show();
    const spread = { height: 900, width: 1400 };
    vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(spread.width);
    vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(spread.height);
    const ground = { x: 690, y: 150 };
    point(root, "pointermove", ground);
    expect(find(root, "tooltip").hidden).toBe(true);
    sized.forEach((changed) => void changed());
    await frame();
    const node = root.nodePosition("f/1/3/2")!;
    point(root, "pointermove", node);
    expect(find(root, "tooltip").textContent).toContain("Feature 3");
    vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(700);
    sized.forEach((changed) => void changed());
    await frame();
    expect(find(root, "tooltip").hidden).toBe(true);
    // What was pointed at with a key stays.
    key(root, "ArrowUp");
    const shown = find(root, "tooltip").textContent;
    vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(spread.width);
    sized.forEach((changed) => void changed());
    await frame();
    expect(find(root, "tooltip").textContent).toBe(shown);
    expect(model.get("selected_ids")).toEqual([]);
  });
});

describe("the keys", () => {
  it("walk, select, pin and clear", async () => {
    const { model, root } = await show();
    key(root, "ArrowUp");
    expect(find(root, "tooltip").textContent).toContain("Logit");
    key(root, "ArrowDown");
    await vi.waitFor(() => expect(model.get("hovered_id")).toBe("f/1/3/2"));
    expect(find(root, "live").textContent).toContain("Feature 3 names, layer 1");
    key(root, "Enter");
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    key(root, "p");
    expect(model.get("pinned_ids")).toEqual(["f/1/3/2"]);
    key(root, "Escape");
    expect(model.get("selected_ids")).toEqual([]);
    key(root, "[");
    expect(model.get("node_threshold")).toBeCloseTo(0.78);
    key(root, "]");
    expect(model.get("node_threshold")).toBeCloseTo(0.8);
  });

  it("do not reach the notebook", async () => {
    const { root } = await show();
    const notebook = vi.fn();
    document.body.addEventListener("keydown", notebook, { once: true });
    key(root, "b");
    expect(notebook).not.toHaveBeenCalled();
  });
});

describe("zoom", () => {
  const wheel = (root: Explorer, deltaY: number, init: WheelEventInit = {}) => {
    const event = new WheelEvent("wheel", { deltaY, bubbles: true, cancelable: true, clientX: 350, clientY: 200 });
    for (const [name, value] of Object.entries(init)) Object.defineProperty(event, name, { value });
    find(root, "graph-canvas").dispatchEvent(event);
    return event;
  };
  const zoom = (root: Explorer) => find(root, "zoom-reset").textContent;

  it("follows the keys and the buttons, and spreads the nodes out", async () => {
    const { root } = await show();
    const apart = () => root.nodePosition("t/2")!.x - root.nodePosition("t/1")!.x;
    const before = apart();
    key(root, "+");
    find(root, "zoom-in").click();
    expect(zoom(root)).toBe("196 %");
    expect(apart()).toBeGreaterThan(1.9 * before);
    key(root, "-");
    expect(zoom(root)).toBe("140 %");
    key(root, "0");
    expect(zoom(root)).toBe("100 %");
    expect(apart()).toBeCloseTo(before);
    expect(find<HTMLButtonElement>(root, "zoom-out").disabled).toBe(true);
  });

  it("takes the wheel with Ctrl alone: without it the page scrolls", async () => {
    const { root } = await show();
    expect(wheel(root, -100).defaultPrevented).toBe(false);
    expect(zoom(root)).toBe("100 %");
    expect(wheel(root, -100, { ctrlKey: true } as WheelEventInit).defaultPrevented).toBe(true);
    expect(zoom(root)).toBe("162 %");
  });

  it("keeps what is under the pointer there, and ends with a double click on empty ground", async () => {
    const { root } = await show();
    const scroller = root.querySelector<HTMLElement>(".wbx-scroller")!;
    const { x } = root.nodePosition("t/1")!;
    const event = new WheelEvent("wheel", { deltaY: -100, bubbles: true, cancelable: true });
    for (const [name, value] of Object.entries({ clientX: x, clientY: 200, ctrlKey: true })) {
      Object.defineProperty(event, name, { value });
    }
    find(root, "graph-canvas").dispatchEvent(event);
    expect(scroller.scrollLeft).toBeGreaterThan(0);
    expect(root.nodePosition("t/1")!.x).toBeCloseTo(x, 0);
    find(root, "graph-canvas").dispatchEvent(new MouseEvent("dblclick", { bubbles: true, clientX: 690, clientY: 415 }));
    expect(zoom(root)).toBe("100 %");
  });

  it("lets the graph be shifted with the space bar or the middle button", async () => {
    const { model, root } = await show();
    const scroller = root.querySelector<HTMLElement>(".wbx-scroller")!;
    for (let step = 0; step < 3; step += 1) key(root, "+");
    const from = scroller.scrollLeft;
    key(root, " ");
    point(root, "pointerdown", { x: 300, y: 200 });
    point(root, "pointermove", { x: 280, y: 190 });
    point(root, "pointerup", { x: 280, y: 190 });
    expect(scroller.scrollLeft).toBe(from + 20);
    find(root, "graph-canvas").dispatchEvent(new KeyboardEvent("keyup", { key: " ", bubbles: true }));
    point(root, "pointerdown", { x: 280, y: 190 }, { button: 1 });
    point(root, "pointermove", { x: 300, y: 190 }, { button: 1 });
    point(root, "pointerup", { x: 300, y: 190 }, { button: 1 });
    expect(scroller.scrollLeft).toBe(from);
    expect(model.get("selected_ids")).toEqual([]);
  });
});

describe("supernodes", () => {
  const up = (root: Explorer) =>
    find(root, "graph-canvas").dispatchEvent(new KeyboardEvent("keyup", { key: "g", bubbles: true }));

  it("are made of the nodes that are clicked while G is held", async () => {
    const { model, root } = await show();
    key(root, "g");
    for (const id of ["f/1/3/2", "t/1", "f/0/7/1"]) click(root, id);
    click(root, "t/1");
    expect(model.get("supernodes")).toEqual([]);
    up(root);
    expect(model.get("supernodes")).toEqual([{ name: "Feature 7", ids: ["f/1/3/2", "f/0/7/1"] }]);
    expect(find(root, "live").textContent).toBeTruthy();
    click(root, "t/1");
    expect(model.get("selected_ids")).toEqual(["t/1"]);
  });

  it("are made of what is selected by G alone and by the button, and are renamed, left and given up", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/0/7/1", "f/1/3/2"] } });
    key(root, "g");
    up(root);
    expect(find<HTMLInputElement>(root, "group-name").value).toBe("Feature 7");
    const field = find<HTMLInputElement>(root, "group-name");
    field.value = "both";
    field.dispatchEvent(new Event("change"));
    expect(model.get("supernodes")).toEqual([{ name: "both", ids: ["f/0/7/1", "f/1/3/2"] }]);
    find(root, "leave-group").click();
    expect(model.get("supernodes")).toEqual([{ name: "both", ids: ["f/0/7/1"] }]);
    find(root, "group").click();
    find(root, "ungroup").click();
    expect(model.get("supernodes")).toEqual([]);
  });

  it("are not made of one node, nor when the focus leaves", async () => {
    const { model, root } = await show();
    key(root, "g");
    click(root, "t/1");
    find(root, "graph-canvas").dispatchEvent(new FocusEvent("focusout", { bubbles: true, relatedTarget: null }));
    up(root);
    key(root, "g");
    click(root, "t/1");
    up(root);
    expect(model.get("supernodes")).toEqual([]);
  });

  it("stand in the subgraph, which Python can show", async () => {
    const supernodes = [{ name: "mine", ids: ["f/0/7/1", "f/0/8/1"] }];
    const { model, root } = await show({ state: { supernodes, pinned_ids: ["l/5/2"] } });
    model.set("view", "subgraph");
    expect(root.dataset.view).toBe("subgraph");
    expect([...root.querySelectorAll<HTMLElement>("[data-card]")].map(({ dataset }) => dataset.card)).toEqual([
      "s/mine",
      "l/5/2",
    ]);
    find(root, "tab-graph").click();
    expect(model.get("view")).toBe("graph");
  });
});

describe("the legend", () => {
  const choose = (root: Explorer, testid: string, value: string) => {
    const select = find<HTMLSelectElement>(root, testid);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };

  it("hides features that fire often, one step a drag", async () => {
    const dense = NODES.map((node) => (node.id === "f/0/7/1" ? { ...node, density: 0.2 } : node));
    const { model, root } = await show({ of: wire(dense, EDGES) });
    const slider = find<HTMLInputElement>(root, "density");
    expect([slider.disabled, slider.value]).toEqual([false, "100"]);
    slider.value = "75";
    slider.dispatchEvent(new Event("input"));
    expect(model.get("density_threshold")).toBeCloseTo(0.1);
    expect(slider.getAttribute("aria-valuetext")).toBe("≤ 10 % of the tokens");
    expect(root.nodePosition("f/0/7/1")).toBeNull();
    model.set("density_threshold", 1);
    expect(slider.value).toBe("100");
    expect(root.nodePosition("f/0/7/1")).not.toBeNull();
  });

  it("says why densities cannot be used where none are known", async () => {
    const { root } = await show();
    const slider = find<HTMLInputElement>(root, "density");
    expect(slider.disabled).toBe(true);
    const reason = document.getElementById(slider.getAttribute("aria-describedby")!)!;
    expect(reason.textContent).toContain("atlas");
  });

  it("chooses edges and their colour, here and from Python", async () => {
    const { model, root } = await show();
    choose(root, "link_mode", "in");
    choose(root, "colour_by", "share");
    expect([model.get("link_mode"), model.get("colour_by")]).toEqual(["in", "share"]);
    expect(root.querySelector(".wbx-signs .wbx-ramp")).not.toBeNull();
    model.set("link_mode", "both");
    model.set("colour_by", "sign");
    expect(find<HTMLSelectElement>(root, "link_mode").value).toBe("both");
    expect(root.querySelector(".wbx-signs .wbx-ramp")).toBeNull();
  });
});

describe("the search", () => {
  it("is a key away, points at what it finds and selects it, also where that is not drawn", async () => {
    const { model, root } = await show();
    key(root, "/");
    const field = find<HTMLInputElement>(root, "search");
    expect(document.activeElement).toBe(field);
    field.value = "b_dec";
    field.dispatchEvent(new Event("input"));
    const press = (name: string) =>
      field.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
    press("ArrowDown");
    await vi.waitFor(() => expect(model.get("hovered_id")).toBe("b/0/b_dec/1"));
    expect(root.nodePosition("b/0/b_dec/1")).toBeNull();
    press("Enter");
    expect(model.get("selected_ids")).toEqual(["b/0/b_dec/1"]);
    expect(root.nodePosition("b/0/b_dec/1")).not.toBeNull();
  });
});

describe("undo and redo", () => {
  const task = () => new Promise((resolve) => setTimeout(resolve, 0));
  const undo = (root: Explorer, init: KeyboardEventInit = {}) => key(root, "z", { ctrlKey: true, ...init });

  it("take back the selection, pins, names and thresholds, also those that Python set", async () => {
    const { model, root } = await show();
    click(root, "f/1/3/2");
    await task();
    click(root, "t/1", { ctrlKey: true });
    await task();
    model.set("labels", { "t/1": "first" });
    await task();
    undo(root);
    expect(model.get("labels")).toEqual({});
    undo(root);
    expect(model.get("pinned_ids")).toEqual([]);
    find(root, "undo").click();
    expect(model.get("selected_ids")).toEqual([]);
    expect(find<HTMLButtonElement>(root, "undo").disabled).toBe(true);
    undo(root, { shiftKey: true });
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    key(root, "y", { ctrlKey: true });
    find(root, "redo").click();
    expect([model.get("pinned_ids"), model.get("labels")]).toEqual([["t/1"], { "t/1": "first" }]);
    expect(find<HTMLButtonElement>(root, "redo").disabled).toBe(true);
  });

  it("take a slider's way for one step, and leave the pointer out", async () => {
    const { model, root } = await show();
    const slider = find<HTMLInputElement>(root, "threshold");
    for (const value of ["70", "60", "50"]) {
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
      await task();
    }
    slider.dispatchEvent(new Event("change"));
    point(root, "pointermove", root.nodePosition("t/1")!);
    await task();
    undo(root);
    expect(model.get("node_threshold")).toBe(0.8);
    expect(find<HTMLButtonElement>(root, "undo").disabled).toBe(true);
  });

  it("leave what is being written to the field", async () => {
    const { model, root } = await show();
    click(root, "f/1/3/2");
    await task();
    find(root, "label").dispatchEvent(new KeyboardEvent("keydown", { key: "z", ctrlKey: true, bubbles: true }));
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
  });
});

describe("the size", () => {
  it("follows the handle and its arrow keys, within limits", async () => {
    const { model, root } = await show();
    const handle = find(root, "height");
    handle.dispatchEvent(new PointerEvent("pointerdown", { clientY: 500, bubbles: true, button: 0 }));
    handle.dispatchEvent(new PointerEvent("pointermove", { clientY: 560, bubbles: true }));
    handle.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    expect(model.get("height")).toBe(580);
    expect(root.style.getPropertyValue("--wb-height")).toBe("580px");
    handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true }));
    expect(model.get("height")).toBe(560);
    expect(handle.getAttribute("aria-valuenow")).toBe("560");
    handle.dispatchEvent(new PointerEvent("pointerdown", { clientY: 500, bubbles: true, button: 0 }));
    handle.dispatchEvent(new PointerEvent("pointermove", { clientY: -900, bubbles: true }));
    expect(model.get("height")).toBe(240);
  });

  it("is the whole screen on demand, where the page allows it", async () => {
    let full: Element | null = null;
    const change = (element: Element | null) => {
      full = element;
      document.dispatchEvent(new Event("fullscreenchange"));
    };
    Object.defineProperty(document, "fullscreenEnabled", { value: true, configurable: true });
    Object.defineProperty(document, "fullscreenElement", { get: () => full, configurable: true });
    document.exitFullscreen = async () => change(null);
    const { root } = await show();
    root.requestFullscreen = async () => change(root);
    const button = find(root, "full-screen");
    expect(button.hidden).toBe(false);
    key(root, "f");
    expect(full).toBe(root);
    expect(button.getAttribute("aria-label")).toBe("Leave the full screen (F)");
    button.click();
    expect(full).toBeNull();
    Object.defineProperty(document, "fullscreenEnabled", { value: false, configurable: true });
    const other = await show();
    expect(find(other.root, "full-screen").hidden).toBe(true);
  });
});

describe("the details", () => {
  it("tell what to do when nothing is selected, and list where to begin", async () => {
    const { root } = await show();
    expect(find(root, "details").textContent).toContain("Click a node");
    expect(rows(root, "influential").slice(0, 3)).toEqual(["t/1", "t/0", "f/0/7/1"]);
  });

  it("show the edges at hand at once, and all of them when Python has answered", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    expect(rows(root, "incoming")).toEqual(["f/0/7/1", "t/2", "f/0/8/1"]);
    expect(model.sent.map(({ method, params }) => [method, params])).toEqual([["connections", { node_id: "f/1/3/2" }]]);
    await model.reply({ result: ANSWER });
    expect(rows(root, "incoming")).toEqual(["f/0/7/1", "f/0/99/1"]);
    expect(find(root, "details").textContent).toContain("2 of 412 edges · +70 % · −30 %");
    expect(root.querySelector('[data-id="f/0/99/1"]')!.getAttribute("data-drawn")).toBe("false");
  });

  it("walk from node to node, also to one that is not drawn, and ask once for each", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    await model.reply({ result: ANSWER });
    root.querySelector<HTMLElement>('[data-testid="incoming"] [data-id="f/0/99/1"]')!.click();
    expect(model.get("selected_ids")).toEqual(["f/0/99/1"]);
    expect(find(root, "details").textContent).toContain("Feature 99 · layer 0");
    model.set("selected_ids", ["f/1/3/2"]);
    expect(model.sent).toHaveLength(2);
  });

  it("ask nothing when all edges came with the widget", async () => {
    const { model, root } = await show({ of: wire(NODES, EDGES), state: { selected_ids: ["f/1/3/2"] } });
    expect(rows(root, "incoming")).toHaveLength(3);
    expect(model.sent).toEqual([]);
  });

  it("show why a request failed beside the edges at hand, and ask again when the node is chosen again", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    await model.reply({ error: "The graph is gone." });
    expect(root.querySelector('[role="alert"]')!.textContent).toContain("The graph is gone.");
    expect(rows(root, "incoming")).toHaveLength(3);
    model.set("selected_ids", []);
    model.set("selected_ids", ["f/1/3/2"]);
    expect(model.sent).toHaveLength(2);
    await model.reply({ result: ANSWER });
    expect(root.querySelector('[role="alert"]:not([hidden])')).toBeNull();
  });

  it("say so where there is no kernel", async () => {
    const { model, root } = await show();
    root.parentElement!.classList.add("jupyter-widgets-disconnected");
    model.set("selected_ids", ["f/1/3/2"]);
    await frame();
    expect(find(root, "source").textContent).toContain("No kernel to ask");
    expect(rows(root, "incoming")).toHaveLength(3);
    expect(root.querySelector('[role="alert"]:not([hidden])')).toBeNull();
    expect(model.sent).toEqual([]);
  });

  it("say so at once in a stored notebook, where a node is selected from the beginning", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] }, alive: false });
    expect(find(root, "source").textContent).toContain("No kernel to ask");
    expect(model.sent).toEqual([]);
  });

  it("wait no longer when the kernel goes away", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    expect(model.sent).toHaveLength(1);
    root.parentElement!.classList.add("jupyter-widgets-disconnected");
    await expect.poll(() => root.textContent).toContain("No kernel to ask");
    expect(rows(root, "incoming")).toHaveLength(3);
  });

  it("keep the name that the user gives, and give the old one back when it is emptied", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    const rename = (text: string) => {
      const label = find<HTMLInputElement>(root, "label");
      label.value = text;
      label.dispatchEvent(new Event("change"));
    };
    expect(find<HTMLInputElement>(root, "label").value).toBe("names");
    rename("people");
    expect(model.get("labels")).toEqual({ "f/1/3/2": "people" });
    rename("");
    expect(model.get("labels")).toEqual({});
    expect(find<HTMLInputElement>(root, "label").value).toBe("names");
  });

  it("show one of many selected nodes, and change to another", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2", "t/1"] } });
    expect(find(root, "selected").textContent).toContain("Selected (2)");
    find(root, "selected").querySelector<HTMLElement>('[data-id="f/1/3/2"]')!.click();
    expect(model.get("selected_ids")).toEqual(["t/1", "f/1/3/2"]);
    expect(find(root, "details").textContent).toContain("Feature 3 · layer 1");
  });

  it("keep the focus where it was when they are built anew", async () => {
    const { model, root } = await show({ state: { selected_ids: ["f/1/3/2"] } });
    root.querySelector<HTMLElement>('[data-testid="incoming"] [data-id="f/0/7/1"]')!.focus();
    await model.reply({ result: ANSWER });
    expect((document.activeElement as HTMLElement).dataset.id).toBe("f/0/7/1");
  });
});

describe("the toolbar", () => {
  it("draws fewer nodes without asking Python, and says how many of how many", async () => {
    const { model, root } = await show();
    expect(find(root, "counts").textContent).toBe("8 of 40 nodes, 6 of 900 edges");
    const slider = find<HTMLInputElement>(root, "threshold");
    slider.value = "50";
    slider.dispatchEvent(new Event("input"));
    expect(model.get("node_threshold")).toBe(0.5);
    expect(find(root, "counts").textContent).toBe("7 of 40 nodes, 5 of 900 edges");
    expect(root.dataset.nodes).toBe("7");
    expect(root.nodePosition("e/0/2")).toBeNull();
    expect(model.sent).toEqual([]);
  });

  it("switches biases on and errors off", async () => {
    const { model, root } = await show({ state: { node_threshold: 1 } });
    expect(root.nodePosition("b/0/b_dec/1")).toBeNull();
    find<HTMLInputElement>(root, "show_biases").click();
    find<HTMLInputElement>(root, "show_errors").click();
    expect([model.get("show_biases"), model.get("show_errors")]).toEqual([true, false]);
    expect(root.nodePosition("b/0/b_dec/1")).not.toBeNull();
    expect(root.nodePosition("e/0/2")).toBeNull();
  });

  it("pins and clears the selection", async () => {
    const { model, root } = await show({ state: { selected_ids: ["t/1"] } });
    find(root, "pin").click();
    expect(model.get("pinned_ids")).toEqual(["t/1"]);
    expect(find(root, "pin").getAttribute("aria-pressed")).toBe("true");
    find(root, "clear").click();
    expect(model.get("selected_ids")).toEqual([]);
    expect(find<HTMLButtonElement>(root, "clear").disabled).toBe(true);
  });

  it("tells the keys behind the question mark", async () => {
    const { root } = await show();
    find(root, "help").click();
    expect(root.querySelector<HTMLElement>(`[id="${find(root, "help").getAttribute("aria-controls")}"]`)!.hidden).toBe(
      false,
    );
    key(root, "Escape");
    expect(root.querySelector<HTMLElement>(`[id="${find(root, "help").getAttribute("aria-controls")}"]`)!.hidden).toBe(
      true,
    );
  });
});

describe("Python", () => {
  it("selects, pins, names and prunes from its side", async () => {
    const { model, root } = await show();
    model.set("pinned_ids", ["f/0/8/1"]);
    expect(root.nodePosition("f/0/8/1")).not.toBeNull();
    model.set("selected_ids", ["f/1/3/2"]);
    model.set("labels", { "f/1/3/2": "people" });
    expect(find<HTMLInputElement>(root, "label").value).toBe("people");
    model.set("node_threshold", 0.25);
    expect(find<HTMLInputElement>(root, "threshold").value).toBe("25");
  });
});

describe("two views of one widget", () => {
  it("stay in step, ask once, and share no ids", async () => {
    const { model, roots } = await show({ views: 2 });
    click(roots[0]!, "f/1/3/2");
    expect(rows(roots[1]!, "incoming")).toHaveLength(3);
    expect(model.sent).toHaveLength(1);
    await model.reply({ result: ANSWER });
    for (const root of roots) expect(rows(root, "incoming")).toContain("f/0/99/1");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("leave nothing behind when they are closed", async () => {
    const { model, roots, closes, end } = await show({ views: 2 });
    closes[0]!();
    expect(roots[0]!.isConnected).toBe(false);
    click(roots[1]!, "t/1");
    expect(rows(roots[1]!, "outgoing")).toEqual(["f/0/7/1"]);
    closes[1]!();
    end();
    expect(model.listening).toBe(0);
    expect(document.querySelector(".wb-explorer")).toBeNull();
  });
});

describe("text from models and users", () => {
  it("is never taken as HTML", async () => {
    const evil = "<img src=x onerror=alert(1)>";
    const nodes = NODES.map((node) => ({ ...node, label: evil, token: "<script>alert(1)</script>" }));
    const info = { prompt: evil, model: evil, tokens: [evil, "<b>a</b>", "\u202e"], n_nodes: 40, n_edges: 900 };
    const of = wire(nodes, EDGES, info);
    const { model, root } = await show({ of, state: { selected_ids: ["f/1/3/2", "t/1"], pinned_ids: ["l/5/2"] } });
    point(root, "pointermove", root.nodePosition("f/1/3/2")!);
    await model.reply({ error: evil });
    for (const tag of ["img", "script", "b[onerror]"]) expect(root.querySelector(tag)).toBeNull();
    expect(root.textContent).toContain(evil);
  });
});

describe("graphs at the edge", () => {
  it.each([
    ["one token and nothing else", wire([NODES[4]!], [], { tokens: ["<s>"], prompt: "", n_layers: 1 })],
    ["no features", wire([NODES[4]!, NODES[5]!, NODES[8]!], [["t/1", "l/5/2", 1]])],
    ["tokens of all kinds", wire(NODES, EDGES, { tokens: ["\n", "👩‍👩‍👧", "שלום"], prompt: "\n👩‍👩‍👧שלום" })],
  ])("are drawn: %s", async (_, of) => {
    const { root } = await show({ of });
    expect(root.dataset.ready).toBe("true");
    expect(root.nodePosition("t/0")).not.toBeNull();
    click(root, "t/0");
    expect(find(root, "details").textContent).toContain("Token · embedding");
  });
});
