import { describe, expect, it } from "vitest";
import type { Graph } from "../../src/graph-explorer/data";
import { Hits } from "../../src/graph-explorer/hit";
import { grid, layOut } from "../../src/graph-explorer/layout";
import { along, beside, start } from "../../src/graph-explorer/walk";
import { NODES, type Node, node, small } from "./graphs";

const graph = small();
const all = (of: Graph) => new Uint8Array(of.size).fill(1);
const texts = (of: Graph, width = 20) => ({
  tokens: of.info.tokens.map(() => width),
  logits: new Map([...of.kind.keys()].filter((n) => of.kind[n] === 4).map((n) => [n, 50])),
});
const layout = layOut(graph, all(graph), texts(graph), { width: 600, height: 400 });
const at = (id: string) => ({ x: layout.x[node(graph, id)]!, y: layout.y[node(graph, id)]! });

/** A graph with very many features in one cell. */
function crowd(count: number, tokens: string[]): Graph {
  const features: Node[] = Array.from({ length: count }, (_, number) => ({
    id: `f/0/${number}/1`,
    kind: "feature",
    layer: 0,
    position: 1,
  }));
  return small([...features, ...NODES.slice(4, 7)], [], { tokens });
}

describe("the layout", () => {
  it("puts positions from left to right and layers from bottom to top", () => {
    expect(at("t/0").x).toBeLessThan(at("t/1").x);
    expect(at("t/1").x).toBeLessThan(at("t/2").x);
    expect(at("t/1").y).toBeGreaterThan(at("f/0/7/1").y);
    expect(at("e/0/2").y).toBeGreaterThan(at("f/1/3/2").y);
    expect(at("f/1/3/2").y).toBeGreaterThan(at("l/5/2").y);
  });

  it("keeps everything inside the view", () => {
    expect(layout.width).toBe(600);
    for (let number = 0; number < graph.size; number += 1) {
      expect(layout.x[number]).toBeGreaterThan(0);
      expect(layout.x[number]).toBeLessThan(600);
      expect(layout.y[number]).toBeGreaterThan(0);
      expect(layout.y[number]).toBeLessThan(layout.textTop);
    }
    expect(layout.textTop).toBeLessThan(400);
  });

  it("keeps nodes of a crowded cell apart and within their column", () => {
    const crowded = crowd(60, ["<s>", "a", "b"]);
    const { x, y, columns, radius } = layOut(crowded, all(crowded), texts(crowded), { width: 600, height: 400 });
    const column = columns[1]!;
    expect(column.width).toBeGreaterThan(columns[0]!.width);
    for (let a = 0; a < 60; a += 1) {
      expect(x[a]).toBeGreaterThan(column.left);
      expect(x[a]).toBeLessThan(column.left + column.width);
      for (let b = 0; b < a; b += 1) {
        expect(Math.hypot(x[a]! - x[b]!, y[a]! - y[b]!)).toBeGreaterThan(radius[a]! * 0.99 + radius[b]! * 0.99);
      }
    }
  });

  it("is wider than the view when the prompt is long", () => {
    const long = crowd(
      4,
      Array.from({ length: 100 }, (_, number) => `w${number}`),
    );
    const wide = layOut(long, all(long), texts(long), { width: 600, height: 400 });
    expect(wide.width).toBeGreaterThan(100 * 20);
    expect(wide.columns).toHaveLength(100);
  });

  it("writes the tokens at an angle only where columns are too narrow for them", () => {
    expect(layout.slanted).toBe(false);
    const twenty = crowd(
      4,
      Array.from({ length: 20 }, (_, number) => `w${number}`),
    );
    expect(layOut(twenty, all(twenty), texts(twenty, 60), { width: 600, height: 400 }).slanted).toBe(true);
  });

  it("gives logits boxes that do not overlap, with text while there is room", () => {
    const [first, second] = ["l/5/2", "l/6/2"].map((id) => layout.boxes.get(node(graph, id))!);
    expect(first!.text && second!.text).toBe(true);
    expect(first!.x + first!.width / 2).toBeLessThan(second!.x - second!.width / 2);
    const narrow = layOut(graph, all(graph), texts(graph), { width: 160, height: 400 });
    expect(narrow.boxes.get(node(graph, "l/5/2"))!.text).toBe(true);
    expect(narrow.boxes.get(node(graph, "l/6/2"))!.text).toBe(false);
  });

  it("works for one token, one layer and no features", () => {
    const bare = small([NODES[4]!], [], { tokens: ["<s>"], n_layers: 1 });
    const only = layOut(bare, all(bare), texts(bare), { width: 500, height: 300 });
    expect(only.x[0]).toBeCloseTo(only.columns[0]!.centre);
    expect(only.rows.map(({ label }) => label)).toEqual(["logits", "0", "emb"]);
  });

  it("spreads a few nodes on one line and many on several", () => {
    expect(grid(3, 100, 12)).toEqual({ across: 3, pitch: 15 });
    const many = grid(40, 60, 30);
    expect(Math.ceil(40 / many.across) * many.pitch).toBeLessThanOrEqual(30.01);
    expect(many.across * many.pitch).toBeLessThanOrEqual(60.01);
  });
});

