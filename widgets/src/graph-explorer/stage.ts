/** The graph on its canvases: what is drawn where, at which zoom. */

import { h } from "../kit/dom";
import { percent } from "../kit/format";
import { shorten } from "../kit/tokens";
import { type Graph, LOGIT } from "./data";
import { nameOf, visible } from "./describe";
import {
  drawAxis,
  drawEdges,
  drawFrame,
  drawHalo,
  drawLabel,
  drawNodes,
  drawRing,
  drawTokens,
  hairline,
  type Look,
} from "./draw";
import { type Focus, heldFocus, hoverFocus } from "./focus";
import { Hits } from "./hit";
import { type Anchor, placeLabels } from "./labels";
import { LAYERS, Layers } from "./layers";
import { AXIS, type Layout, layOut, type Texts, tokenBand } from "./layout";
import type { Picture } from "./picture";
import { type Gestures, type Point, Pointer } from "./pointer";
import type { Shown } from "./prune";
import type { State } from "./state";
import { start } from "./walk";
import { clampZoom, locate, placeOf, STEP } from "./zoom";

const NONE: Focus = { strong: [], weak: [], lit: new Set() };
/** So many edges are drawn in one frame: a step of the slider shows the strongest at once, the others follow. */
const SLICE = 1500;

export class Stage {
  readonly element: HTMLElement;
  /** The canvas that answers: it has the focus, hears the pointer and names the graph. */
  readonly canvas: HTMLCanvasElement;
  readonly #scroller: HTMLElement;
  /** As wide as the whole graph; the window with the canvases stays in sight while it is scrolled. */
  readonly #spacer: HTMLElement;
  readonly #window: HTMLElement;
  readonly #graph: Graph;
  readonly #state: State;
  readonly #pointer: Pointer;
  readonly #zoomed: () => void;
  readonly #layers: Layers;
  readonly #tokens: string[];
  readonly #boxTexts: Map<number, string>;
  #look: Look | null = null;
  #shown: Shown;
  #layout: Layout | null = null;
  #hits: Hits | null = null;
  /** Those among which the pointer was last looked up. */
  #looked: Hits | null = null;
  #held: Focus = NONE;
  #hovered = -1;
  #marked: number[] = [];
  #width = 0;
  #height = 0;
  /** Whether a layout was shown before: where a long prompt is scrolled to is the user's choice from then on. */
  #seen = false;
  #zoom = 1;
  #whole = false;

  /** @param zoomed is called when the zoom has changed. */
  constructor(state: State, shown: Shown, gestures: Gestures, zoomed: () => void) {
    this.#state = state;
    this.#graph = state.graph;
    this.#shown = shown;
    this.#zoomed = zoomed;
    const { info, kind, token, probability } = this.#graph;
    this.#tokens = info.tokens.map(visible);
    this.#boxTexts = new Map(
      [...kind.keys()]
        .filter((node) => kind[node] === LOGIT)
        .map((node) => {
          // An output that is no token (a difference of two, say) has no probability.
          const share = Number.isNaN(probability[node]!) ? "" : `  ${percent(probability[node]!)}`;
          return [node, `${shorten(visible(token[node]!), 14)}${share}`];
        }),
    );
    this.#layers = new Layers(
      {
        frame: (context) => this.#scrolled(context, (look, layout) => drawFrame(context, layout, look)),
        edges: (context, pass) => {
          this.#scrolled(context, (look, layout) => this.#drawEdges(context, look, layout, pass));
          return (pass + 1) * SLICE < this.#shown.edges.length;
        },
        nodes: (context) => this.#scrolled(context, (look, layout) => this.#drawNodes(context, look, layout)),
        held: (context) => this.#scrolled(context, (look, layout) => this.#drawHeld(context, look, layout)),
        hover: (context) => this.#scrolled(context, (look, layout) => this.#drawHover(context, look, layout)),
        names: (context) => this.#scrolled(context, (look, layout) => this.#drawNames(context, look, layout)),
      },
      () => {
        this.#layOut();
        if (this.#looked === this.#hits) return;
        this.#looked = this.#hits;
        this.#pointer.again(this.#hovered);
      },
    );
    this.canvas = this.#layers.elements.hover;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.dataset.testid = "graph-canvas";
    for (const layer of LAYERS) {
      if (layer !== "hover") this.#layers.elements[layer].setAttribute("aria-hidden", "true");
    }
    this.#window = h("div", "wbx-window", ...Object.values(this.#layers.elements));
    this.#spacer = h("div", "wbx-spacer", this.#window);
    this.#scroller = h("div", { class: "wbx-scroller", onscroll: () => this.#redraw() }, this.#spacer);
    this.element = h("div", "wbx-stage", this.#scroller);
    this.#pointer = new Pointer(this.canvas, this, gestures);
  }

