/** What is known of the nodes and their edges: what came with the widget, and what Python answered. */

import { type AskOptions, messageOf, NoKernel, type Reply, Superseded } from "../kit/requests";
import { type Facts, factsOf, type Graph } from "./data";

/** The edges into or out of a node, sorted by signed share, the most positive first. */
export interface End {
  ids: string[];
  weight: number[];
  share: number[];
  /** How many there are in the whole graph, and the sums of all their positive and negative shares. */
  total: number;
  positive: number;
  negative: number;
}

export interface Connections {
  node: Facts;
  incoming: End;
  outgoing: End;
  others: Facts[];
}

/** What is known of a node's connections: "complete" when all edges of the graph came with the widget. */
export type Known =
  | { kind: "complete" }
  | { kind: "asking"; slow: boolean }
  | { kind: "whole"; connections: Connections }
  | { kind: "no kernel" }
  | { kind: "failed"; message: string };

/** Ask Python to run one of the widget's methods. */
export type Ask = <T>(method: string, params: Record<string, unknown>, options?: AskOptions) => Promise<Reply<T>>;

/** @param changed is called when more is known than before, or when it is clear that nothing more will be. */
export function makeAnswers(graph: Graph, ask: Ask, changed: () => void) {
  const complete = graph.edges.size === graph.info.n_edges;
  const answered = new Map<string, Known>();
  /** Nodes that did not come with the widget. */
  const others = new Map<string, Facts>();

  /** Return a node's row; null when neither the widget nor an answer holds it. */
  function facts(id: string): Facts | null {
    const node = graph.index.get(id);
    return node === undefined ? (others.get(id) ?? null) : factsOf(graph, node);
  }

  /** Keep what an answer told of nodes that may not have come with the widget. */
  function learn(nodes: Facts[]): void {
    for (const node of nodes) others.set(node.id, node);
  }

  /** Return what is known of a node's connections, and ask Python for the rest. */
  function connections(id: string): Known {
    if (complete) return { kind: "complete" };
    const known = answered.get(id);
    if (known) return known;
    const asking: Known = { kind: "asking", slow: false };
    answered.set(id, asking);
    void askFor(id, asking);
    return answered.get(id)!;
  }

  async function askFor(id: string, asking: { slow: boolean }): Promise<void> {
    const onSlow = () => {
      asking.slow = true;
      changed();
    };
    try {
      const { result } = await ask<Connections>("connections", { node_id: id }, { onSlow });
      learn([result.node, ...result.others]);
      answered.set(id, { kind: "whole", connections: result });
    } catch (error) {
      // Whoever looks at this node again asks again.
      if (error instanceof Superseded) answered.delete(id);
      else if (error instanceof NoKernel) answered.set(id, { kind: "no kernel" });
      else answered.set(id, { kind: "failed", message: messageOf(error) });
    }
    changed();
  }

  /** Ask again for what could not be answered before: a click is as good a reason as any. */
  function retry(): void {
    for (const [id, { kind }] of answered) if (kind === "failed" || kind === "no kernel") answered.delete(id);
  }

  return { facts, learn, connections, retry };
}
