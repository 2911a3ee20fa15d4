/** A small graph by hand, and a model that holds it, for the tests of the explorer. */

import { vi } from "vitest";
import { type Graph, type Info, KINDS, type Kind, readGraph } from "../../src/graph-explorer/data";
import type { WireColumns } from "../../src/kit/binary";

export interface Node {
  id: string;
  kind: Kind;
  layer?: number;
  position?: number;
  influence?: number;
  cumulative?: number;
  label?: string;
  token?: string;
  probability?: number;
  density?: number;
}

export type Edge = [source: string, target: string, share: number];

const floats = (values: number[]) => ({
  dtype: "float32" as const,
  data: new DataView(new Float32Array(values).buffer),
});
const ints = (values: number[]) => ({ dtype: "int32" as const, data: new DataView(new Int32Array(values).buffer) });
const bytes = (values: number[]) => ({ dtype: "uint8" as const, data: new DataView(new Uint8Array(values).buffer) });

export interface Wire {
  _nodes: WireColumns;
  _edges: WireColumns;
  _info: Info;
}

/** Return the traits that Python would send; edges are the most influential first, as Python sorts them. */
export function wire(nodes: Node[], edges: Edge[], info: Partial<Info> = {}): Wire {
  const at = (id: string) => nodes.findIndex((node) => node.id === id);
  const number = (read: (node: Node) => number | undefined, missing: number) =>
    nodes.map((node) => read(node) ?? missing);
  return {
    _nodes: {
      node_id: nodes.map(({ id }) => id),
      kind: bytes(nodes.map(({ kind }) => KINDS.indexOf(kind))),
      label: nodes.map(({ label }) => label ?? ""),
      token: nodes.map(({ token }) => token ?? ""),
      layer: ints(number(({ layer }) => layer, 0)),
      position: ints(number(({ position }) => position, 0)),
      feature: ints(nodes.map(({ kind, id }) => (kind === "feature" ? Number(id.split("/")[2]) : -1))),
      activation: floats(nodes.map(({ kind }) => (kind === "feature" ? 1.5 : Number.NaN))),
      influence: floats(number(({ influence }) => influence, 0)),
      cumulative: floats(number(({ cumulative }) => cumulative, 0)),
      density: floats(number(({ density }) => density, Number.NaN)),
      probability: floats(number(({ probability }) => probability, Number.NaN)),
    },
    _edges: {
      source: ints(edges.map(([source]) => at(source))),
      target: ints(edges.map(([, target]) => at(target))),
      weight: floats(edges.map(([, , share]) => 10 * share)),
      share: floats(edges.map(([, , share]) => share)),
    },
    _info: {
      prompt: "a b",
      tokens: ["<s>", "a", " b"],
      model: "tiny",
      n_layers: 2,
      n_nodes: nodes.length,
      n_edges: edges.length,
      replacement: 0.5,
      completeness: 0.75,
      ...info,
    },
  };
}

export const NODES: Node[] = [
  { id: "f/0/7/1", kind: "feature", layer: 0, position: 1, influence: 0.4, cumulative: 0 },
  { id: "f/0/8/1", kind: "feature", layer: 0, position: 1, influence: 0.1, cumulative: 0.85 },
  { id: "f/1/3/2", kind: "feature", layer: 1, position: 2, influence: 0.3, cumulative: 0.4, label: "names" },
  { id: "e/0/2", kind: "error", layer: 0, position: 2, influence: 0.2, cumulative: 0.65 },
  { id: "t/0", kind: "token", position: 0, influence: 0.5, token: "<s>" },
  { id: "t/1", kind: "token", position: 1, influence: 0.6, token: "a" },
  { id: "t/2", kind: "token", position: 2, influence: 0.2, token: " b" },
  { id: "b/0/b_dec/1", kind: "bias", layer: 0, position: 1, influence: 0.05, cumulative: 0.9 },
  { id: "l/5/2", kind: "logit", layer: 2, position: 2, token: " c", probability: 0.6 },
  { id: "l/6/2", kind: "logit", layer: 2, position: 2, token: " d", probability: 0.3 },
];

export const EDGES: Edge[] = [
  ["f/1/3/2", "l/5/2", 0.5],
  ["f/0/7/1", "f/1/3/2", 0.6],
  ["t/1", "f/0/7/1", 0.8],
  ["f/0/8/1", "f/1/3/2", -0.3],
  ["e/0/2", "l/5/2", -0.4],
  ["t/2", "f/1/3/2", 0.1],
  ["f/0/7/1", "l/6/2", -0.2],
  ["b/0/b_dec/1", "l/5/2", 0.05],
];

export function small(nodes = NODES, edges = EDGES, info: Partial<Info> = {}): Graph {
  const { _nodes, _edges, _info } = wire(nodes, edges, info);
  return readGraph(_nodes, _edges, _info);
}

/** Return the number of a node of a graph by its id. */
export const node = (graph: Graph, id: string): number => graph.index.get(id)!;

type Listener = (...values: unknown[]) => void;

/** A model in memory: it keeps what is sent to Python, and {@link FakeModel.reply} answers. */
export class FakeModel {
  readonly sent: { kind: string; id: string; method: string; params: Record<string, unknown> }[] = [];
  readonly save_changes = vi.fn();
  readonly widget_manager = null as never;
  readonly #state: Record<string, unknown>;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(state: Record<string, unknown>) {
    this.#state = {
      selected_ids: [],
      pinned_ids: [],
      hovered_id: null,
      labels: {},
      supernodes: [],
      card_positions: {},
      highlighted_ids: [],
      node_threshold: 0.8,
      density_threshold: 1,
      link_mode: "either",
      colour_by: "sign",
      show_errors: true,
      show_biases: false,
      height: 520,
      view: "graph",
      ...state,
    };
  }

  get(name: string): never {
    return this.#state[name] as never;
  }

  set(name: string, value: unknown): void {
    this.#state[name] = value;
    this.emit(`change:${name}`);
  }

  on(event: string, listener: Listener): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
  }

  off(event?: string | null, listener?: Listener | null): void {
    if (event && listener) this.#listeners.get(event)?.delete(listener);
  }

  send(message: FakeModel["sent"][number]): void {
    this.sent.push(message);
  }

  emit(event: string, ...values: unknown[]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...values);
  }

  /** Answer the last request. */
  async reply(content: Record<string, unknown>): Promise<void> {
    this.emit("msg:custom", { kind: "reply", id: this.sent.at(-1)!.id, ...content }, []);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }
}
