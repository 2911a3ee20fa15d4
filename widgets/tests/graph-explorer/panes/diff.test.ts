import { describe, expect, it } from "vitest";
import { diffPane } from "../../../src/graph-explorer/panes/diff";
import { type Changed, readDifference } from "../../../src/graph-explorer/panes/diff-data";
import { places } from "../../../src/graph-explorer/panes/diff-picture";
import { floats, ints } from "../../model";
import { setUp, show } from "./shared";

setUp();

const bytes = (values: number[]) => ({ dtype: "uint8" as const, data: new DataView(new Uint8Array(values).buffer) });
const OTHER = {
  prompt: "a c",
  tokens: ["<s>", "a", " c"],
  counts: { both: 30, a: 12, b: 9 },
  same_features: true,
};
// An output that lost, a feature only here, one only there, a token that is another one there.
const DIFFERENCE = {
  node_id: ["l/5/2", "f/1/3/2", "f/0/44/1", "t/2"],
  where: bytes([0, 1, 2, 0]),
  kind: bytes([4, 0, 0, 2]),
  layer: ints([2, 1, 0, 0]),
  feature: ints([-1, 3, 44, -1]),
  position_a: ints([2, 2, 1, 2]),
  position_b: ints([2, 2, 1, 2]),
  token_a: [" c", " b", "", " b"],
  token_b: [" c", "", "a", " c"],
  label: ["", "names", "<b>new</b>", ""],
  value_a: floats([0.6, 0.3, Number.NaN, 0.1]),
  value_b: floats([0.1, 0, 0.2, 0.15]),
};
const compared = { state: { _difference: DIFFERENCE }, info: { other: OTHER } };
const click = (element: Element, init: MouseEventInit = {}) =>
  element.dispatchEvent(new MouseEvent("click", { bubbles: true, ...init }));

describe("the table", () => {
  it("has the largest change first, and says where each node is", () => {
    const { ids, row, heading } = show(diffPane, compared);
    expect(ids()).toEqual(["l/5/2", "f/1/3/2", "f/0/44/1", "t/2"]);
    expect(heading("size").getAttribute("aria-sort")).toBe("descending");
    expect(row("f/1/3/2").textContent).toContain("only here");
    expect(row("f/0/44/1").textContent).toContain("only there");
    expect(row("l/5/2").textContent).toContain("−0.500");
    expect(row("t/2").textContent).toContain("·b → ·c");
  });

  it("takes what pruning cut off for nothing, and shows that it is not known", () => {
    const { row } = show(diffPane, compared);
    const cells = [...row("f/0/44/1").cells].map(({ textContent }) => textContent);
    expect(cells).toContain("–");
    expect(cells.at(-1)).toBe("≈+0.200");
  });

  it("measures the bars of outputs among outputs, those of the others among the others", () => {
    const { row } = show(diffPane, compared);
    const size = (id: string) =>
      Number(row(id).querySelector<HTMLElement>(".wbx-bar")!.style.getPropertyValue("--wb-size"));
    expect([size("l/5/2"), size("f/1/3/2")]).toEqual([1, 1]);
    expect(size("t/2")).toBeCloseTo(0.05 / 0.3, 4);
  });

  it("selects a node that is here, and none that is not", () => {
    const { model, row } = show(diffPane, compared);
    click(row("f/1/3/2"));
    click(row("f/0/44/1"));
    click(row("t/2"), { ctrlKey: true });
    expect(model.get("selected_ids")).toEqual(["f/1/3/2", "t/2"]);
    expect(row("f/0/44/1").getAttribute("aria-disabled")).toBe("true");
    expect(row("f/0/44/1").hasAttribute("aria-selected")).toBe(false);
  });

  it("shows labels as text, and those that the user gave", () => {
    const { state, row } = show(diffPane, compared);
    expect(row("f/0/44/1").textContent).toContain("<b>new</b>");
    expect(row("f/0/44/1").querySelector("b")).toBeNull();
    state.setLabel("f/1/3/2", "mine");
    expect(row("f/1/3/2").textContent).toContain("mine");
  });

  it("leaves out what is unchecked", () => {
    const { find, ids } = show(diffPane, compared);
    expect(find("diff-count").textContent).toBe("4 of 51 nodes, those that changed most");
    const both = find<HTMLInputElement>("diff-both");
    expect(both.parentElement!.textContent).toContain("in both (30)");
    both.click();
    expect(ids()).toEqual(["f/1/3/2", "f/0/44/1"]);
    find<HTMLInputElement>("diff-a").click();
    expect(ids()).toEqual(["f/0/44/1"]);
  });
});

