/** Where everything stands: token positions from left to right, layers from bottom to top. */

import { FEATURE, type Graph, LOGIT, TOKEN } from "./data";

/** Widths of texts in CSS pixels, measured by whoever has a canvas. */
export interface Texts {
  /** Of each token under its column. */
  tokens: number[];
  /** Of each logit node's text, by node. */
  logits: Map<number, number>;
}

export interface Column {
  left: number;
  width: number;
  centre: number;
}

export interface Row {
  label: string;
  top: number;
  height: number;
  centre: number;
}

/** A logit's box; without text when there was no room for it. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  text: boolean;
}

export interface Layout {
  shown: Uint8Array;
  /** Centres and radii of all nodes; a node that is not drawn has the centre of its cell. */
  x: Float32Array;
  y: Float32Array;
  radius: Float32Array;
  columns: Column[];
  rows: Row[];
  boxes: Map<number, Box>;
  /** Whether the texts under the columns are written at an angle. */
  slanted: boolean;
  /** Where the texts under the columns begin. */
  textTop: number;
  /** At least as wide as the view; wider when a long prompt has to be scrolled. */
  width: number;
  height: number;
}

export const AXIS = 42;
export const SLANT = -Math.PI / 5;
const RIGHT = 14;
const TOP = 10;
const BOX = 20;
const BOX_GAP = 5;
const SMALL_BOX = 11;
const TOKEN_ROW = 20;
const TEXT_WIDTH = 92;
const TEXT_GAP = 8;
const NARROWEST = 22;
const PITCH = 9;
const TIGHT = 5;
const PITCH_MOST = 15;

/** The place for a layout. */
export interface View {
  width: number;
  height: number;
  /** How far the graph is spread out beyond it, from 1. */
  zoom?: number;
}

/** Return the layout of the nodes that are drawn in a view. */
export function layOut(graph: Graph, shown: Uint8Array, texts: Texts, { zoom = 1, ...view }: View): Layout {
  const [width, height] = [view.width * zoom, view.height * zoom];
  const nColumns = Math.max(graph.info.tokens.length, 1);
  const nLayers = Math.max(graph.info.n_layers, 1);
  const cells = new Cells(graph, shown, nColumns, nLayers);
  const inner = Math.max(width - AXIS - RIGHT, 60);

  // Angled texts need height, and whether they are needed depends on the columns' widths alone.
  const heights = rowHeights(cells, height, false);
  const columns = columnWidths(cells, heights, texts.tokens, inner);
  const slanted = columns.some((column, at) => column < Math.min(texts.tokens[at] ?? 0, TEXT_WIDTH) + TEXT_GAP - 1);
  const final = slanted ? rowHeights(cells, height, true, Math.max(...texts.tokens, 0)) : heights;

  const rows: Row[] = [];
  let top = TOP + BOX + 10;
  rows.push({ label: "logits", top: TOP, height: BOX, centre: TOP + BOX / 2 });
  for (let layer = nLayers - 1; layer >= 0; layer -= 1) {
    rows.push({ label: String(layer), top, height: final[layer]!, centre: top + final[layer]! / 2 });
    top += final[layer]!;
  }
  rows.push({ label: "emb", top: top + 2, height: TOKEN_ROW, centre: top + 2 + TOKEN_ROW / 2 });

  const places: Column[] = [];
  let left = AXIS;
  for (const column of columns) {
    places.push({ left, width: column, centre: left + column / 2 });
    left += column;
  }
  const layout: Layout = {
    shown,
    x: new Float32Array(graph.size),
    y: new Float32Array(graph.size),
    radius: new Float32Array(graph.size),
    columns: places,
    rows,
    boxes: new Map(),
    slanted,
    textTop: top + 2 + TOKEN_ROW,
    width: Math.max(left + RIGHT, width),
    height,
  };
  // Nodes grow with the zoom, but less than the room between them.
  placeNodes(graph, layout, cells, Math.sqrt(zoom));
  placeBoxes(graph, layout, texts.logits, left);
  return layout;
}

