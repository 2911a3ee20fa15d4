/** The rows of the table of nodes. */

import { type Facts, type Info, LOGIT, TOKEN } from "../data";
import { kindOf, nameOf, shortLayer, tokenAt } from "../describe";
import type { State } from "../state";

export interface Row {
  facts: Facts;
  /** Where the layer stands among all: tokens come before the first one. */
  depth: number;
  /** The influence; of a logit, which has none, its probability. */
  worth: number;
  /** Edges that came with the widget. */
  incoming: number;
  outgoing: number;
}

/** Return the rows of some nodes, with the names that the user gave. */
export function rowsOf(state: State, shown: Uint8Array): Row[] {
  const { graph } = state;
  const rows: Row[] = [];
  for (let node = 0; node < graph.size; node += 1) {
    if (!shown[node]) continue;
    const facts = state.facts(graph.ids[node]!)!;
    const worth = facts.kind === LOGIT ? facts.probability : facts.influence;
    rows.push({
      facts,
      depth: facts.kind === TOKEN ? -1 : facts.layer,
      worth: worth ?? Number.NaN,
      incoming: graph.incoming.start[node + 1]! - graph.incoming.start[node]!,
      outgoing: graph.outgoing.start[node + 1]! - graph.outgoing.start[node]!,
    });
  }
  return rows;
}

/** Return whether every word of a filter is found in a row: in its name, kind, layer, token or id. */
export function fits({ facts }: Row, filter: string, info: Info): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const layer = shortLayer(facts).toLowerCase();
  const text = [nameOf(facts), kindOf(facts), tokenAt(facts, info), facts.id].join("\n").toLowerCase();
  // "L1" is layer 1 and not also layers 10 to 19.
  return words.every((word) => (/^l\d+$/.test(word) ? layer === word : text.includes(word) || layer === word));
}
