/** Which nodes and edges are drawn at a threshold. */

import { BIAS, ERROR, type Graph } from "./data";

export interface Filter {
  /** Share of the nodes' influence to draw, from 0 to 1. */
  threshold: number;
  /** The largest share of all tokens at which a drawn feature may fire; what is not known passes. */
  density: number;
  errors: boolean;
  biases: boolean;
  /** Nodes that are drawn in any case: the selected and the pinned ones. */
  keep: Iterable<number>;
}

export interface Shown {
  /** 1 for every node that is drawn. */
  nodes: Uint8Array;
  nNodes: number;
  /** The edges between drawn nodes, the most influential first. */
  edges: Int32Array;
}

/** Return what passes a filter; the rule is Python's, see `cumulative` in graph_view.py. */
export function shown(graph: Graph, filter: Filter): Shown {
  const nodes = new Uint8Array(graph.size);
  for (let node = 0; node < graph.size; node += 1) {
    const kind = graph.kind[node];
    if ((kind === ERROR && !filter.errors) || (kind === BIAS && !filter.biases)) continue;
    if (graph.density[node]! > filter.density) continue;
    const before = graph.cumulative[node]!;
    if (before < filter.threshold || before === 0 || filter.threshold >= 1) nodes[node] = 1;
  }
  for (const node of filter.keep) nodes[node] = 1;
  const { source, target, size } = graph.edges;
  const edges = new Int32Array(size);
  let count = 0;
  for (let edge = 0; edge < size; edge += 1) {
    if (nodes[source[edge]!] && nodes[target[edge]!]) {
      edges[count] = edge;
      count += 1;
    }
  }
  return { nodes, nNodes: nodes.reduce((sum, drawn) => sum + drawn, 0), edges: edges.slice(0, count) };
}
