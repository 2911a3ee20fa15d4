/** What stands out: the edges and nodes around those that the user points at, selected or pinned. */

import { edgesOf, type Graph } from "./data";
import type { LinkMode } from "./traits";

export interface Focus {
  /** Edges to draw strongly, and edges to draw weakly. */
  strong: number[];
  weak: number[];
  /** The nodes at the ends of the strong edges. */
  lit: Set<number>;
}

/** Return the edges of a node whose other end is drawn: all of them, or those of one direction. */
function around(graph: Graph, shown: Uint8Array, node: number, links: LinkMode): number[] {
  const { source, target } = graph.edges;
  const into = links === "out" ? [] : [...edgesOf(graph.incoming, node)].filter((edge) => shown[source[edge]!]);
  const out = links === "in" ? [] : [...edgesOf(graph.outgoing, node)].filter((edge) => shown[target[edge]!]);
  return [...into, ...out];
}

function ends(graph: Graph, edges: Iterable<number>): Set<number> {
  const lit = new Set<number>();
  for (const edge of edges) lit.add(graph.edges.source[edge]!).add(graph.edges.target[edge]!);
  return lit;
}

/**
 * Return what stands out while the pointer is elsewhere: all edges of the selected nodes, and of the pinned nodes
 * those that join them to each other or to the selection; their other edges only weakly, and when nothing is selected.
 * The link mode leaves one direction of them, or those alone that join two of these nodes.
 */
export function heldFocus(
  graph: Graph,
  shown: Uint8Array,
  selected: Iterable<number>,
  pinned: Iterable<number>,
  links: LinkMode = "either",
): Focus {
  const chosen = new Set(selected);
  const held = new Set([...chosen, ...pinned]);
  const strong = new Set<number>();
  const weak = new Set<number>();
  for (const node of held) {
    for (const edge of around(graph, shown, node, links)) {
      const other = graph.edges.source[edge] === node ? graph.edges.target[edge]! : graph.edges.source[edge]!;
      if (links === "both") {
        if (held.has(other)) strong.add(edge);
      } else if (chosen.has(node) || held.has(other)) strong.add(edge);
      else if (chosen.size === 0) weak.add(edge);
    }
  }
  return { strong: [...strong], weak: [...weak], lit: ends(graph, strong) };
}

/** Return what stands out under the pointer: one node and all its edges. */
export function hoverFocus(graph: Graph, shown: Uint8Array, node: number, links: LinkMode = "either"): Focus {
  // Of a single node no edge lies between: under the pointer all of its edges are of interest.
  const strong = around(graph, shown, node, links === "both" ? "either" : links);
  return { strong, weak: [], lit: ends(graph, strong).add(node) };
}
