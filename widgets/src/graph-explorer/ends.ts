/** A node's edges as lists: what came with the widget, or Python's whole answer. */

import type { End } from "./answers";
import { BIAS, edgesOf, type Graph, LOGIT } from "./data";

/** As many rows as anyone reads; Python sends as many. */
const ROWS = 200;

/** Return the strongest edges into or out of a drawn node that came with the widget, sorted by signed share. */
export function localEnd(graph: Graph, node: number, direction: "incoming" | "outgoing"): End {
  const { source, target, share, weight } = graph.edges;
  const other = direction === "incoming" ? source : target;
  const all = [...edgesOf(graph[direction], node)];
  const edges = all
    .sort((a, b) => Math.abs(share[b]!) - Math.abs(share[a]!))
    .slice(0, ROWS)
    .sort((a, b) => share[b]! - share[a]!);
  const sum = (sign: number) => all.reduce((total, edge) => total + Math.max(sign * share[edge]!, 0), 0) * sign;
  return {
    ids: edges.map((edge) => graph.ids[other[edge]!]!),
    weight: edges.map((edge) => weight[edge]!),
    share: edges.map((edge) => share[edge]!),
    total: all.length,
    positive: sum(1),
    negative: sum(-1),
  };
}

/** Return the drawn nodes of most influence: where to begin. */
export function mostInfluential(graph: Graph, shown: Uint8Array, limit: number): number[] {
  return [...graph.kind.keys()]
    .filter((node) => shown[node] && graph.kind[node] !== LOGIT && graph.kind[node] !== BIAS)
    .sort((a, b) => graph.influence[b]! - graph.influence[a]!)
    .slice(0, limit);
}
