import { afterEach, describe, expect, it, vi } from "vitest";
import { matches } from "../../src/graph-explorer/search";
import { makeSearchBox } from "../../src/graph-explorer/searchbox";
import { makeState, type State } from "../../src/graph-explorer/state";
import { EDGES, FakeModel, NODES, wire } from "./graphs";

const stateOf = (nodes = NODES, traits: Record<string, unknown> = {}) =>
  makeState(new FakeModel({ ...wire(nodes, EDGES), ...traits }) as never, () => true);
const found = (state: State, text: string) => matches(state, text).map((node) => state.graph.ids[node]);

afterEach(() => document.body.replaceChildren());

describe("a search", () => {
  it("goes by label, token, feature number and id, whatever the case", () => {
    const state = stateOf();
    expect(found(state, "NAME")).toEqual(["f/1/3/2"]);
    expect(found(state, "c")).toContain("l/5/2");
    expect(found(state, "e/0")).toEqual(["e/0/2"]);
    expect(found(state, "feature 7")).toEqual(["f/0/7/1"]);
    expect(found(state, "8")[0]).toBe("f/0/8/1");
    expect(found(state, " ")).toEqual([]);
    expect(found(state, "nothing of the kind")).toEqual([]);
  });

  it("goes by the user's names, and no longer by those that they replaced", () => {
    const state = stateOf(NODES, { labels: { "f/1/3/2": "people" } });
    expect(found(state, "people")).toEqual(["f/1/3/2"]);
    expect(found(state, "names")).toEqual([]);
  });

  it("has the token itself before what stands over it, and the influential before the rest", () => {
    const state = stateOf(NODES.map((node) => (node.kind === "feature" ? { ...node, token: "a" } : node)));
    expect(found(state, "a").slice(0, 3)).toEqual(["t/1", "f/1/3/2", "f/0/7/1"]);
  });

  it("finds a token as it is shown", () => {
    const state = stateOf([...NODES, { id: "t/3", kind: "token", position: 3, token: "\n" }]);
    expect(found(state, "↵")).toEqual(["t/3"]);
  });
});

describe("the search field", () => {
  function box() {
    const calls = { mark: vi.fn(), point: vi.fn(), choose: vi.fn() };
    const search = makeSearchBox(stateOf(), calls);
    document.body.append(search.element);
    const input = search.element.querySelector("input")!;
    const type = (text: string) => {
      input.value = text;
      input.dispatchEvent(new Event("input"));
    };
    const press = (key: string, init: KeyboardEventInit = {}) =>
      input.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));
    const options = () => [...search.element.querySelectorAll<HTMLElement>('[role="option"]')];
    return { ...calls, search, input, type, press, options };
  }

  it("lists and marks what it finds, and Enter takes the best", () => {
    const { type, press, options, mark, choose, input } = box();
    type("f/0");
    expect(options().map(({ dataset }) => dataset.id)).toEqual(["f/0/7/1", "f/0/8/1"]);
    expect(mark.mock.lastCall![0]).toHaveLength(2);
    expect(input.getAttribute("aria-expanded")).toBe("true");
    press("Enter");
    expect(choose).toHaveBeenCalledWith("f/0/7/1", false);
    expect(input.getAttribute("aria-expanded")).toBe("false");
  });

  it("goes through the list with the arrows and tells a screen reader where it is", () => {
    const { type, press, options, point, choose, input } = box();
    type("f/0");
    press("ArrowDown");
    press("ArrowDown");
    expect(point).toHaveBeenLastCalledWith("f/0/8/1");
    expect(input.getAttribute("aria-activedescendant")).toBe(options()[1]!.id);
    expect(options().map((option) => option.getAttribute("aria-selected"))).toEqual(["false", "true"]);
    press("Enter", { shiftKey: true });
    expect(choose).toHaveBeenCalledWith("f/0/8/1", true);
    press("ArrowDown");
    expect(point).toHaveBeenLastCalledWith("f/0/7/1");
  });

  it("says that there is nothing, and forgets with the second Esc", () => {
    const { search, type, press, mark, input } = box();
    type("zzz");
    expect(search.element.textContent).toContain("No node has this label");
    press("Enter");
    press("Escape");
    expect(input.value).toBe("zzz");
    press("Escape");
    expect(input.value).toBe("");
    expect(mark).toHaveBeenLastCalledWith([]);
  });
});
