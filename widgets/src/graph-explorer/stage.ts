/** The graph on its canvases: where it stands, at which zoom, and what of it has to be drawn anew. */

import { h } from "../kit/dom";
import { visible } from "./describe";
import { drawFrame, type Look } from "./draw";
import { type Focus, heldFocus } from "./focus";
import { Hits } from "./hit";
import { LAYERS, makeLayers } from "./layers";
import { AXIS, type Layout, layOut, type Texts, tokenBand } from "./layout";
import { boxTexts, edgesPass, heldPass, hoverPass, namesPass, nodesPass, type Scene } from "./passes";
import type { Picture } from "./picture";
import { type Gestures, type Point, watchPointer } from "./pointer";
import type { Shown } from "./prune";
import type { State } from "./state";
import { start } from "./walk";
import { clampZoom, locate, placeOf, STEP } from "./zoom";

/** So many edges are drawn in one frame: a step of the slider shows the strongest at once, the others follow. */
const SLICE = 1500;

/**
 * @param shown is what is drawn at first.
 * @param zoomed is called when the zoom has changed.
 */
export function makeStage(state: State, shown: Shown, gestures: Gestures, zoomed: () => void) {
  const { graph } = state;
  const tokens = graph.info.tokens.map(visible);
  const boxes = boxTexts(graph);
  let look: Look | null = null;
  let layout: Layout | null = null;
  let hits: Hits | null = null;
  /** Those among which the pointer was last looked up. */
  let looked: Hits | null = null;
  let held: Focus = { strong: [], weak: [], lit: new Set() };
  let hovered = -1;
  let marked: number[] = [];
  let width = 0;
  let height = 0;
  /** Whether a layout was shown before: where a long prompt is scrolled to is the user's choice from then on. */
  let seen = false;
  let zoom = 1;

  const layers = makeLayers(
    {
      frame: scrolled((context, scene) => drawFrame(context, scene.layout, scene.look)),
      edges: scrolled((context, scene, pass) => {
        const { edges } = scene.shown;
        // The most influential edges come first; what is drawn later goes beneath them.
        if (pass > 0) context.globalCompositeOperation = "destination-over";
        edgesPass(context, scene, edges.subarray(pass * SLICE, (pass + 1) * SLICE));
        return (pass + 1) * SLICE < edges.length;
      }),
      nodes: scrolled(nodesPass),
      held: scrolled(heldPass),
      hover: scrolled((context, scene) => hoverPass(context, scene, hovered, pointer.rectangle)),
      names: scrolled(namesPass),
    },
    () => {
      layItOut();
      if (looked === hits) return;
      looked = hits;
      pointer.again(hovered);
    },
  );
  /** The canvas that answers: it has the focus, hears the pointer and names the graph. */
  const canvas = layers.elements.hover;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.dataset.testid = "graph-canvas";
  for (const layer of LAYERS) {
    if (layer !== "hover") layers.elements[layer].setAttribute("aria-hidden", "true");
  }
  const pane = h("div", "wbx-window", ...Object.values(layers.elements));
  /** As wide as the whole graph; the window with the canvases stays in sight while it is scrolled. */
  const spacer = h("div", "wbx-spacer", pane);
  /** Its size is that of the canvases: the stage's without the scroll bar of a long prompt. */
  const scroller = h("div", { class: "wbx-scroller", onscroll: redraw }, spacer);
  const element = h("div", "wbx-stage", scroller);
  const pointer = watchPointer(
    canvas,
    {
      get hits() {
        return hits;
      },
      at,
      pan,
      zoomBy,
      resetZoom,
      changed: () => layers.invalidate("hover"),
    },
    gestures,
  );

  /** Return what there is to draw; null before the first layout. */
  function scene(): Scene | null {
    const { scrollLeft: left, scrollTop: top } = scroller;
    const view = { left, top, width, height };
    return look && layout && { graph, state, look, layout, shown, tokens, boxes, view, zoomed: zoom > 1, held, marked };
  }

  /** Make a layer's pass one that draws what is scrolled into sight. */
  function scrolled(draw: (context: CanvasRenderingContext2D, scene: Scene, pass: number) => unknown) {
    return (context: CanvasRenderingContext2D, pass: number): boolean => {
      const now = scene();
      if (!now) return false;
      context.save();
      context.translate(-now.view.left, -now.view.top);
      const more = draw(context, now, pass);
      context.restore();
      return more === true;
    };
  }

  /** Take the size of the element; call when it changes. */
  function resize(): void {
    const { clientWidth, clientHeight } = scroller;
    if (clientWidth === 0 || clientHeight === 0) return;
    width = clientWidth;
    height = clientHeight;
    layout = null;
    pane.style.width = `${width}px`;
    pane.style.height = `${height}px`;
    layers.resize(width, height);
    // In the same frame as the change: an empty canvas would flicker.
    layers.flush();
  }

  function setLook(other: Look): void {
    look = other;
    layout = null;
    redraw();
  }

  /** Draw other nodes; nothing happens when they are the same ones. */
  function setShown(other: Shown): void {
    const same = other.nodes.every((drawn, node) => drawn === shown.nodes[node]);
    if (same) return;
    shown = other;
    layout = null;
    redraw();
  }

  /** The selection, the pins or their names changed. */
  function refreshHeld(): void {
    const { selected, pinned, links } = state;
    held = heldFocus(graph, shown.nodes, state.nodes(selected), state.nodes(pinned), links);
    markFocus();
    layers.invalidate("held", "hover", "names");
  }

  function setHovered(node: number): void {
    if (node === hovered) return;
    hovered = node;
    markFocus();
    layers.invalidate("hover");
  }

  /** Mark the nodes that a search found. */
  function setMarked(nodes: number[]): void {
    if (nodes.length === 0 && marked.length === 0) return;
    marked = nodes;
    layers.invalidate("names");
  }

  function markFocus(): void {
    const some = hovered >= 0 || held.lit.size > 0 || state.selected.length > 0;
    element.dataset.focus = String(some);
  }

  /** Return the whole graph as it is drawn at present. */
  function picture(): Picture | null {
    const now = scene();
    if (!now) return null;
    // No part of it is out of sight.
    const whole = { ...now, view: { left: 0, top: 0, width: now.layout.width, height: now.layout.height } };
    const dim = element.dataset.focus === "true";
    const layer = (draw: (context: CanvasRenderingContext2D, scene: Scene) => void, opacity = 1) => ({
      opacity,
      draw: (context: CanvasRenderingContext2D) => draw(context, whole),
    });
    return {
      width: Math.ceil(whole.view.width),
      height: Math.ceil(whole.view.height),
      background: now.look.colours.background,
      layers: [
        layer((context) => drawFrame(context, whole.layout, whole.look)),
        // As the style sheet has it on the screen.
        layer((context) => edgesPass(context, whole, whole.shown.edges), dim ? 0.18 : 1),
        layer(nodesPass, dim ? 0.4 : 1),
        layer(heldPass),
        layer(namesPass),
      ],
    };
  }

  /** Return where a node stands, in CSS pixels from the canvas' top left corner; null when it is not drawn. */
  function position(node: number): Point | null {
    layItOut();
    if (!layout || !shown.nodes[node]) return null;
    return { x: layout.x[node]! - scroller.scrollLeft, y: layout.y[node]! - scroller.scrollTop };
  }

  /** Scroll a node of a long prompt, or of a graph that is spread out, into sight. */
  function reveal(node: number): void {
    const at = position(node);
    if (!at) return;
    const bottom = height - tokenBand(layout!);
    if (at.x <= AXIS + 8 || at.x >= width - 24) scroller.scrollLeft += at.x - (width + AXIS) / 2;
    if (at.y <= 8 || at.y >= bottom) scroller.scrollTop += at.y - bottom / 2;
  }

  /** Zoom in or out around a point of the view, by default its middle. */
  function zoomBy(factor: number, at: Point = { x: width / 2, y: height / 2 }): void {
    const wanted = clampZoom(zoom * factor);
    if (wanted === zoom || !layout) return;
    const spot = locate(layout, at.x + scroller.scrollLeft, at.y + scroller.scrollTop);
    zoom = wanted;
    layout = null;
    layItOut();
    const { x, y } = placeOf(layout!, spot);
    scroller.scrollLeft = x - at.x;
    scroller.scrollTop = y - at.y;
    redraw();
    zoomed();
  }

  function resetZoom(): void {
    zoomBy(0);
  }

  /** Shift the part of the graph that is in sight. */
  function pan(dx: number, dy: number): void {
    scroller.scrollLeft += dx;
    scroller.scrollTop += dy;
  }

  /** Return where an event happened, in the layout's coordinates. */
  function at(event: MouseEvent): Point {
    const { left, top } = canvas.getBoundingClientRect();
    return { x: event.clientX - left + scroller.scrollLeft, y: event.clientY - top + scroller.scrollTop };
  }

  function redraw(): void {
    layers.invalidate(...LAYERS);
  }

  function layItOut(): void {
    if (layout || !look || width === 0) return;
    layout = layOut(graph, shown.nodes, measured(look), { width, height, zoom });
    hits = new Hits(layout);
    spacer.style.width = `${layout.width}px`;
    // As high as its place: a scroll bar that a fraction of a pixel brought would change the place.
    spacer.style.height = zoom === 1 ? "100%" : `${layout.height}px`;
    scroller.style.overflowY = zoom === 1 ? "hidden" : "auto";
    refreshHeld();
    if (!seen) reveal(graph.index.get(state.current ?? "") ?? start(graph, shown.nodes));
    seen = true;
  }

  function measured(look: Look): Texts {
    const context = canvas.getContext("2d");
    const widthOf = (text: string, font: string) => {
      if (!context) return 7 * text.length;
      context.font = font;
      return context.measureText(text).width;
    };
    return {
      tokens: tokens.map((text) => widthOf(text, look.token)),
      logits: new Map([...boxes].map(([node, text]) => [node, widthOf(text, look.small)])),
    };
  }

  return {
    element,
    canvas,
    scroller,
    get hits() {
      return hits;
    },
    get layout() {
      return layout;
    },
    get shown() {
      return shown;
    },
    /** How far the graph is spread out, from 1. */
    get zoom() {
      return zoom;
    },
    resize,
    setLook,
    setShown,
    refreshHeld,
    setHovered,
    setMarked,
    /** The edges have other colours. */
    recolour: () => layers.invalidate("edges", "held", "hover"),
    picture,
    position,
    reveal,
    /** Give up the rectangle that is being drawn; return whether there was one. */
    cancelDrag: pointer.cancel,
    /** With the space bar held, a drag shifts the graph. */
    holdSpace: pointer.holdSpace,
    zoomIn: () => zoomBy(STEP),
    zoomOut: () => zoomBy(1 / STEP),
    resetZoom,
    /** Draw what is stale without waiting for the next frame. */
    flush: layers.flush,
    dispose: layers.dispose,
  };
}

export type Stage = ReturnType<typeof makeStage>;
