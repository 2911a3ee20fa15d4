/** A node's edges as lists: what came with the widget, or Python's whole answer. */

import { BIAS, edgesOf, factsOf, type Graph } from "./data";
import type { End } from "./state";

/** Return the edges into or out of a drawn node that came with the widget, sorted by signed share. */
export function localEnd(graph: Graph, node: number, direction: "incoming" | "outgoing"): End {
  const { source, target, share, weight } = graph.edges;
  const other = direction === "incoming" ? source : target;
  const edges = [...edgesOf(graph[direction], node)].sort((a, b) => share[b]! - share[a]!);
  const shares = edges.map((edge) => share[edge]!);
  return {
    ids: edges.map((edge) => graph.ids[other[edge]!]!),
    weight: edges.map((edge) => weight[edge]!),
    share: shares,
    total: edges.length,
    positive: shares.filter((value) => value > 0).reduce((sum, value) => sum + value, 0),
    negative: shares.filter((value) => value < 0).reduce((sum, value) => sum + value, 0),
  };
}

/** Return the drawn nodes of most influence: where to begin. */
export function mostInfluential(graph: Graph, shown: Uint8Array, limit: number): number[] {
  return [...graph.kind.keys()]
    .filter((node) => shown[node] && factsOf(graph, node).probability === null && graph.kind[node] !== BIAS)
    .sort((a, b) => graph.influence[b]! - graph.influence[a]!)
    .slice(0, limit);
}
