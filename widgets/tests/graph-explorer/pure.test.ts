import { describe, expect, it } from "vitest";
import { edgesOf } from "../../src/graph-explorer/data";
import { levels, strength } from "../../src/graph-explorer/draw";
import { localEnd, mostInfluential } from "../../src/graph-explorer/ends";
import { heldFocus, hoverFocus } from "../../src/graph-explorer/focus";
import { placeLabels } from "../../src/graph-explorer/labels";
import { shown } from "../../src/graph-explorer/prune";
import type { LinkMode } from "../../src/graph-explorer/traits";
import { EDGES, NODES, node, small } from "./graphs";

const graph = small();
const all = new Uint8Array(graph.size).fill(1);
const at = (id: string) => node(graph, id);
const ids = (mask: Uint8Array) => graph.ids.filter((_, number) => mask[number]);
const pairs = (edges: Iterable<number>) =>
  [...edges].map((edge) => `${graph.ids[graph.edges.source[edge]!]} > ${graph.ids[graph.edges.target[edge]!]}`);

describe("the tables", () => {
  it("give every node its edges, the most influential first", () => {
    expect(pairs(edgesOf(graph.incoming, at("f/1/3/2")))).toEqual([
      "f/0/7/1 > f/1/3/2",
      "f/0/8/1 > f/1/3/2",
      "t/2 > f/1/3/2",
    ]);
    expect(pairs(edgesOf(graph.outgoing, at("f/0/7/1")))).toEqual(["f/0/7/1 > f/1/3/2", "f/0/7/1 > l/6/2"]);
    expect([...edgesOf(graph.incoming, at("t/0"))]).toEqual([]);
  });

  it("may be without features, edges and biases", () => {
    const bare = small([NODES[4]!, NODES[8]!], []);
    expect(bare.size).toBe(2);
    expect([...edgesOf(bare.outgoing, 0)]).toEqual([]);
  });
});

describe("the threshold", () => {
  const filter = { threshold: 0.8, density: 1, errors: true, biases: true, keep: [] as number[] };

  it("draws nodes whose predecessors do not carry the share yet, tokens and logits always", () => {
    expect(ids(shown(graph, { ...filter, threshold: 0.5 }).nodes)).toEqual([
      "f/0/7/1",
      "f/1/3/2",
      "t/0",
      "t/1",
      "t/2",
      "l/5/2",
      "l/6/2",
    ]);
  });

  it("draws the most influential node at nothing and everything at one", () => {
    expect(ids(shown(graph, { ...filter, threshold: 0 }).nodes)).toContain("f/0/7/1");
    expect(shown(graph, { ...filter, threshold: 1 }).nNodes).toBe(graph.size);
  });

  it("draws edges between drawn nodes only, in their order", () => {
    const { nodes, edges, nNodes } = shown(graph, { ...filter, threshold: 0.5 });
    expect(nNodes).toBe(ids(nodes).length);
    expect(pairs(edges)).toEqual([
      "f/1/3/2 > l/5/2",
      "f/0/7/1 > f/1/3/2",
      "t/1 > f/0/7/1",
      "t/2 > f/1/3/2",
      "f/0/7/1 > l/6/2",
    ]);
  });

  it("leaves out features that fire too often, and keeps those of which that is not known", () => {
    const dense = small(NODES.map((node) => (node.id === "f/0/7/1" ? { ...node, density: 0.25 } : node)));
    expect(shown(dense, { ...filter, density: 0.1 }).nodes[at("f/0/7/1")]).toBe(0);
    expect(shown(dense, { ...filter, density: 0.1 }).nodes[at("f/1/3/2")]).toBe(1);
    expect(shown(dense, { ...filter, density: 0.25 }).nodes[at("f/0/7/1")]).toBe(1);
    expect(shown(dense, { ...filter, density: 0, keep: [at("f/0/7/1")] }).nodes[at("f/0/7/1")]).toBe(1);
  });

  it("leaves errors and biases out when they are switched off, but never a chosen node", () => {
    const { nodes } = shown(graph, { threshold: 1, density: 1, errors: false, biases: false, keep: [at("e/0/2")] });
    expect(ids(nodes)).toContain("e/0/2");
    expect(ids(nodes)).not.toContain("b/0/b_dec/1");
  });
});

