import { describe, expect, it } from "vitest";
import { layOut, tokenBand } from "../../src/graph-explorer/layout";
import { CLOSEST, clampZoom, locate, placeOf } from "../../src/graph-explorer/zoom";
import { node, small } from "./graphs";

const graph = small();
const texts = { tokens: graph.info.tokens.map(() => 20), logits: new Map() };
const at = (zoom: number) =>
  layOut(graph, new Uint8Array(graph.size).fill(1), texts, { width: 600, height: 400, zoom });
const [whole, near] = [at(1), at(4)];
const place = (layout: typeof whole, id: string) => ({ x: layout.x[node(graph, id)]!, y: layout.y[node(graph, id)]! });

describe("zoom", () => {
  it("spreads the graph out, and leaves the axes as they are", () => {
    expect([near.width, near.height]).toEqual([2400, 1600]);
    expect(near.rows[1]!.height).toBeGreaterThan(3 * whole.rows[1]!.height);
    expect(near.columns[0]!.left).toBe(whole.columns[0]!.left);
    expect(tokenBand(near)).toBeCloseTo(tokenBand(whole));
  });

  it("lets features grow, but less than the room between them", () => {
    const feature = node(graph, "f/0/7/1");
    expect(near.radius[feature]! / whole.radius[feature]!).toBeCloseTo(2);
  });

  it("finds the same spot of the graph at every zoom", () => {
    for (const id of ["t/1", "t/2"]) {
      const before = place(whole, id);
      const spot = locate(whole, before.x, before.y);
      const after = placeOf(near, spot);
      expect(after.x).toBeCloseTo(place(near, id).x, 3);
      expect(after.y).toBeCloseTo(place(near, id).y, 3);
      expect(locate(near, after.x, after.y).row).toBeCloseTo(spot.row);
    }
  });

  it("takes a place outside of the graph for its edge", () => {
    expect(locate(whole, -50, -50)).toEqual({ column: 0, row: 0 });
    const beyond = locate(whole, 9999, 9999);
    expect(beyond).toEqual({ column: whole.columns.length, row: whole.rows.length });
    const last = whole.columns.at(-1)!;
    expect(placeOf(whole, beyond).x).toBeCloseTo(last.left + last.width);
  });

  it("has limits, and ends where it began", () => {
    expect([clampZoom(0), clampZoom(1.01), clampZoom(2), clampZoom(99)]).toEqual([1, 1, 2, CLOSEST]);
  });
});
