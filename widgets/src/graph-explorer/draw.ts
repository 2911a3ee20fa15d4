/** Everything that is drawn on a canvas. Coordinates are the layout's; the caller has scaled and shifted the context. */

import type { Colours } from "../kit/theme";
import { isolate, shorten } from "../kit/tokens";
import { BIAS, ERROR, type Graph, KINDS, LOGIT, TOKEN } from "./data";
import type { Placed } from "./labels";
import { AXIS, type Layout, SLANT, tokenBand } from "./layout";
import type { ColourBy } from "./traits";

type Context = CanvasRenderingContext2D;

/** Colours and fonts of the page: a canvas inherits neither. */
export interface Look {
  colours: Colours;
  small: string;
  token: string;
}

/** How an edge is drawn, by its strength from 0 to 1. */
export interface Style {
  alpha(strength: number): number;
  width(strength: number): number;
}

const LEVELS = 12;

/** The width up to which lines are drawn fast without a graphics card: that of one pixel of the screen. */
export const hairline = (): number => 1 / (devicePixelRatio || 1);

/** Return how strongly an edge is drawn, from 0 to 1: by |share|, on a scale that leaves small ones visible. */
export function strength(share: number): number {
  return Math.min(Math.sqrt(Math.abs(share)), 1);
}

/** Sort edges into levels of strength, for each sign: one path and one stroke a level instead of one an edge. */
export function levels(share: Float32Array, edges: Iterable<number>): { positive: number[][]; negative: number[][] } {
  const positive: number[][] = Array.from({ length: LEVELS }, () => []);
  const negative: number[][] = Array.from({ length: LEVELS }, () => []);
  for (const edge of edges) {
    const value = share[edge]!;
    const level = Math.min(Math.floor(strength(value) * LEVELS), LEVELS - 1);
    (value < 0 ? negative : positive)[level]!.push(edge);
  }
  return { positive, negative };
}

/** Return the colour of an edge by its strength alone, whatever its sign. */
export function ramp(colours: Colours, strength: number): string {
  return `color-mix(in srgb, ${colours.logit} ${Math.round(100 * strength)}%, ${colours.token})`;
}

/** Draw edges, the weak ones first. */
export function drawEdges(
  context: Context,
  graph: Graph,
  layout: Layout,
  edges: Iterable<number>,
  look: Look,
  style: Style & { by: ColourBy },
): void {
  const sorted = levels(graph.edges.share, edges);
  for (let level = 0; level < LEVELS; level += 1) {
    const middle = (level + 0.5) / LEVELS;
    context.globalAlpha = style.alpha(middle);
    context.lineWidth = style.width(middle);
    for (const sign of ["negative", "positive"] as const) {
      const group = sorted[sign][level]!;
      if (!group.length) continue;
      context.strokeStyle = style.by === "sign" ? look.colours[sign] : ramp(look.colours, middle);
      // Without a graphics card, hairlines are fastest as one path, and wider lines one by one: by a factor of four.
      const atOnce = context.lineWidth <= hairline() ? group.length : 1;
      for (let first = 0; first < group.length; first += atOnce) {
        context.beginPath();
        for (let at = first; at < first + atOnce; at += 1) {
          traceEdge(context, layout, graph.edges.source[group[at]!]!, graph.edges.target[group[at]!]!);
        }
        context.stroke();
      }
    }
  }
  context.globalAlpha = 1;
}

/** Edges leave upwards and arrive from below, so that those of one node fan out instead of crossing its row. */
function traceEdge(context: Context, layout: Layout, source: number, target: number): void {
  const [x0, y0, x1] = [layout.x[source]!, layout.y[source]!, layout.x[target]!];
  const box = layout.boxes.get(target);
  const y1 = layout.y[target]! + (box ? box.height / 2 : 0);
  const bend = (y0 - y1) * 0.45;
  context.moveTo(x0, y0);
  context.bezierCurveTo(x0, y0 - bend, x1, y1 + bend, x1, y1);
}