/** Return the height of the tokens' texts below the columns. */
export const tokenBand = (layout: Layout): number => layout.height - layout.textTop;

/** The nodes of each layer and position; the token row is layer −1. */
class Cells {
  readonly nColumns: number;
  readonly nLayers: number;
  readonly nodes = new Map<number, number[]>();

  constructor(graph: Graph, shown: Uint8Array, nColumns: number, nLayers: number) {
    this.nColumns = nColumns;
    this.nLayers = nLayers;
    for (let node = 0; node < graph.size; node += 1) {
      if (!shown[node] || graph.kind[node] === LOGIT) continue;
      const key = this.key(graph, node);
      const cell = this.nodes.get(key);
      if (cell) cell.push(node);
      else this.nodes.set(key, [node]);
    }
  }

  /** Biases of the final normalisation stand with the last layer. */
  key(graph: Graph, node: number): number {
    const layer = graph.kind[node] === TOKEN ? -1 : Math.min(graph.layer[node]!, this.nLayers - 1);
    return (layer + 1) * this.nColumns + Math.min(graph.position[node]!, this.nColumns - 1);
  }

  count(layer: number, column: number): number {
    return this.nodes.get((layer + 1) * this.nColumns + column)?.length ?? 0;
  }
}

/** Busy layers are taller than quiet ones, but none vanishes. */
function rowHeights(cells: Cells, height: number, slanted: boolean, longest = 0): number[] {
  const text = slanted ? Math.sin(-SLANT) * Math.min(longest, TEXT_WIDTH) + 16 : 22;
  const room = Math.max(height - (TOP + BOX + 10) - (2 + TOKEN_ROW) - text, 60);
  const weights = Array.from({ length: cells.nLayers }, (_, layer) => {
    let busiest = 0;
    for (let column = 0; column < cells.nColumns; column += 1) {
      busiest = Math.max(busiest, cells.count(layer, column));
    }
    return 1 + 0.45 * Math.sqrt(Math.max(busiest - 2, 0));
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (room * weight) / total);
}

/** Columns are as wide as their busiest cell and their text need; what is left over is shared out. */
function columnWidths(cells: Cells, heights: number[], texts: number[], room: number): number[] {
  const needs = (pitch: number, column: number) => {
    let lines = 1;
    for (let layer = 0; layer < cells.nLayers; layer += 1) {
      const perLine = Math.max(Math.floor(heights[layer]! / pitch), 1);
      lines = Math.max(lines, Math.ceil(cells.count(layer, column) / perLine));
    }
    return lines * pitch + 8;
  };
  const columns = Array.from({ length: cells.nColumns }, (_, column) => column);
  const least = columns.map((column) => Math.max(NARROWEST, needs(TIGHT, column)));
  const named = columns.map((column) => Math.max(least[column]!, Math.min(texts[column] ?? 0, TEXT_WIDTH) + TEXT_GAP));
  const ideal = columns.map((column) => Math.max(named[column]!, needs(PITCH, column)));
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const [airy, readable, needed] = [sum(ideal), sum(named), sum(least)];
  if (airy <= room) return ideal.map((value) => (value * room) / airy);
  if (needed >= room) return least;
  // Texts that can be read without turning the head are worth more than air between the nodes.
  const [from, to] = readable <= room ? [named, ideal] : [least, named];
  const part = (room - sum(from)) / Math.max(sum(to) - sum(from), 1e-9);
  return columns.map((column) => from[column]! + part * (to[column]! - from[column]!));
}

/** Fill each cell with lines of nodes, as far apart as the cell allows. */
function placeNodes(graph: Graph, layout: Layout, cells: Cells, scale: number): void {
  const most = Math.max(...graph.influence.filter((_, node) => graph.kind[node] === FEATURE), 1e-9);
  const radius = (node: number) => {
    if (graph.kind[node] === TOKEN) return 5;
    return (2.6 + 3 * Math.sqrt(Math.min(graph.influence[node]! / most, 1))) * scale;
  };
  for (let node = 0; node < graph.size; node += 1) {
    const key = cells.key(graph, node);
    const column = layout.columns[key % cells.nColumns]!;
    const row = layout.rows[layout.rows.length - 1 - Math.floor(key / cells.nColumns)]!;
    layout.x[node] = column.centre;
    layout.y[node] = row.centre;
    layout.radius[node] = radius(node);
  }
  for (const [key, nodes] of cells.nodes) {
    const column = layout.columns[key % cells.nColumns]!;
    const row = layout.rows[layout.rows.length - 1 - Math.floor(key / cells.nColumns)]!;
    const { across, pitch } = grid(nodes.length, column.width - 8, row.height - 1, PITCH_MOST * scale);
    const down = Math.ceil(nodes.length / across);
    nodes.forEach((node, place) => {
      const line = Math.floor(place / across);
      const inLine = Math.min(across, nodes.length - line * across);
      layout.x[node] = column.centre + ((place % across) - (inLine - 1) / 2) * pitch;
      layout.y[node] = row.centre + ((down - 1) / 2 - line) * Math.min(pitch, row.height / down);
      layout.radius[node] = Math.min(radius(node), Math.max(pitch * 0.47, 1.8));
    });
  }
}

/** Return how many of some nodes stand side by side in a cell, and how far apart. */
export function grid(
  count: number,
  width: number,
  height: number,
  most = PITCH_MOST,
): { across: number; pitch: number } {
  let best = { across: 1, pitch: 0 };
  for (let across = 1; across <= count; across += 1) {
    const down = Math.ceil(count / across);
    // One line may stand in a row that is lower than the nodes are wide: rows do not touch.
    const pitch = Math.min(width / across, down === 1 ? Number.POSITIVE_INFINITY : height / down, most);
    if (pitch >= best.pitch) best = { across, pitch };
  }
  return best;
}

/** Put the logits' boxes into the top row, over their positions as far as they have room there. */
function placeBoxes(graph: Graph, layout: Layout, widths: Map<number, number>, right: number): void {
  const logits = [...graph.kind.keys()].filter((node) => graph.kind[node] === LOGIT && layout.shown[node]);
  const byProbability = [...logits].sort((a, b) => graph.probability[b]! - graph.probability[a]!);
  const size = new Map(logits.map((node) => [node, SMALL_BOX]));
  let used = logits.length * (SMALL_BOX + BOX_GAP);
  for (const node of byProbability) {
    const wanted = (widths.get(node) ?? 0) + 14;
    if (used + wanted - SMALL_BOX > right - AXIS) break;
    used += wanted - SMALL_BOX;
    size.set(node, wanted);
  }
  const ordered = byProbability.sort((a, b) => graph.position[a]! - graph.position[b]!);
  const at = new Map<number, number>();
  let free = AXIS;
  for (const position of new Set(ordered.map((node) => graph.position[node]!))) {
    const group = ordered.filter((node) => graph.position[node] === position);
    const whole = group.reduce((sum, node) => sum + size.get(node)! + BOX_GAP, -BOX_GAP);
    const column = layout.columns[Math.min(position, layout.columns.length - 1)]!;
    let left = Math.max(column.centre - whole / 2, free);
    for (const node of group) {
      at.set(node, left);
      left += size.get(node)! + BOX_GAP;
    }
    free = left;
  }
  // What went over the edge on the right moves back, and pushes those before it.
  let edge = right;
  for (const node of [...ordered].reverse()) {
    const left = Math.min(at.get(node)!, edge - size.get(node)!);
    at.set(node, left);
    edge = left - BOX_GAP;
  }
  const row = layout.rows[0]!;
  for (const node of ordered) {
    const width = size.get(node)!;
    const box = { x: at.get(node)! + width / 2, y: row.centre, width, height: BOX, text: width > SMALL_BOX };
    layout.boxes.set(node, box);
    layout.x[node] = box.x;
    layout.y[node] = box.y;
    layout.radius[node] = BOX / 2;
  }
}
