import { describe, expect, it } from "vitest";
import { freeName, grouped, groupOf, renamed, without } from "../../src/graph-explorer/groups";
import { makeState } from "../../src/graph-explorer/state";
import { EDGES, FakeModel, NODES, wire } from "./graphs";

const GROUPS = [
  { name: "first", ids: ["a", "b"] },
  { name: "second", ids: ["c"] },
];

describe("groups of nodes", () => {
  it("are made of free nodes", () => {
    expect(grouped(GROUPS, ["d", "e", "d"], "third").at(-1)).toEqual({ name: "third", ids: ["d", "e"] });
    expect(grouped(GROUPS, ["d", "e"], "first").at(-1)!.name).toBe("first (2)");
  });

  it("take in what is grouped with one of theirs, also from another group, which may end", () => {
    expect(grouped(GROUPS, ["d", "a"], "x")).toEqual([{ name: "first", ids: ["a", "b", "d"] }, GROUPS[1]]);
    expect(grouped(GROUPS, ["a", "c"], "x")).toEqual([{ name: "first", ids: ["a", "b", "c"] }]);
  });

  it("lose nodes, and end with the last one", () => {
    expect(without(GROUPS, ["a", "c"])).toEqual([{ name: "first", ids: ["b"] }]);
    expect(groupOf(without(GROUPS, ["a"]), "a")).toBeUndefined();
  });

  it("have names of their own", () => {
    expect(renamed(GROUPS, "second", "first")[1]!.name).toBe("first (2)");
    expect(renamed(GROUPS, "second", " ")).toEqual(GROUPS);
    expect(freeName([...GROUPS, { name: "first (2)", ids: [] }], "first")).toBe("first (3)");
  });
});

describe("supernodes in the state", () => {
  const state = (traits = {}) => makeState(new FakeModel({ ...wire(NODES, EDGES), ...traits }) as never, () => true);

  it("are named after their most influential node", () => {
    const some = state();
    expect(some.group(["f/1/3/2", "f/0/8/1"])).toBe("names");
    expect(some.groups).toEqual([{ name: "names", ids: ["f/1/3/2", "f/0/8/1"] }]);
    expect(some.group(["t/1"])).toBeNull();
    some.leave(["f/0/8/1"]);
    some.ungroup("names");
    expect(some.groups).toEqual([]);
  });

  it("keep the place of their card under a new name", () => {
    const some = state({ supernodes: [{ name: "x", ids: ["t/1", "t/2"] }], card_positions: { "s/x": [0.5, 0.5] } });
    some.renameGroup("x", " y ");
    expect(some.groups[0]!.name).toBe("y");
    expect(some.places).toEqual({ "s/y": [0.5, 0.5] });
    some.renameGroup("nobody", "z");
    expect(some.groups[0]!.name).toBe("y");
  });

  it("leave nodes where they are when more are suggested", () => {
    const some = state({ supernodes: [{ name: "x", ids: ["t/1", "t/2"] }] });
    some.addGroups([
      { name: "x", ids: ["t/1", "f/0/7/1", "f/0/8/1"] },
      { name: "too small", ids: ["t/2", "f/1/3/2"] },
    ]);
    expect(some.groups.map(({ name, ids }) => [name, ids.length])).toEqual([
      ["x", 2],
      ["x (2)", 2],
    ]);
  });
});
