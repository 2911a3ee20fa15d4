/** The graph as the widget works with it: typed columns, and the edges of each node at hand. */

import { numberColumn, textColumn, type WireColumns } from "../kit/binary";

export const KINDS = ["feature", "error", "token", "bias", "logit"] as const;
export type Kind = (typeof KINDS)[number];
export const FEATURE = 0;
export const ERROR = 1;
export const TOKEN = 2;
export const BIAS = 3;
export const LOGIT = 4;

/** What is said of the whole of another graph that this one is compared with. */
export interface Other {
  prompt: string;
  tokens: string[];
  /** How many nodes count for something in both graphs, in this one alone, and in the other one alone. */
  counts: { both: number; a: number; b: number };
  /** Whether the same numbers mean the same features. */
  same_features: boolean;
}

/** What the widget says of the whole graph, of which only a part travels with it. */
export interface Info {
  prompt: string;
  tokens: string[];
  model: string;
  n_layers: number;
  n_nodes: number;
  n_edges: number;
  replacement: number | null;
  completeness: number | null;
  other?: Other | null;
}

/** The edges of node n are `edge[start[n]]` … `edge[start[n + 1] - 1]`, the most influential first. */
export interface Adjacency {
  start: Int32Array;
  edge: Int32Array;
}

export interface Graph {
  info: Info;
  size: number;
  ids: string[];
  index: Map<string, number>;
  kind: Uint8Array;
  layer: Int32Array;
  position: Int32Array;
  feature: Int32Array;
  activation: Float32Array;
  influence: Float32Array;
  cumulative: Float32Array;
  probability: Float32Array;
  /** Share of all tokens at which a feature fires; NaN where it is not known. */
  density: Float32Array;
  label: string[];
  token: string[];
  edges: { size: number; source: Int32Array; target: Int32Array; weight: Float32Array; share: Float32Array };
  incoming: Adjacency;
  outgoing: Adjacency;
}

/** A node's row, whether the node is drawn or not. */
export interface Facts {
  id: string;
  kind: number;
  layer: number;
  position: number;
  feature: number;
  token: string;
  label: string;
  activation: number | null;
  influence: number | null;
  probability: number | null;
}

/** Return, for every node, which edges have it at the given end. */
export function adjacency(size: number, ends: Int32Array): Adjacency {
  const start = new Int32Array(size + 1);
  for (const end of ends) start[end + 1]! += 1;
  for (let node = 0; node < size; node += 1) start[node + 1]! += start[node]!;
  const edge = new Int32Array(ends.length);
  const next = start.slice();
  ends.forEach((end, number) => {
    edge[next[end]!] = number;
    next[end]! += 1;
  });
  return { start, edge };
}

/** Return the edges of a node as a view of the adjacency's own array. */
export function edgesOf(adjacent: Adjacency, node: number): Int32Array {
  return adjacent.edge.subarray(adjacent.start[node], adjacent.start[node + 1]);
}

/** Read the tables that Python sent. */
export function readGraph(nodes: WireColumns, edges: WireColumns, info: Info): Graph {
  const ids = textColumn(nodes, "node_id");
  const ints = (columns: WireColumns, name: string) => numberColumn(columns, name) as Int32Array;
  const floats = (columns: WireColumns, name: string) => numberColumn(columns, name) as Float32Array;
  const source = ints(edges, "source");
  const target = ints(edges, "target");
  return {
    info,
    size: ids.length,
    ids,
    index: new Map(ids.map((id, node) => [id, node])),
    kind: numberColumn(nodes, "kind") as Uint8Array,
    layer: ints(nodes, "layer"),
    position: ints(nodes, "position"),
    feature: ints(nodes, "feature"),
    activation: floats(nodes, "activation"),
    influence: floats(nodes, "influence"),
    cumulative: floats(nodes, "cumulative"),
    probability: floats(nodes, "probability"),
    density: floats(nodes, "density"),
    label: textColumn(nodes, "label"),
    token: textColumn(nodes, "token"),
    edges: {
      size: source.length,
      source,
      target,
      weight: floats(edges, "weight"),
      share: floats(edges, "share"),
    },
    incoming: adjacency(ids.length, target),
    outgoing: adjacency(ids.length, source),
  };
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Return the row of a drawn node. */
export function factsOf(graph: Graph, node: number): Facts {
  return {
    id: graph.ids[node]!,
    kind: graph.kind[node]!,
    layer: graph.layer[node]!,
    position: graph.position[node]!,
    feature: graph.feature[node]!,
    token: graph.token[node]!,
    label: graph.label[node]!,
    activation: finite(graph.activation[node]!),
    influence: finite(graph.influence[node]!),
    probability: finite(graph.probability[node]!),
  };
}