describe("the pointer", () => {
  const hits = new Hits(layout);

  it("finds the nearest node within some distance", () => {
    const { x, y } = at("f/1/3/2");
    expect(hits.nearest(x + 5, y - 5)).toBe(node(graph, "f/1/3/2"));
    expect(hits.nearest(x + 5, y - 5, 3)).toBe(-1);
    expect(hits.nearest(300, 395)).toBe(-1);
  });

  it("finds a logit anywhere in its box", () => {
    const box = layout.boxes.get(node(graph, "l/5/2"))!;
    expect(hits.nearest(box.x + box.width / 2 - 1, box.y + 8)).toBe(node(graph, "l/5/2"));
  });

  it("does not find nodes that are not drawn", () => {
    const hidden = all(graph);
    hidden[node(graph, "f/1/3/2")] = 0;
    const without = new Hits(layOut(graph, hidden, texts(graph), { width: 600, height: 400 }));
    const { x, y } = at("f/1/3/2");
    expect(without.nearest(x, y)).not.toBe(node(graph, "f/1/3/2"));
  });

  it("finds all nodes in a rectangle, however it was drawn", () => {
    const { x, y } = at("f/0/7/1");
    const found = hits.within(x + 40, y + 12, x - 40, y - 12).map((number) => graph.ids[number]);
    expect(found).toEqual(expect.arrayContaining(["f/0/7/1", "f/0/8/1"]));
    expect(found).not.toContain("f/1/3/2");
  });
});

describe("the arrow keys", () => {
  it("walk up and down along the strongest edge, whatever its sign", () => {
    const up = (id: string) => graph.ids[along(graph, all(graph), node(graph, id), "up")];
    const down = (id: string) => graph.ids[along(graph, all(graph), node(graph, id), "down")];
    expect(up("t/1")).toBe("f/0/7/1");
    expect(up("f/0/7/1")).toBe("f/1/3/2");
    expect(down("l/5/2")).toBe("f/1/3/2");
    expect(up("l/5/2")).toBeUndefined();
  });

  it("walk to the neighbours in the row", () => {
    const right = (id: string) => graph.ids[beside(graph, layout, node(graph, id), 1)];
    expect(right("t/0")).toBe("t/1");
    expect(right("t/2")).toBeUndefined();
    expect(right("l/5/2")).toBe("l/6/2");
    const row: (string | undefined)[] = ["f/0/7/1"];
    while (row.at(-1)) row.push(right(row.at(-1)!));
    expect(row).toContain("e/0/2");
    expect(row).not.toContain("t/1");
  });

  it("begin at the most probable logit", () => {
    expect(graph.ids[start(graph, all(graph))]).toBe("l/5/2");
  });
});