describe("the picture", () => {
  const dots = (element: Element) => [...element.querySelectorAll<SVGElement>("svg [data-id]")];

  it("has a shape for each row: a ring only there, a circle only here, a triangle in both", () => {
    const { find } = show(diffPane, compared);
    const shapes = dots(find("diff-picture"));
    expect(shapes.map(({ dataset }) => dataset.id)).toEqual(["l/5/2", "f/1/3/2", "f/0/44/1", "t/2"]);
    expect(shapes.map(({ tagName }) => tagName)).toEqual(["polygon", "circle", "circle", "polygon"]);
    expect(shapes[2]!.getAttribute("class")).toContain("wbx-diff-b wbx-diff-more");
    expect(shapes[0]!.getAttribute("class")).toContain("wbx-diff-less");
  });

  it("selects and points, and follows what is selected and pointed at elsewhere", () => {
    const { model, state, find } = show(diffPane, compared);
    const [output, here, there] = dots(find("diff-picture")) as [SVGElement, SVGElement, SVGElement];
    click(here);
    click(there);
    expect(model.get("selected_ids")).toEqual(["f/1/3/2"]);
    expect(here.classList.contains("wbx-diff-selected")).toBe(true);
    output.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    expect(state.hovered).toBe("l/5/2");
    state.hover("f/1/3/2");
    expect(here.classList.contains("wbx-pointed")).toBe(true);
    expect(output.classList.contains("wbx-pointed")).toBe(false);
  });

  it("puts nodes of one token and layer side by side, within their column", () => {
    const row = { kind: 0, layer: 3, positionA: 1, positionB: 1 } as Changed;
    const at = places(
      Array.from({ length: 40 }, () => row),
      10,
      12,
    );
    expect(new Set(at.map(({ x }) => x)).size).toBe(40);
    const [left, right] = [Math.min(...at.map(({ x }) => x)), Math.max(...at.map(({ x }) => x))];
    expect(right - left).toBeLessThan(598 / 10);
    expect(new Set(at.map(({ y }) => y)).size).toBe(1);
    // A token of the other prompt alone stands where it is there.
    const [alone] = places([{ ...row, positionA: -1, positionB: 9 }], 10, 12);
    expect(alone!.x).toBeGreaterThan(right);
  });
});

describe("the prompts", () => {
  it("stand above each other, with the tokens that differ marked", () => {
    const { find } = show(diffPane, compared);
    const [here, there] = [...find("diff-prompts").children];
    const marked = (line: Element) => [...line.querySelectorAll(".wbx-diff-token")].map((it) => it.textContent);
    expect(here!.textContent).toContain("<s>");
    expect(marked(here!)).toEqual(["·b"]);
    expect(marked(there!)).toEqual(["·c"]);
  });

  it("say that features of two transcoders are not compared", () => {
    const { pane } = show(diffPane, { ...compared, info: { other: { ...OTHER, same_features: false } } });
    expect(pane.element.textContent).toContain("different transcoders");
  });
});

describe("without another graph", () => {
  it("says how to give one", () => {
    const { pane, state } = show(diffPane);
    expect(pane.element.textContent).toContain("bench.explore(graph, other=");
    expect(state.difference).toBeNull();
    state.select("t/1");
    pane.dispose();
  });

  it("a widget that was saved before there were differences has none", () => {
    expect(readDifference(undefined, undefined)).toBeNull();
    expect(readDifference({}, null)).toBeNull();
  });
});
