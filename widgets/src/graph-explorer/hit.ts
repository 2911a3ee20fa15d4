/** Which node is under the pointer. */

import type { Layout } from "./layout";

const CELL = 24;

export class Hits {
  readonly #layout: Layout;
  readonly #cells = new Map<number, number[]>();

  constructor(layout: Layout) {
    this.#layout = layout;
    layout.shown.forEach((drawn, node) => {
      if (drawn && !layout.boxes.has(node)) this.#cell(layout.x[node]!, layout.y[node]!, true)!.push(node);
    });
  }

  /** Return the node nearest to a point or −1 when none is within the distance (≤ 24). */
  nearest(x: number, y: number, distance = 12): number {
    for (const [node, box] of this.#layout.boxes) {
      if (Math.abs(x - box.x) <= box.width / 2 + 1 && Math.abs(y - box.y) <= box.height / 2 + 1) return node;
    }
    let best = -1;
    let least = distance;
    for (let dx = -1; dx <= 1; dx += 1) {
      for (let dy = -1; dy <= 1; dy += 1) {
        for (const node of this.#cell(x + dx * CELL, y + dy * CELL) ?? []) {
          const away = Math.hypot(this.#layout.x[node]! - x, this.#layout.y[node]! - y);
          if (away < least) {
            best = node;
            least = away;
          }
        }
      }
    }
    return best;
  }

  /** Return the nodes whose centres lie inside a rectangle, in reading order of the graph's table. */
  within(x0: number, y0: number, x1: number, y1: number): number[] {
    const found: number[] = [];
    const [left, right, top, bottom] = [Math.min(x0, x1), Math.max(x0, x1), Math.min(y0, y1), Math.max(y0, y1)];
    this.#layout.shown.forEach((drawn, node) => {
      const x = this.#layout.x[node]!;
      const y = this.#layout.y[node]!;
      if (drawn && x >= left && x <= right && y >= top && y <= bottom) found.push(node);
    });
    return found;
  }

  #cell(x: number, y: number, make = false): number[] | undefined {
    const key = Math.floor(x / CELL) * 4096 + Math.floor(y / CELL);
    let cell = this.#cells.get(key);
    if (!cell && make) {
      cell = [];
      this.#cells.set(key, cell);
    }
    return cell;
  }
}