describe("the lists", () => {
  it("are sorted by signed share, the negative ones at the end, with the sums of all", () => {
    const end = localEnd(graph, at("f/1/3/2"), "incoming");
    expect(end.ids).toEqual(["f/0/7/1", "t/2", "f/0/8/1"]);
    expect(end.total).toBe(3);
    expect(end.positive).toBeCloseTo(0.7);
    expect(end.negative).toBeCloseTo(-0.3);
  });

  it("hold the strongest 200 edges, and count the others", () => {
    const many = Array.from({ length: 300 }, (_, number) => ({ id: `f/0/${number}/1`, kind: "feature" as const }));
    const logit = { id: "l/1/1", kind: "logit" as const, layer: 2 };
    const edges = many.map(({ id }, number) => [id, "l/1/1", (number - 150) / 300] as [string, string, number]);
    const big = small([...many, logit], edges);
    const end = localEnd(big, node(big, "l/1/1"), "incoming");
    expect(end.total).toBe(300);
    expect(end.ids).toHaveLength(200);
    expect(Math.min(...end.share.map(Math.abs))).toBeGreaterThan(0.15);
    expect(end.share).toEqual([...end.share].sort((a, b) => b - a));
  });

  it("begin with the most influential nodes that are drawn", () => {
    const { nodes } = shown(graph, { threshold: 0.5, density: 1, errors: true, biases: true, keep: [] });
    expect(mostInfluential(graph, nodes, 3).map((number) => graph.ids[number])).toEqual(["t/1", "t/0", "f/0/7/1"]);
  });
});

describe("what stands out", () => {
  it("is all edges of a selected node", () => {
    const focus = heldFocus(graph, all, [at("f/1/3/2")], []);
    expect(pairs(focus.strong).sort()).toEqual(
      EDGES.filter(([source, target]) => source === "f/1/3/2" || target === "f/1/3/2")
        .map(([source, target]) => `${source} > ${target}`)
        .sort(),
    );
    expect(focus.lit).toContain(at("t/2"));
  });

  it("is what joins pinned nodes to each other; their other edges only weakly, and not beside a selection", () => {
    const pinned = [at("f/0/7/1"), at("f/1/3/2")];
    const focus = heldFocus(graph, all, [], pinned);
    expect(pairs(focus.strong)).toEqual(["f/0/7/1 > f/1/3/2"]);
    expect(pairs(focus.weak)).toContain("t/1 > f/0/7/1");
    expect(heldFocus(graph, all, [at("t/0")], pinned).weak).toEqual([]);
  });

  it("is one direction of the edges, or those between the chosen nodes", () => {
    const edges = (links: LinkMode, chosen: string[]) => pairs(heldFocus(graph, all, chosen.map(at), [], links).strong);
    expect(edges("in", ["f/0/7/1"])).toEqual(["t/1 > f/0/7/1"]);
    expect(edges("out", ["f/0/7/1"])).toEqual(["f/0/7/1 > f/1/3/2", "f/0/7/1 > l/6/2"]);
    expect(edges("both", ["f/0/7/1", "f/1/3/2"])).toEqual(["f/0/7/1 > f/1/3/2"]);
    expect(edges("both", ["f/0/7/1"])).toEqual([]);
    // Of the node under the pointer alone, all edges are of interest.
    expect(hoverFocus(graph, all, at("f/0/7/1"), "both").strong).toHaveLength(3);
    expect(hoverFocus(graph, all, at("f/0/7/1"), "in").strong).toHaveLength(1);
  });

  it("is one node and its edges to drawn nodes under the pointer", () => {
    const some = all.slice();
    some[at("l/6/2")] = 0;
    const focus = hoverFocus(graph, some, at("f/0/7/1"));
    expect(pairs(focus.strong)).toEqual(["t/1 > f/0/7/1", "f/0/7/1 > f/1/3/2"]);
    expect(focus.lit).toContain(at("f/0/7/1"));
  });
});

describe("edges", () => {
  it("are grouped by sign and strength", () => {
    const { positive, negative } = levels(graph.edges.share, graph.edges.share.keys());
    expect(positive.flat()).toHaveLength(5);
    expect(negative.flat()).toHaveLength(3);
    expect(positive.findIndex((group) => group.includes(2))).toBeGreaterThan(
      positive.findIndex((group) => group.includes(5)),
    );
  });

  it("are at most as strong as the strongest: shares of biases may be larger than one", () => {
    expect(strength(8.3)).toBe(1);
    expect(strength(-0.25)).toBe(0.5);
  });
});

describe("names of pinned nodes", () => {
  const bounds = { left: 0, top: 0, right: 300, bottom: 200 };
  const anchors = Array.from({ length: 9 }, (_, number) => ({
    x: 150 + (number % 3) * 6,
    y: 100 + Math.floor(number / 3) * 6,
    radius: 4,
    width: 60,
    height: 18,
  }));

  it("never overlap each other nor leave the picture", () => {
    const places = placeLabels(anchors, bounds).filter((place) => place !== null);
    expect(places.length).toBeGreaterThan(5);
    places.forEach((a, first) => {
      expect(a.left).toBeGreaterThanOrEqual(bounds.left);
      expect(a.left + a.width).toBeLessThanOrEqual(bounds.right);
      for (const b of places.slice(first + 1)) {
        const apart =
          a.left + a.width <= b.left ||
          b.left + b.width <= a.left ||
          a.top + a.height <= b.top ||
          b.top + b.height <= a.top;
        expect(apart).toBe(true);
      }
    });
  });

  it("are left out where there is no room", () => {
    expect(placeLabels(anchors.slice(0, 1), { left: 140, top: 90, right: 170, bottom: 110 })).toEqual([null]);
  });
});
