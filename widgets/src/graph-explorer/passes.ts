/** What each layer of the stage shows: the scene in passes, from what never moves to what follows the pointer. */

import { percent } from "../kit/format";
import { shorten } from "../kit/tokens";
import { type Graph, LOGIT } from "./data";
import { nameOf, visible } from "./describe";
import {
  drawAxis,
  drawEdges,
  drawHalo,
  drawLabel,
  drawNodes,
  drawRing,
  drawTokens,
  hairline,
  type Look,
  type Style,
} from "./draw";
import { type Focus, hoverFocus } from "./focus";
import { type Anchor, placeLabels } from "./labels";
import { AXIS, type Layout, tokenBand } from "./layout";
import type { Point } from "./pointer";
import type { Shown } from "./prune";
import type { State } from "./state";

type Context = CanvasRenderingContext2D;

/** What the passes draw: where everything stands, and what stands out of it. */
export interface Scene {
  graph: Graph;
  state: State;
  look: Look;
  layout: Layout;
  shown: Shown;
  /** What is written below the columns and in the boxes of the logits. */
  tokens: string[];
  boxes: Map<number, string>;
  /** The part of the layout that is in sight, and whether it is spread out further than that. */
  view: { left: number; top: number; width: number; height: number };
  zoomed: boolean;
  /** What the selection and the pins bring out. */
  held: Focus;
  /** What a search found. */
  marked: number[];
}

/** Return what stands in the boxes of the logits; an output that is no token (a difference of two) has no probability. */
export function boxTexts({ kind, token, probability }: Graph): Map<number, string> {
  const logits = [...kind.keys()].filter((node) => kind[node] === LOGIT);
  return new Map(
    logits.map((node) => {
      const share = Number.isNaN(probability[node]!) ? "" : `  ${percent(probability[node]!)}`;
      return [node, `${shorten(visible(token[node]!), 14)}${share}`];
    }),
  );
}

/** Return how much fainter each of many edges is drawn: beyond `full` of them the picture stays about as dark. */
export function fading(count: number, full: number, power: number, least = 0): number {
  return Math.max(Math.min((full / Math.max(count, 1)) ** power, 1), least);
}

function edgesOf({ graph, layout, look, state }: Scene, context: Context, edges: Iterable<number>, style: Style): void {
  drawEdges(context, graph, layout, edges, look, { by: state.colours, ...style });
}

function nodesOf({ graph, layout, look, boxes }: Scene, context: Context, nodes: Iterable<number>): void {
  drawNodes(context, graph, layout, nodes, look, boxes);
}

/** Draw edges beneath the nodes, as many as are drawn in one go. */
export function edgesPass(context: Context, scene: Scene, edges: Int32Array): void {
  const fade = fading(scene.shown.edges.length, 6000, 0.5);
  edgesOf(scene, context, edges, {
    alpha: (strength) => ((scene.look.colours.dark ? 0.05 : 0.04) + 0.5 * strength ** 1.5) * fade,
    width: (strength) => (strength < 0.5 ? hairline() : 0.4 + 2 * strength),
  });
}

export function nodesPass(context: Context, scene: Scene): void {
  const nodes = [...scene.graph.kind.keys()].filter((node) => scene.shown.nodes[node]);
  nodesOf(scene, context, nodes);
}

function drawFocus(context: Context, scene: Scene, { weak, strong, lit }: Focus): void {
  edgesOf(scene, context, weak, {
    alpha: (strength) => 0.04 + 0.4 * strength,
    width: (strength) => (strength < 0.5 ? hairline() : 0.4 + 1.6 * strength),
  });
  // Where there are very many, none may stand out as if it were alone.
  const fade = fading(strong.length, 120, 0.4, 0.3);
  edgesOf(scene, context, strong, {
    alpha: (strength) => Math.min((0.1 + 1.5 * strength) * fade, 0.95),
    width: (strength) => (strength < 0.15 ? hairline() : 0.6 + 3.6 * strength),
  });
  nodesOf(scene, context, lit);
}

/** Draw what is selected and pinned, with its edges. */
export function heldPass(context: Context, scene: Scene): void {
  const { state, layout, look, tokens, view, held } = scene;
  const [selected, pinned] = [state.nodes(state.selected), state.nodes(state.pinned)];
  drawFocus(context, scene, held);
  nodesOf(scene, context, new Set([...selected, ...pinned]));
  // The axes stay in sight, the tokens below and the layers on the left, over what is scrolled beneath them.
  context.save();
  context.translate(0, view.top);
  drawTokens(context, layout, tokens, look, view);
  context.restore();
  context.save();
  context.translate(view.left, 0);
  drawAxis(context, layout, look, view);
  context.restore();
  for (const node of pinned) drawRing(context, layout, node, look.colours.text, 2.5, 1.5);
  for (const node of selected) drawRing(context, layout, node, look.colours.accent, 4, 2);
}

/** Draw what a search found, and the names of the pinned nodes. */
export function namesPass(context: Context, scene: Scene): void {
  const { graph, state, layout, look, shown, view, zoomed, marked } = scene;
  for (const node of marked) if (shown.nodes[node]) drawHalo(context, layout, node, look.colours.found);
  context.font = look.small;
  const named = state
    .nodes(state.pinned)
    // A logit's box holds its name already.
    .filter((node) => !layout.boxes.get(node)?.text)
    .map((node) => ({ node, text: shorten(nameOf(state.facts(graph.ids[node]!)!), 24) }));
  const anchors: Anchor[] = named.map(({ node, text }) => ({
    x: layout.x[node]!,
    y: layout.y[node]!,
    radius: layout.radius[node]! + 3,
    width: context.measureText(text).width + 12,
    height: 18,
  }));
  const bounds = {
    left: view.left + AXIS,
    top: view.top + 2,
    right: view.left + view.width - 2,
    bottom: view.top + view.height - (zoomed ? tokenBand(layout) : 2),
  };
  placeLabels(anchors, bounds).forEach((place, at) => {
    const { node, text } = named[at]!;
    if (place) drawLabel(context, layout, node, place, text, look);
  });
}

/** Draw the node under the pointer with its edges, and the rectangle that the pointer draws. */
export function hoverPass(
  context: Context,
  scene: Scene,
  node: number,
  rectangle: readonly [from: Point, to: Point] | null,
): void {
  const { graph, state, layout, look, shown } = scene;
  const { accent } = look.colours;
  if (node >= 0) {
    drawFocus(context, scene, hoverFocus(graph, shown.nodes, node, state.links));
    // A node of a list that pruning hides is shown where it would stand.
    if (!shown.nodes[node]) context.setLineDash([3, 2]);
    drawRing(context, layout, node, accent, 3, 2);
    context.setLineDash([]);
  }
  if (!rectangle) return;
  const [from, to] = rectangle;
  context.fillStyle = context.strokeStyle = accent;
  context.lineWidth = 1;
  context.globalAlpha = 0.12;
  context.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
  context.globalAlpha = 1;
  context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
}