function traceShape(context: Context, kind: number, x: number, y: number, radius: number): void {
  if (kind === ERROR) {
    const half = radius * 0.82;
    context.rect(x - half, y - half, 2 * half, 2 * half);
  } else if (kind === TOKEN) {
    const half = radius * 1.15;
    context.moveTo(x, y - half);
    context.lineTo(x + half, y);
    context.lineTo(x, y + half);
    context.lineTo(x - half, y);
    context.closePath();
  } else if (kind === BIAS) {
    const half = radius * 1.1;
    context.moveTo(x, y - half);
    context.lineTo(x + half, y + half * 0.8);
    context.lineTo(x - half, y + half * 0.8);
    context.closePath();
  } else {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
}

/** Draw nodes; logits are boxes that fill up with their probability. */
export function drawNodes(
  context: Context,
  graph: Graph,
  layout: Layout,
  nodes: Iterable<number>,
  look: Look,
  texts: Map<number, string>,
): void {
  const byKind: number[][] = KINDS.map(() => []);
  for (const node of nodes) byKind[graph.kind[node]!]!.push(node);
  context.lineWidth = 1;
  context.strokeStyle = look.colours.background;
  for (const kind of [ERROR, BIAS, 0, TOKEN]) {
    context.fillStyle = look.colours[KINDS[kind]!];
    // One path for many nodes is fast, one for all is not.
    for (let first = 0; first < byKind[kind]!.length; first += 50) {
      context.beginPath();
      for (const node of byKind[kind]!.slice(first, first + 50)) {
        traceShape(context, kind, layout.x[node]!, layout.y[node]!, layout.radius[node]!);
      }
      // A rim in the colour of the background keeps neighbours apart.
      context.stroke();
      context.fill();
    }
  }
  for (const node of byKind[LOGIT]!) drawBox(context, graph, layout, node, look, texts.get(node) ?? "");
}

function drawBox(context: Context, graph: Graph, layout: Layout, node: number, look: Look, text: string): void {
  const box = layout.boxes.get(node);
  if (!box) return;
  const [left, top] = [box.x - box.width / 2, box.y - box.height / 2];
  context.beginPath();
  context.roundRect(left, top, box.width, box.height, 5);
  context.fillStyle = look.colours.background;
  context.fill();
  context.save();
  context.clip();
  context.globalAlpha = 0.2;
  context.fillStyle = look.colours.logit;
  context.fillRect(left, top, box.width * Math.min(graph.probability[node]! || 0, 1), box.height);
  context.restore();
  context.strokeStyle = look.colours.logit;
  context.lineWidth = 1;
  context.stroke();
  if (!box.text) return;
  context.fillStyle = look.colours.text;
  context.font = look.small;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(isolate(text), box.x, box.y + 0.5);
}

/** Draw what lies beneath everything: the columns. */
export function drawFrame(context: Context, layout: Layout, look: Look): void {
  const first = layout.rows[1]!;
  const last = layout.rows.at(-1)!;
  const bottom = last.top + last.height;
  context.fillStyle = look.colours.text;
  layout.columns.forEach(({ left, width }, column) => {
    context.globalAlpha = column % 2 ? 0 : 0.028;
    context.fillRect(left, first.top, width, bottom - first.top);
  });
  context.globalAlpha = 1;
}

/** Draw the tokens below the columns, at the lower edge of the view whatever is scrolled above it. */
export function drawTokens(
  context: Context,
  layout: Layout,
  tokens: string[],
  look: Look,
  view: { left: number; width: number; height: number },
): void {
  const top = view.height - tokenBand(layout);
  context.fillStyle = look.colours.background;
  context.globalAlpha = 0.92;
  context.fillRect(view.left, top, view.width, view.height - top);
  context.globalAlpha = 1;
  context.fillStyle = look.colours.muted;
  context.font = look.token;
  context.textBaseline = "middle";
  layout.columns.forEach(({ centre, width }, column) => {
    const text = tokens[column] ?? "";
    if (layout.slanted) {
      context.save();
      context.translate(centre + 3, top + 5);
      context.rotate(SLANT);
      context.textAlign = "right";
      // Not beyond the canvas' left edge.
      context.fillText(isolate(cut(context, text, Math.min(88, (centre - 6) / Math.cos(SLANT)))), 0, 0);
      context.restore();
    } else {
      context.textAlign = "center";
      context.fillText(isolate(cut(context, text, width - 4)), centre, top + 9);
    }
  });
}

/** Draw the layers' numbers, which stay at the left edge of the view. */
export function drawAxis(context: Context, layout: Layout, look: Look, view: { top: number; height: number }): void {
  const bottom = view.top + view.height - tokenBand(layout);
  context.beginPath();
  context.rect(0, view.top, AXIS, view.height - tokenBand(layout));
  context.clip();
  context.fillStyle = look.colours.background;
  context.globalAlpha = 0.92;
  context.fillRect(0, view.top, AXIS - 4, bottom - view.top);
  context.globalAlpha = 1;
  context.font = look.small;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillStyle = look.colours.muted;
  const lowest = Math.min(...layout.rows.slice(1, -1).map((row) => row.height));
  // Where rows are low, only every second (fifth, tenth …) layer has room for its number.
  const step = [1, 2, 5, 10, 20, 50].find((every) => every * lowest >= 11) ?? 100;
  for (const row of layout.rows) {
    if (Number.isNaN(Number(row.label)) || Number(row.label) % step === 0) {
      context.fillText(row.label, AXIS - 8, row.centre);
    }
  }
}

function cut(context: Context, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let length = [...text].length - 1;
  while (length > 1 && context.measureText(shorten(text, length)).width > width) length -= 1;
  return shorten(text, length);
}

/** Draw a ring around a node, or around its box. */
export function drawRing(
  context: Context,
  layout: Layout,
  node: number,
  colour: string,
  gap: number,
  width: number,
): void {
  const box = layout.boxes.get(node);
  context.beginPath();
  if (box) {
    context.roundRect(
      box.x - box.width / 2 - gap,
      box.y - box.height / 2 - gap,
      box.width + 2 * gap,
      box.height + 2 * gap,
      5 + gap,
    );
  } else context.arc(layout.x[node]!, layout.y[node]!, layout.radius[node]! + gap, 0, 2 * Math.PI);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

/** Draw a broad ring that is seen among many nodes and hides none. */
export function drawHalo(context: Context, layout: Layout, node: number, colour: string): void {
  context.globalAlpha = 0.55;
  drawRing(context, layout, node, colour, 3.5, 4);
  context.globalAlpha = 1;
}

/** Draw a pinned node's name, with a line to the node where it had to stand apart. */
export function drawLabel(
  context: Context,
  layout: Layout,
  node: number,
  place: Placed,
  text: string,
  look: Look,
): void {
  const [x, y] = [layout.x[node]!, layout.y[node]!];
  const nearX = Math.min(Math.max(x, place.left), place.left + place.width);
  const nearY = Math.min(Math.max(y, place.top), place.top + place.height);
  if (Math.hypot(nearX - x, nearY - y) > layout.radius[node]! + 8) {
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(nearX, nearY);
    context.strokeStyle = look.colours.muted;
    context.lineWidth = 1;
    context.stroke();
  }
  context.beginPath();
  context.roundRect(place.left, place.top, place.width, place.height, 4);
  context.fillStyle = look.colours.raised;
  context.fill();
  context.strokeStyle = look.colours.muted;
  context.lineWidth = 0.75;
  context.stroke();
  context.fillStyle = look.colours.text;
  context.font = look.small;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(isolate(text), place.left + 6, place.top + place.height / 2 + 0.5);
}
