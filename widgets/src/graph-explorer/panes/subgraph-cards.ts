/** The subgraph as data: its cards, the edges between them, and where the cards stand. */

import { type Facts, type Graph, LOGIT, TOKEN } from "../data";
import { groupOf } from "../groups";
import type { State } from "../state";

export interface Card {
  /** A node's id, or "s/" and the name of a supernode. */
  key: string;
  /** The supernode's name; null for a single node. */
  group: string | null;
  members: Facts[];
}

/** An edge between two cards: those between their members, summed. */
export interface CardEdge {
  source: string;
  target: string;
  weight: number;
  share: number;
  edges: number;
}

/** Return the cards: the supernodes, then the pinned nodes that are in none. */
export function cardsOf(state: State): Card[] {
  const facts = (ids: string[]) => ids.map((id) => state.facts(id)).filter((node) => node !== null);
  const { groups, pinned } = state;
  return [
    ...groups.map(({ name, ids }) => ({ key: `s/${name}`, group: name, members: facts(ids) })),
    ...pinned.filter((id) => !groupOf(groups, id)).map((id) => ({ key: id, group: null, members: facts([id]) })),
  ].filter(({ members }) => members.length > 0);
}

/**
 * Return the edges between cards as far as the edges at hand tell, the largest |share| first.
 *
 * As in Python a share is the sum over Σ|weight| of what the target's members receive from outside of the target.
 */
export function localEdges(graph: Graph, cards: readonly Card[]): CardEdge[] {
  const { source, target, weight, share } = graph.edges;
  const cardOf = new Map(cards.flatMap(({ key, members }) => members.map(({ id }) => [graph.index.get(id)!, key])));
  const sums = new Map<string, CardEdge>();
  const incoming = new Map<number, number>();
  const inside = new Map<string, number>();
  for (let edge = 0; edge < graph.edges.size; edge += 1) {
    const to = cardOf.get(target[edge]!);
    if (to === undefined) continue;
    // An edge's weight and share tell the whole input of its target.
    if (share[edge]) incoming.set(target[edge]!, Math.abs(weight[edge]! / share[edge]!));
    const from = cardOf.get(source[edge]!);
    if (from === undefined) continue;
    if (from === to) {
      inside.set(to, (inside.get(to) ?? 0) + Math.abs(weight[edge]!));
      continue;
    }
    const key = `${from}\n${to}`;
    const sum = sums.get(key) ?? { source: from, target: to, weight: 0, share: 0, edges: 0 };
    sums.set(key, { ...sum, weight: sum.weight + weight[edge]!, edges: sum.edges + 1 });
  }
  const received = new Map<string, number>();
  for (const [node, input] of incoming) {
    const card = cardOf.get(node)!;
    received.set(card, (received.get(card) ?? 0) + input);
  }
  return [...sums.values()]
    .map((edge) => {
      const input = (received.get(edge.target) ?? 0) - (inside.get(edge.target) ?? 0);
      return { ...edge, share: edge.weight / Math.max(input, 1e-10) };
    })
    .sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);

/** Return how high a card stands: below the layers for tokens, above them for logits. */
function height(card: Card, nLayers: number): number {
  return mean(
    card.members.map(({ kind, layer }) => (kind === TOKEN ? -1 : kind === LOGIT ? nLayers : Math.min(layer, nLayers))),
  );
}

/** As many rows as a pane shows without small print, and as many members as a card names. */
const ROWS = 7;
/** At least so many columns: in the middle alone, edges would run behind the cards between their ends. */
const COLUMNS = 4;
export const MEMBERS = 5;
const SIZE = { width: 176, head: 30, member: 18, gap: 30 };

export interface Places {
  /** Centres of the cards, as shares of the ground's width and height. */
  at: Map<string, [x: number, y: number]>;
  /** The least size of the ground on which the cards do not touch, in pixels. */
  width: number;
  height: number;
}

/** Return how high a card is, in pixels, as its style has it. */
function sizeOf(card: Card): number {
  const rows = card.group === null ? 0 : Math.min(card.members.length, MEMBERS + 1);
  return SIZE.head + rows * SIZE.member;
}

/** Return how many cards stand side by side in a pane of some width. */
export const perRow = (width: number): number => Math.max(Math.floor(width / SIZE.width), 1);

/**
 * Place cards like the graph: layers from below, positions from the left; what was dragged stands where it was put.
 *
 * @param most is how many cards may stand side by side; those of one layer that are more stand in several rows.
 */
export function placeCards(
  cards: readonly Card[],
  nLayers: number,
  dragged: Record<string, [number, number]>,
  most = 6,
): Places {
  const ordered = cards
    .map((card) => ({
      key: card.key,
      size: sizeOf(card),
      height: height(card, nLayers),
      position: mean(card.members.map(({ position }) => position)),
    }))
    .sort((a, b) => a.height - b.height || a.position - b.position);
  const heights = [...new Set(ordered.map((card) => card.height))];
  const perBand = Math.max(Math.ceil(heights.length / ROWS), 1);
  const rows: (typeof ordered)[] = [];
  for (let band = 0; band < heights.length; band += perBand) {
    const here = new Set(heights.slice(band, band + perBand));
    const row = ordered.filter((card) => here.has(card.height)).sort((a, b) => a.position - b.position);
    for (let first = 0; first < row.length; first += most) rows.push(row.slice(first, first + most));
  }
  const sizes = rows.map((row) => Math.max(...row.map(({ size }) => size)) + SIZE.gap);
  const whole = sizes.reduce((sum, size) => sum + size, 0);
  const across = Math.max(...rows.map((row) => row.length), Math.min(COLUMNS, most));
  const positions = ordered.map((card) => card.position);
  const [first, last] = [Math.min(...positions), Math.max(...positions)];
  const at = new Map<string, [number, number]>();
  let below = 0;
  rows.forEach((row, number) => {
    const middle = 1 - (below + sizes[number]! / 2) / whole;
    const wanted = row.map((card) => (first === last ? 0.5 : (card.position - first) / (last - first)));
    apart(wanted, 1 / across).forEach((x, place) => {
      const { key } = row[place]!;
      at.set(key, dragged[key] ?? [x, middle]);
    });
    below += sizes[number]!;
  });
  return { at, width: SIZE.width * across, height: whole };
}

/** Return places from 0 to 1 near those wanted, in the same order and at least a gap apart, with half a gap at the ends. */
export function apart(wanted: readonly number[], gap: number): number[] {
  const places: number[] = [];
  for (const place of wanted) places.push(Math.max(place, (places.at(-1) ?? -gap / 2) + gap));
  // What went over the end moves back, and pushes those before it.
  let end = 1 + gap / 2;
  for (let at = places.length - 1; at >= 0; at -= 1) {
    places[at] = Math.min(places[at]!, end - gap);
    end = places[at]!;
  }
  return places;
}
