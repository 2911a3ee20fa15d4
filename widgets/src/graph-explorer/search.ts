/** Which nodes are meant by a few characters: of a label, a token or an id. */

import { LOGIT, TOKEN } from "./data";
import { kindOf, visible } from "./describe";
import type { State } from "./state";

/** Return how well a node fits, the best is 0; null when it does not. */
type Rank = number | null;

function rank(state: State, node: number, query: string): Rank {
  const { graph, labels } = state;
  const id = graph.ids[node]!;
  const lower = (text: string) => text.toLowerCase();
  if (id === query) return 0;
  const label = lower(labels[id] ?? graph.label[node]!);
  const token = lower(graph.token[node]!);
  // What is searched for may be copied from where spaces and line breaks are shown as signs.
  const shown = lower(visible(graph.token[node]!));
  const own = graph.kind[node] === TOKEN || graph.kind[node] === LOGIT;
  if (label.startsWith(query)) return 1;
  if (own && token.trim() === query) return 1;
  if (label.includes(query)) return 2;
  if (lower(kindOf(state.facts(id)!)) === query || String(graph.feature[node]) === query) return 2;
  if (token !== "" && (token.includes(query) || shown.includes(query))) return own ? 2 : 4;
  return id.includes(query) ? 3 : null;
}

/** Return the nodes that fit, the best first, and of equal ones the most influential first. */
export function matches(state: State, text: string): number[] {
  const query = text.trim().toLowerCase();
  if (query === "") return [];
  const { graph } = state;
  const found: { node: number; rank: number }[] = [];
  for (let node = 0; node < graph.size; node += 1) {
    const fits = rank(state, node, query);
    if (fits !== null) found.push({ node, rank: fits });
  }
  const worth = (node: number) => graph.influence[node]! || graph.probability[node]! || 0;
  return found.sort((a, b) => a.rank - b.rank || worth(b.node) - worth(a.node)).map(({ node }) => node);
}
