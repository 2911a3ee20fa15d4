import { describe, expect, it } from "vitest";
import { layOut } from "../../src/graph-explorer/layout";
import {
  boxTexts,
  edgesPass,
  fading,
  heldPass,
  hoverPass,
  namesPass,
  nodesPass,
} from "../../src/graph-explorer/passes";
import { makeState } from "../../src/graph-explorer/state";
import { SvgContext } from "../../src/graph-explorer/svg-context";
import { COLOURS, type Colours } from "../../src/kit/theme";
import { EDGES, FakeModel, NODES, node, small, wire } from "./graphs";

const colours = { ...Object.fromEntries(COLOURS.map((name) => [name, name])), dark: false } as Colours;
const measure = { font: "", fillStyle: "", measureText: (text: string) => ({ width: 7 * text.length }) };

/** A scene of the small graph with some nodes pinned, and what a pass draws of it. */
function scene(traits: Record<string, unknown> = {}) {
  const state = makeState(new FakeModel({ ...wire(NODES, EDGES), node_threshold: 1, ...traits }) as never, () => true);
  const { graph } = state;
  const drawn = new Uint8Array(graph.size).fill(1);
  const layout = layOut(graph, drawn, { tokens: [20, 20, 20], logits: new Map() }, { width: 600, height: 400 });
  const of = {
    graph,
    state,
    layout,
    look: { colours, small: "11px sans", token: "11px mono" },
    shown: { nodes: drawn, edges: Int32Array.from(graph.edges.share.keys()), nNodes: graph.size },
    tokens: graph.info.tokens,
    boxes: boxTexts(graph),
    view: { left: 0, top: 0, width: 600, height: 400 },
    zoomed: false,
    held: { strong: [], weak: [], lit: new Set<number>() },
    marked: [] as number[],
  };
  const dashes: number[][] = [];
  const frames: number[][] = [];
  const draw = (pass: (context: CanvasRenderingContext2D) => void) => {
    // What the pointer alone brings about is in no picture, whose context therefore has no dashes and no frames.
    const context = Object.assign(new SvgContext(measure as unknown as CanvasRenderingContext2D), {
      setLineDash: (dash: number[]) => dashes.push(dash),
      strokeRect: (...corners: number[]) => frames.push(corners),
    });
    pass(context as unknown as CanvasRenderingContext2D);
    return [...context.element.children];
  };
  return { graph, of, draw, dashes, frames };
}

const strokes = (parts: Element[], colour: string) => parts.filter((part) => part.getAttribute("stroke") === colour);
const words = (parts: Element[]) => parts.map((part) => part.textContent).join(" ");

describe("the passes of the stage", () => {
  it("write the share of an output into its box, where it has one", () => {
    const graph = small([
      { id: "l/1/2", kind: "logit", token: " Paris", probability: 0.25 },
      { id: "l/2/2", kind: "logit", token: " Paris − Rome" },
    ]);
    expect([...boxTexts(graph).values()]).toEqual(["·Paris  25 %", "·Paris − Rome"]);
  });

  it("draw many edges fainter, few of them in full", () => {
    expect(fading(0, 6000, 0.5)).toBe(1);
    expect(fading(6000, 6000, 0.5)).toBe(1);
    expect(fading(24_000, 6000, 0.5)).toBe(0.5);
    expect(fading(1e9, 120, 0.4, 0.3)).toBe(0.3);
  });

  it("draw the edges of both signs in their colours, and nodes of every kind that is drawn", () => {
    const { of, draw } = scene();
    const edges = draw((context) => edgesPass(context, of, of.shown.edges));
    expect(strokes(edges, "positive").length).toBeGreaterThan(0);
    expect(strokes(edges, "negative").length).toBeGreaterThan(0);
    const fills = draw((context) => nodesPass(context, of)).map((part) => part.getAttribute("fill"));
    expect(fills).toEqual(expect.arrayContaining(["feature", "token", "error"]));
  });

  it("ring what is selected and what is pinned, each in its colour, over the axes", () => {
    const { of, draw } = scene({ selected_ids: ["f/0/7/1"], pinned_ids: ["f/1/3/2", "f/0/8/1"] });
    const parts = draw((context) => heldPass(context, of));
    expect(strokes(parts, "accent")).toHaveLength(1);
    expect(strokes(parts, "text")).toHaveLength(2);
    expect(words(parts)).toContain("<s>");
  });

  it("name the pinned nodes, and mark what was found where it is drawn", () => {
    const { of, graph, draw } = scene({ pinned_ids: ["f/0/7/1"], labels: { "f/0/7/1": "capitals" } });
    expect(words(draw((context) => namesPass(context, of)))).toContain("capitals");
    const marked = [node(graph, "f/0/8/1")];
    expect(
      strokes(
        draw((context) => namesPass(context, { ...of, marked })),
        "found",
      ),
    ).toHaveLength(1);
    of.shown.nodes[marked[0]!] = 0;
    expect(
      strokes(
        draw((context) => namesPass(context, { ...of, marked })),
        "found",
      ),
    ).toHaveLength(0);
  });

  it("draw what the pointer is at, and the rectangle from wherever it was begun", () => {
    const { of, graph, draw, dashes, frames } = scene();
    expect(draw((context) => hoverPass(context, of, -1, null))).toHaveLength(0);
    const parts = draw((context) => hoverPass(context, of, node(graph, "f/0/7/1"), null));
    expect(strokes(parts, "accent")).toHaveLength(1);
    expect(strokes(parts, "positive").length + strokes(parts, "negative").length).toBeGreaterThan(0);
    expect(dashes).toEqual([[]]);
    of.shown.nodes[node(graph, "f/0/7/1")] = 0;
    draw((context) => hoverPass(context, of, node(graph, "f/0/7/1"), null));
    expect(dashes).toEqual([[], [3, 2], []]);
    const [ground] = draw((context) =>
      hoverPass(context, of, -1, [
        { x: 1, y: 2 },
        { x: 31, y: 42 },
      ]),
    );
    expect([ground!.getAttribute("width"), ground!.getAttribute("height")]).toEqual(["30", "40"]);
    expect(frames).toEqual([[1, 2, 30, 40]]);
  });
});
