import { describe, expect, it, vi } from "vitest";
import { carries, carriesGroup, letCarry } from "../../src/graph-explorer/carry";
import { makeState } from "../../src/graph-explorer/state";
import { h } from "../../src/kit/dom";
import { EDGES, FakeModel, NODES, wire } from "./graphs";

const GROUP = { name: 'a <b> "c"', ids: ["f/0/7/1", "e/0/2"] };

/** Drag an element out of an explorer with a supernode; return what it carries. */
function dragged(element: HTMLElement): Record<string, string> {
  const model = new FakeModel({ ...wire(NODES, EDGES), supernodes: [GROUP] });
  const root = h("div", {}, element);
  const end = letCarry(
    root,
    makeState(model as never, () => true),
  );
  const carried: Record<string, string> = {};
  const dataTransfer = {
    effectAllowed: "all",
    setData: vi.fn((type, data) => Object.assign(carried, { [type]: data })),
  };
  element.dispatchEvent(Object.assign(new Event("dragstart", { bubbles: true }), { dataTransfer }));
  end();
  if (dataTransfer.setData.mock.calls.length > 0) expect(dataTransfer.effectAllowed).toBe("copy");
  return carried;
}

describe("what is dragged out of an explorer", () => {
  it("is a node's id as text", () => {
    expect(dragged(h("button", carries("f/0/7/1")))).toEqual({ "text/plain": "f/0/7/1" });
  });

  it("is a supernode with its nodes, which are text beside it", () => {
    expect(dragged(h("span", carriesGroup(GROUP.name)))).toEqual({
      "text/plain": "f/0/7/1 e/0/2",
      "application/x-workbench-supernode": JSON.stringify({ name: GROUP.name, node_ids: GROUP.ids }),
    });
  });

  it("is nothing of a supernode that is no more, or of what stands for no node", () => {
    expect(dragged(h("span", carriesGroup("gone")))).toEqual({});
    expect(dragged(h("img", { draggable: "true" }))).toEqual({});
  });
});
