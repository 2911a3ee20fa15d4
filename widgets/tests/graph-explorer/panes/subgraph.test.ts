import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { subgraphPane } from "../../../src/graph-explorer/panes/subgraph";
import { apart, cardsOf, localEdges, perRow, placeCards } from "../../../src/graph-explorer/panes/subgraph-cards";
import { makeState } from "../../../src/graph-explorer/state";
import { EDGES, FakeModel, NODES, wire } from "../graphs";

const GROUP = { name: "low", ids: ["f/0/7/1", "f/0/8/1"] };
const TRAITS = { supernodes: [GROUP], pinned_ids: ["l/5/2", "f/1/3/2", "f/0/7/1"] };
const made = (traits: Record<string, unknown> = TRAITS) => {
  const model = new FakeModel({ ...wire(NODES, EDGES), view: "subgraph", ...traits });
  return { model, state: makeState(model as never, () => true) };
};
const task = () => new Promise((resolve) => setTimeout(resolve, 0));

let size = { width: 800, height: 400 };
beforeEach(() => {
  size = { width: 800, height: 400 };
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockImplementation(() => size.width);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockImplementation(() => size.height);
});
afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

describe("the cards", () => {
  it("are the supernodes, and the pinned nodes that are in none", () => {
    expect(cardsOf(made().state).map(({ key, members }) => [key, members.length])).toEqual([
      ["s/low", 2],
      ["l/5/2", 1],
      ["f/1/3/2", 1],
    ]);
  });

  it("have summed edges between them, as shares of what the target receives from outside", () => {
    const { state } = made();
    const edges = localEdges(state.graph, cardsOf(state));
    const found = edges.map(({ source, target, edges, share }) => [source, target, edges, share.toFixed(2)]);
    expect(found).toEqual([
      ["f/1/3/2", "l/5/2", 1, "0.50"],
      ["s/low", "f/1/3/2", 2, "0.30"],
    ]);
  });

  it("stand like the graph, and where they were dragged to", () => {
    const { state } = made();
    const places = placeCards(cardsOf(state), 2, { "f/1/3/2": [0.2, 0.9] });
    expect(places.at.get("s/low")![1]).toBeGreaterThan(places.at.get("l/5/2")![1]);
    expect(places.at.get("s/low")![0]).toBeLessThan(places.at.get("l/5/2")![0]);
    expect(places.at.get("f/1/3/2")).toEqual([0.2, 0.9]);
  });

  it("stand in several rows where the pane is narrow", () => {
    const { state } = made({ pinned_ids: ["t/0", "t/1", "t/2", "l/5/2"], supernodes: [] });
    const rows = (most: number) => {
      const { at, width } = placeCards(cardsOf(state), 2, {}, most);
      return { rows: new Set(["t/0", "t/1", "t/2"].map((key) => at.get(key)![1])).size, width };
    };
    expect(rows(6).rows).toBe(1);
    expect(rows(2).rows).toBe(2);
    expect(rows(2).width).toBeLessThan(rows(6).width);
    expect([perRow(100), perRow(400), perRow(1060)]).toEqual([1, 2, 6]);
  });

  it("do not touch, however many want the same place", () => {
    expect(apart([0, 0, 1], 0.25)).toEqual([0.125, 0.375, 0.875]);
    expect(apart([1, 1, 1, 1], 0.25)).toEqual([0.125, 0.375, 0.625, 0.875]);
  });
});

function shown(traits?: Record<string, unknown>) {
  const { model, state } = made(traits);
  const go = vi.fn();
  const pane = subgraphPane(state, go);
  document.body.append(pane.element);
  pane.show();
  state.listen((change) => pane.follow(change));
  const card = (key: string) => pane.element.querySelector<HTMLElement>(`[data-card="${key}"]`)!;
  const id = (testid: string) => pane.element.querySelector<HTMLElement>(`[data-testid="${testid}"]`)!;
  const drag = (key: string, dx: number, dy: number) => {
    const event = (type: string, x: number, y: number) =>
      card(key).dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, button: 0, bubbles: true }));
    event("pointerdown", 100, 100);
    event("pointermove", 100 + dx, 100 + dy);
    event("pointerup", 100 + dx, 100 + dy);
  };
  return { model, state, pane, go, card, id, drag };
}