  get hits(): Hits | null {
    return this.#hits;
  }

  /** How far the graph is spread out, from 1. */
  get zoom(): number {
    return this.#zoom;
  }

  get layout(): Layout | null {
    return this.#layout;
  }

  get shown(): Shown {
    return this.#shown;
  }

  /** The element whose size the canvases have: that of the stage without the scroll bar of a long prompt. */
  get sized(): HTMLElement {
    return this.#scroller;
  }

  /** Take the size of the element; call when it changes. */
  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#scroller;
    if (width === 0 || height === 0) return;
    this.#width = width;
    this.#height = height;
    this.#layout = null;
    this.#window.style.width = `${width}px`;
    this.#window.style.height = `${height}px`;
    this.#layers.resize(width, height);
    // In the same frame as the change: an empty canvas would flicker.
    this.#layers.flush();
  }

  setLook(look: Look): void {
    this.#look = look;
    this.#layout = null;
    this.#redraw();
  }

  /** Draw other nodes; nothing happens when they are the same ones. */
  setShown(shown: Shown): void {
    const same = shown.nodes.every((drawn, node) => drawn === this.#shown.nodes[node]);
    if (same) return;
    this.#shown = shown;
    this.#layout = null;
    this.#redraw();
  }

  /** The selection, the pins or their names changed. */
  refreshHeld(): void {
    const { selected, pinned, links } = this.#state;
    this.#held = heldFocus(
      this.#graph,
      this.#shown.nodes,
      this.#state.nodes(selected),
      this.#state.nodes(pinned),
      links,
    );
    this.#markFocus();
    this.#layers.invalidate("held", "hover", "names");
  }

  setHovered(node: number): void {
    if (node === this.#hovered) return;
    this.#hovered = node;
    this.#markFocus();
    this.#layers.invalidate("hover");
  }

  /** The edges have other colours. */
  recolour(): void {
    this.#layers.invalidate("edges", "held", "hover");
  }

  /** Mark the nodes that a search found. */
  setMarked(nodes: number[]): void {
    if (nodes.length === 0 && this.#marked.length === 0) return;
    this.#marked = nodes;
    this.#layers.invalidate("names");
  }

  /** Return the whole graph as it is drawn at present. */
  picture(): Picture | null {
    const [look, layout] = [this.#look, this.#layout];
    if (!look || !layout) return null;
    const dim = this.element.dataset.focus === "true";
    const layer = (opacity: number, draw: (context: CanvasRenderingContext2D) => void) => ({
      opacity,
      draw: (context: CanvasRenderingContext2D) => {
        // No part of it is out of sight.
        this.#whole = true;
        try {
          draw(context);
        } finally {
          this.#whole = false;
        }
      },
    });
    return {
      width: Math.ceil(layout.width),
      height: Math.ceil(layout.height),
      background: look.colours.background,
      layers: [
        layer(1, (context) => drawFrame(context, layout, look)),
        // As the style sheet has it on the screen.
        layer(dim ? 0.18 : 1, (context) => this.#drawAllEdges(context, look, layout, this.#shown.edges)),
        layer(dim ? 0.4 : 1, (context) => this.#drawNodes(context, look, layout)),
        layer(1, (context) => this.#drawHeld(context, look, layout)),
        layer(1, (context) => this.#drawNames(context, look, layout)),
      ],
    };
  }

  /** The part of the layout that is in sight. */
  get #view(): { left: number; top: number; width: number; height: number } {
    if (this.#whole) return { left: 0, top: 0, width: this.#layout!.width, height: this.#layout!.height };
    const { scrollLeft: left, scrollTop: top } = this.#scroller;
    return { left, top, width: this.#width, height: this.#height };
  }

  /** Draw what is stale without waiting for the next frame. */
  flush(): void {
    this.#layers.flush();
  }

  /** Return where a node stands, in CSS pixels from the canvas' top left corner; null when it is not drawn. */
  position(node: number): Point | null {
    if (!this.#layout) this.#layOut();
    if (!this.#layout || !this.#shown.nodes[node]) return null;
    const { scrollLeft, scrollTop } = this.#scroller;
    return { x: this.#layout.x[node]! - scrollLeft, y: this.#layout.y[node]! - scrollTop };
  }

  /** Scroll a node of a long prompt, or of a graph that is spread out, into sight. */
  reveal(node: number): void {
    const at = this.position(node);
    if (!at) return;
    const bottom = this.#height - tokenBand(this.#layout!);
    if (at.x <= AXIS + 8 || at.x >= this.#width - 24) this.#scroller.scrollLeft += at.x - (this.#width + AXIS) / 2;
    if (at.y <= 8 || at.y >= bottom) this.#scroller.scrollTop += at.y - bottom / 2;
  }

  /** Give up the rectangle that is being drawn; return whether there was one. */
  cancelDrag(): boolean {
    return this.#pointer.cancel();
  }

  /** With the space bar held, a drag shifts the graph. */
  holdSpace(held: boolean): void {
    this.#pointer.holdSpace(held);
  }

  /** Zoom in or out around a point of the view, by default its middle. */
  zoomBy(factor: number, at: Point = { x: this.#width / 2, y: this.#height / 2 }): void {
    const zoom = clampZoom(this.#zoom * factor);
    if (zoom === this.#zoom || !this.#layout) return;
    const { scrollLeft, scrollTop } = this.#scroller;
    const spot = locate(this.#layout, at.x + scrollLeft, at.y + scrollTop);
    this.#zoom = zoom;
    this.#layout = null;
    this.#layOut();
    const { x, y } = placeOf(this.#layout!, spot);
    this.#scroller.scrollLeft = x - at.x;
    this.#scroller.scrollTop = y - at.y;
    this.#redraw();
    this.#zoomed();
  }

  zoomIn(): void {
    this.zoomBy(STEP);
  }

  zoomOut(): void {
    this.zoomBy(1 / STEP);
  }

  resetZoom(): void {
    this.zoomBy(0);
  }

  /** Shift the part of the graph that is in sight. */
  pan(dx: number, dy: number): void {
    this.#scroller.scrollLeft += dx;
    this.#scroller.scrollTop += dy;
  }

  /** Return where an event happened, in the layout's coordinates. */
  at(event: MouseEvent): Point {
    const box = this.canvas.getBoundingClientRect();
    const { scrollLeft, scrollTop } = this.#scroller;
    return { x: event.clientX - box.left + scrollLeft, y: event.clientY - box.top + scrollTop };
  }

  /** The pointer's rectangle changed. */
  changed(): void {
    this.#layers.invalidate("hover");
  }

  dispose(): void {
    this.#layers.dispose();
  }

  #redraw(): void {
    this.#layers.invalidate(...LAYERS);
  }

  #layOut(): void {
    if (this.#layout || !this.#look || this.#width === 0) return;
    this.#layout = layOut(this.#graph, this.#shown.nodes, this.#measure(this.#look), {
      width: this.#width,
      height: this.#height,
      zoom: this.#zoom,
    });
    this.#hits = new Hits(this.#layout);
    this.#spacer.style.width = `${this.#layout.width}px`;
    // As high as its place: a scroll bar that a fraction of a pixel brought would change the place.
    this.#spacer.style.height = this.#zoom === 1 ? "100%" : `${this.#layout.height}px`;
    this.#scroller.style.overflowY = this.#zoom === 1 ? "hidden" : "auto";
    this.refreshHeld();
    if (!this.#seen)
      this.reveal(this.#graph.index.get(this.#state.current ?? "") ?? start(this.#graph, this.#shown.nodes));
    this.#seen = true;
  }

  #measure(look: Look): Texts {
    const context = this.canvas.getContext("2d");
    const width = (text: string, font: string) => {
      if (!context) return 7 * text.length;
      context.font = font;
      return context.measureText(text).width;
    };
    return {
      tokens: this.#tokens.map((text) => width(text, look.token)),
      logits: new Map([...this.#boxTexts].map(([node, text]) => [node, width(text, look.small)])),
    };
  }

  #markFocus(): void {
    const some = this.#hovered >= 0 || this.#held.lit.size > 0 || this.#state.selected.length > 0;
    this.element.dataset.focus = String(some);
  }

  #scrolled(context: CanvasRenderingContext2D, draw: (look: Look, layout: Layout) => void): false {
    if (!this.#look || !this.#layout) return false;
    context.save();
    context.translate(-this.#scroller.scrollLeft, -this.#scroller.scrollTop);
    draw(this.#look, this.#layout);
    context.restore();
    return false;
  }

  #drawEdges(context: CanvasRenderingContext2D, look: Look, layout: Layout, pass: number): void {
    // The most influential edges come first; what is drawn later goes beneath them.
    if (pass > 0) context.globalCompositeOperation = "destination-over";
    this.#drawAllEdges(context, look, layout, this.#shown.edges.subarray(pass * SLICE, (pass + 1) * SLICE));
  }

  #drawAllEdges(context: CanvasRenderingContext2D, look: Look, layout: Layout, edges: Int32Array): void {
    const dark = look.colours.dark;
    // The more there are, the fainter each: the picture stays about as dark.
    const fade = Math.min((6000 / Math.max(this.#shown.edges.length, 1)) ** 0.5, 1);
    drawEdges(context, this.#graph, layout, edges, look, {
      by: this.#state.colours,
      alpha: (strength) => ((dark ? 0.05 : 0.04) + 0.5 * strength ** 1.5) * fade,
      width: (strength) => (strength < 0.5 ? hairline() : 0.4 + 2 * strength),
    });
  }

  #drawNodes(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    const nodes = [...this.#graph.kind.keys()].filter((node) => this.#shown.nodes[node]);
    drawNodes(context, this.#graph, layout, nodes, look, this.#boxTexts);
  }

  #drawFocus(context: CanvasRenderingContext2D, look: Look, layout: Layout, focus: Focus): void {
    drawEdges(context, this.#graph, layout, focus.weak, look, {
      by: this.#state.colours,
      alpha: (strength) => 0.04 + 0.4 * strength,
      width: (strength) => (strength < 0.5 ? hairline() : 0.4 + 1.6 * strength),
    });
    // Where there are very many, none may stand out as if it were alone.
    const fade = Math.max(Math.min((120 / Math.max(focus.strong.length, 1)) ** 0.4, 1), 0.3);
    drawEdges(context, this.#graph, layout, focus.strong, look, {
      by: this.#state.colours,
      alpha: (strength) => Math.min((0.1 + 1.5 * strength) * fade, 0.95),
      width: (strength) => (strength < 0.15 ? hairline() : 0.6 + 3.6 * strength),
    });
    drawNodes(context, this.#graph, layout, focus.lit, look, this.#boxTexts);
  }

  #drawHeld(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    const { selected, pinned } = this.#state;
    this.#drawFocus(context, look, layout, this.#held);
    drawNodes(context, this.#graph, layout, new Set(this.#state.nodes([...selected, ...pinned])), look, this.#boxTexts);
    // The axes stay in sight, the tokens below and the layers on the left, over what is scrolled beneath them.
    const view = this.#view;
    context.save();
    context.translate(0, view.top);
    drawTokens(context, layout, this.#tokens, look, view);
    context.restore();
    context.save();
    context.translate(view.left, 0);
    drawAxis(context, layout, look, view);
    context.restore();
    for (const node of this.#state.nodes(pinned)) drawRing(context, layout, node, look.colours.text, 2.5, 1.5);
    for (const node of this.#state.nodes(selected)) drawRing(context, layout, node, look.colours.accent, 4, 2);
  }

  #drawNames(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    for (const node of this.#marked) {
      if (this.#shown.nodes[node]) drawHalo(context, layout, node, look.colours.found);
    }
    context.font = look.small;
    const named = this.#state
      .nodes(this.#state.pinned)
      // A logit's box holds its name already.
      .filter((node) => !layout.boxes.get(node)?.text)
      .map((node) => {
        const facts = this.#state.facts(this.#graph.ids[node]!)!;
        return { node, text: shorten(nameOf(facts), 24) };
      });
    const anchors: Anchor[] = named.map(({ node, text }) => ({
      x: layout.x[node]!,
      y: layout.y[node]!,
      radius: layout.radius[node]! + 3,
      width: context.measureText(text).width + 12,
      height: 18,
    }));
    const { left, top, width, height } = this.#view;
    const bounds = {
      left: left + AXIS,
      top: top + 2,
      right: left + width - 2,
      bottom: top + height - (this.#zoom > 1 ? tokenBand(layout) : 2),
    };
    placeLabels(anchors, bounds).forEach((place, at) => {
      const { node, text } = named[at]!;
      if (place) drawLabel(context, layout, node, place, text, look);
    });
  }

  #drawHover(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    if (this.#hovered >= 0) {
      const node = this.#hovered;
      this.#drawFocus(context, look, layout, hoverFocus(this.#graph, this.#shown.nodes, node, this.#state.links));
      // A node of a list that pruning hides is shown where it would stand.
      if (!this.#shown.nodes[node]) context.setLineDash([3, 2]);
      drawRing(context, layout, node, look.colours.accent, 3, 2);
      context.setLineDash([]);
    }
    const rectangle = this.#pointer.rectangle;
    if (rectangle) {
      const [from, to] = rectangle;
      context.fillStyle = context.strokeStyle = look.colours.accent;
      context.lineWidth = 1;
      context.globalAlpha = 0.12;
      context.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
      context.globalAlpha = 1;
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
  }
}
