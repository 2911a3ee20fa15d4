/** Walking through the graph with the arrow keys. */

import { edgesOf, type Graph, LOGIT, TOKEN } from "./data";
import type { Layout } from "./layout";

/** Return the drawn node at the other end of a node's strongest edge upwards or downwards, or −1. */
export function along(graph: Graph, shown: Uint8Array, node: number, direction: "up" | "down"): number {
  const edges = direction === "up" ? edgesOf(graph.outgoing, node) : edgesOf(graph.incoming, node);
  const ends = direction === "up" ? graph.edges.target : graph.edges.source;
  let best = -1;
  let strongest = 0;
  for (const edge of edges) {
    const strength = Math.abs(graph.edges.share[edge]!);
    if (shown[ends[edge]!] && strength > strongest) {
      best = ends[edge]!;
      strongest = strength;
    }
  }
  return best;
}

/** Return the next drawn node to the left or right in the same row, or −1 at its end. */
export function beside(graph: Graph, layout: Layout, node: number, step: -1 | 1): number {
  const sameRow = (other: number) =>
    layout.shown[other] &&
    graph.layer[other] === graph.layer[node] &&
    isToken(graph, other) === isToken(graph, node) &&
    layout.boxes.has(other) === layout.boxes.has(node);
  const row = [...graph.kind.keys()]
    .filter((other) => sameRow(other) || other === node)
    .sort((a, b) => layout.x[a]! - layout.x[b]! || layout.y[b]! - layout.y[a]! || a - b);
  return row[row.indexOf(node) + step] ?? -1;
}

const isToken = (graph: Graph, node: number) => graph.kind[node] === TOKEN;

/** Return where a walk begins: at the most probable logit, else at the most influential drawn node, else −1. */
export function start(graph: Graph, shown: Uint8Array): number {
  let best = -1;
  let most = -1;
  for (let node = 0; node < graph.size; node += 1) {
    if (!shown[node]) continue;
    const worth = graph.kind[node] === LOGIT ? 1e6 * (1 + (graph.probability[node]! || 1)) : graph.influence[node]!;
    if (worth > most) {
      best = node;
      most = worth;
    }
  }
  return best;
}