describe("the subgraph", () => {
  it("says how to fill it when there is nothing in it", () => {
    const { pane, model } = shown({});
    expect(pane.element.textContent).toContain("Pinned nodes and supernodes stand here");
    expect(model.sent).toEqual([]);
  });

  it("shows Python's scores and edges, and asks again for other cards alone", async () => {
    const { model, state, pane, id } = shown();
    expect(model.sent.map(({ method, params }) => [method, params])).toEqual([
      ["subgraph", { pinned: TRAITS.pinned_ids, supernodes: [GROUP] }],
    ]);
    const edges = { source: ["s/low"], target: ["l/5/2"], weight: [3], share: [0.25], edges: [4] };
    await model.reply({ result: { replacement: 0.4, completeness: 0.6, edges } });
    expect(id("subgraph-scores").textContent).toContain("Replacement 0.400 of 0.500");
    const lines = [...pane.element.querySelectorAll("[data-edge]")].map((line) => line.getAttribute("data-edge"));
    expect(lines).toEqual(["s/low l/5/2"]);
    state.set("labels", { "f/1/3/2": "people" });
    expect(model.sent).toHaveLength(1);
    state.togglePin("t/1");
    expect(model.sent).toHaveLength(2);
  });

  it("says where the edges are from when nobody answers", async () => {
    const { model, id, pane } = shown();
    await model.reply({ error: "none", no_kernel: true });
    expect(id("subgraph-scores").textContent).toContain("No kernel to ask");
    expect(pane.element.querySelectorAll("[data-edge]")).toHaveLength(2);
  });

  it("keeps where a card was dragged to, and puts all back", () => {
    const { model, state, card, drag, id } = shown();
    const before = card("f/1/3/2").style.left;
    drag("f/1/3/2", -80, 40);
    expect(Object.keys(state.places)).toEqual(["f/1/3/2"]);
    expect(model.get("card_positions")).toEqual(state.places);
    expect(card("f/1/3/2").style.left).not.toBe(before);
    id("tidy").click();
    expect(state.places).toEqual({});
    expect(card("f/1/3/2").style.left).toBe(before);
  });

  it("selects by a click, a supernode's members all together, and works with the keys", () => {
    const { state, go, card, drag } = shown();
    drag("f/1/3/2", 0, 0);
    expect(go).toHaveBeenCalledWith("f/1/3/2");
    drag("s/low", 1, 1);
    expect(state.selected).toEqual(GROUP.ids);
    expect(card("s/low").dataset.selected).toBe("true");
    const press = (key: string) =>
      card("l/5/2").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    press("Enter");
    expect(go).toHaveBeenLastCalledWith("l/5/2");
    press("ArrowLeft");
    expect(Object.keys(state.places)).toEqual(["l/5/2"]);
  });

  it("renames and ungroups a supernode", () => {
    const { state, id } = shown();
    const field = id("supernode-name") as HTMLInputElement;
    field.value = "names";
    field.dispatchEvent(new Event("change"));
    expect(state.groups[0]!.name).toBe("names");
    id("ungroup-card").click();
    expect(state.groups).toEqual([]);
  });

  it("asks Python for groups among what is pinned, and for an output beside them where nothing is", async () => {
    const { model, state, id } = shown({});
    id("suggest").click();
    expect(model.sent.at(-1)!.params).toEqual({ among: [] });
    await model.reply({ result: [GROUP] });
    expect(state.groups).toEqual([GROUP]);
    expect(state.pinned).toEqual(["l/5/2"]);
    state.history.undo();
    expect([state.groups, state.pinned]).toEqual([[], []]);
  });

  it("says when no groups can be suggested", async () => {
    const { model, id, pane } = shown({ pinned_ids: ["f/0/7/1", "f/1/3/2"] });
    id("suggest").click();
    expect(model.sent.at(-1)!.params).toEqual({ among: ["f/0/7/1", "f/1/3/2"] });
    await model.reply({ result: [] });
    await task();
    expect(pane.element.textContent).toContain("No two of these features are alike");
  });
});
