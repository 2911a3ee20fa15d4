/** The graph on its canvases: what is drawn where, and what the pointer does to it. */

import { h } from "../kit/dom";
import { percent } from "../kit/format";
import { shorten } from "../kit/tokens";
import { type Graph, LOGIT } from "./data";
import { nameOf, visible } from "./describe";
import { drawAxis, drawEdges, drawFrame, drawLabel, drawNodes, drawRing, hairline, type Look } from "./draw";
import { type Focus, heldFocus, hoverFocus } from "./focus";
import { Hits } from "./hit";
import { type Anchor, placeLabels } from "./labels";
import { LAYERS, Layers } from "./layers";
import { AXIS, type Layout, layOut, type Texts } from "./layout";
import type { Shown } from "./prune";
import type { State } from "./state";
import { start } from "./walk";

/** What the user did to the graph; −1 is no node. */
export interface Gestures {
  hover(node: number): void;
  click(node: number, event: PointerEvent): void;
  /** A rectangle was drawn around some nodes. */
  enclose(nodes: number[], event: PointerEvent): void;
}

interface Point {
  x: number;
  y: number;
}

const NONE: Focus = { strong: [], weak: [], lit: new Set() };
const DRAG = 4;
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
  readonly #gestures: Gestures;
  readonly #layers: Layers;
  readonly #tokens: string[];
  readonly #boxTexts: Map<number, string>;
  #look: Look | null = null;
  #shown: Shown;
  #layout: Layout | null = null;
  #hits: Hits | null = null;
  #held: Focus = NONE;
  #hovered = -1;
  #width = 0;
  #height = 0;
  /** Whether a layout was shown before: where a long prompt is scrolled to is the user's choice from then on. */
  #seen = false;
  #pressed: Point | null = null;
  #pointer: Point | null = null;

  constructor(state: State, shown: Shown, gestures: Gestures) {
    this.#state = state;
    this.#graph = state.graph;
    this.#shown = shown;
    this.#gestures = gestures;
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
        frame: (context) => this.#scrolled(context, (look, layout) => drawFrame(context, layout, this.#tokens, look)),
        edges: (context, pass) => {
          this.#scrolled(context, (look, layout) => this.#drawEdges(context, look, layout, pass));
          return (pass + 1) * SLICE < this.#shown.edges.length;
        },
        nodes: (context) => this.#scrolled(context, (look, layout) => this.#drawNodes(context, look, layout)),
        held: (context) => this.#scrolled(context, (look, layout) => this.#drawHeld(context, look, layout)),
        hover: (context) => this.#scrolled(context, (look, layout) => this.#drawHover(context, look, layout)),
        names: (context) => this.#scrolled(context, (look, layout) => this.#drawNames(context, look, layout)),
      },
      () => this.#layOut(),
    );
    this.canvas = this.#layers.elements.hover;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.dataset.testid = "graph-canvas";
    for (const layer of LAYERS) {
      if (layer !== "hover") this.#layers.elements[layer].setAttribute("aria-hidden", "true");
    }
    this.#window = h("div", { class: "wb-explorer-window" }, ...Object.values(this.#layers.elements));
    this.#spacer = h("div", { class: "wb-explorer-spacer" }, this.#window);
    this.#scroller = h("div", { class: "wb-explorer-scroller", onscroll: () => this.#redraw() }, this.#spacer);
    this.element = h("div", { class: "wb-explorer-stage" }, this.#scroller);
    this.canvas.addEventListener("pointerdown", this.#down);
    this.canvas.addEventListener("pointermove", this.#move);
    this.canvas.addEventListener("pointerup", this.#up);
    this.canvas.addEventListener("pointercancel", () => this.#release());
    this.canvas.addEventListener("pointerleave", () => {
      if (!this.#pressed) this.#gestures.hover(-1);
    });
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
    const { index } = this.#graph;
    const nodes = (ids: string[]) => ids.map((id) => index.get(id)).filter((node) => node !== undefined);
    this.#held = heldFocus(this.#graph, this.#shown.nodes, nodes(this.#state.selected), nodes(this.#state.pinned));
    this.#markFocus();
    this.#layers.invalidate("held", "hover", "names");
  }

  setHovered(node: number): void {
    if (node === this.#hovered) return;
    this.#hovered = node;
    this.#markFocus();
    this.#layers.invalidate("hover");
  }

  /** Draw what is stale without waiting for the next frame. */
  flush(): void {
    this.#layers.flush();
  }

  /** Return where a node stands, in CSS pixels from the canvas' top left corner; null when it is not drawn. */
  position(node: number): Point | null {
    if (!this.#layout) this.#layOut();
    if (!this.#layout || !this.#shown.nodes[node]) return null;
    return { x: this.#layout.x[node]! - this.#scroller.scrollLeft, y: this.#layout.y[node]! };
  }

  /** Scroll a node of a long prompt into sight. */
  reveal(node: number): void {
    const at = this.position(node);
    if (!at || (at.x > AXIS + 8 && at.x < this.#width - 24)) return;
    this.#scroller.scrollLeft += at.x - (this.#width + AXIS) / 2;
  }

  /** Give up the rectangle that is being drawn; return whether there was one. */
  cancelDrag(): boolean {
    const dragging = this.#dragging();
    this.#release();
    return dragging;
  }

  dispose(): void {
    this.#layers.dispose();
  }

  #redraw(): void {
    this.#layers.invalidate(...LAYERS);
  }

  #layOut(): void {
    if (this.#layout || !this.#look || this.#width === 0) return;
    this.#layout = layOut(this.#graph, this.#shown.nodes, this.#measure(this.#look), this.#width, this.#height);
    this.#hits = new Hits(this.#layout);
    this.#spacer.style.width = `${this.#layout.width}px`;
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
    context.translate(-this.#scroller.scrollLeft, 0);
    draw(this.#look, this.#layout);
    context.restore();
    return false;
  }

  #drawEdges(context: CanvasRenderingContext2D, look: Look, layout: Layout, pass: number): void {
    const dark = look.colours.dark;
    // The most influential edges come first; what is drawn later goes beneath them.
    if (pass > 0) context.globalCompositeOperation = "destination-over";
    const edges = this.#shown.edges.subarray(pass * SLICE, (pass + 1) * SLICE);
    // The more there are, the fainter each: the picture stays about as dark.
    const fade = Math.min((6000 / Math.max(this.#shown.edges.length, 1)) ** 0.5, 1);
    drawEdges(context, this.#graph, layout, edges, look, {
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
      alpha: (strength) => 0.04 + 0.4 * strength,
      width: (strength) => (strength < 0.5 ? hairline() : 0.4 + 1.6 * strength),
    });
    // Where there are very many, none may stand out as if it were alone.
    const fade = Math.max(Math.min((120 / Math.max(focus.strong.length, 1)) ** 0.4, 1), 0.3);
    drawEdges(context, this.#graph, layout, focus.strong, look, {
      alpha: (strength) => Math.min((0.1 + 1.5 * strength) * fade, 0.95),
      width: (strength) => (strength < 0.15 ? hairline() : 0.6 + 3.6 * strength),
    });
    drawNodes(context, this.#graph, layout, focus.lit, look, this.#boxTexts);
  }

  #drawHeld(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    const { index } = this.#graph;
    const { selected, pinned } = this.#state;
    const known = (ids: string[]) => ids.map((id) => index.get(id)).filter((node) => node !== undefined);
    this.#drawFocus(context, look, layout, this.#held);
    drawNodes(context, this.#graph, layout, new Set(known([...selected, ...pinned])), look, this.#boxTexts);
    context.save();
    context.translate(this.#scroller.scrollLeft, 0);
    drawAxis(context, layout, look);
    context.restore();
    for (const node of known(pinned)) drawRing(context, layout, node, look.colours.text, 2.5, 1.5);
    for (const node of known(selected)) drawRing(context, layout, node, look.colours.accent, 4, 2);
  }

  #drawNames(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    context.font = look.small;
    const named = this.#state.pinned
      .map((id) => this.#graph.index.get(id))
      .filter((node) => node !== undefined)
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
    const left = this.#scroller.scrollLeft;
    const bounds = { left: left + AXIS, top: 2, right: left + this.#width - 2, bottom: layout.height - 2 };
    placeLabels(anchors, bounds).forEach((place, at) => {
      const { node, text } = named[at]!;
      if (place) drawLabel(context, layout, node, place, text, look);
    });
  }

  #drawHover(context: CanvasRenderingContext2D, look: Look, layout: Layout): void {
    if (this.#hovered >= 0) {
      const node = this.#hovered;
      this.#drawFocus(context, look, layout, hoverFocus(this.#graph, this.#shown.nodes, node));
      // A node of a list that pruning hides is shown where it would stand.
      if (!this.#shown.nodes[node]) context.setLineDash([3, 2]);
      drawRing(context, layout, node, look.colours.accent, 3, 2);
      context.setLineDash([]);
    }
    if (this.#dragging()) {
      const [from, to] = [this.#pressed!, this.#pointer!];
      context.fillStyle = context.strokeStyle = look.colours.accent;
      context.lineWidth = 1;
      context.globalAlpha = 0.12;
      context.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
      context.globalAlpha = 1;
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
  }

  /** Return where an event happened, in the layout's coordinates. */
  #at(event: PointerEvent): Point {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left + this.#scroller.scrollLeft, y: event.clientY - box.top };
  }

  #dragging(): boolean {
    const [from, to] = [this.#pressed, this.#pointer];
    return from !== null && to !== null && Math.hypot(to.x - from.x, to.y - from.y) > DRAG;
  }

  #release(): void {
    this.#pressed = this.#pointer = null;
    this.#layers.invalidate("hover");
  }

  readonly #down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    this.#pressed = this.#pointer = this.#at(event);
    // With a finger a drag scrolls the page.
    if (event.pointerType !== "touch") this.canvas.setPointerCapture?.(event.pointerId);
  };

  readonly #move = (event: PointerEvent): void => {
    const at = this.#at(event);
    if (this.#pressed && event.pointerType !== "touch") {
      this.#pointer = at;
      if (this.#dragging()) {
        this.#gestures.hover(-1);
        this.#layers.invalidate("hover");
        return;
      }
    }
    this.#gestures.hover(this.#hits?.nearest(at.x, at.y) ?? -1);
  };

  readonly #up = (event: PointerEvent): void => {
    if (!this.#pressed) return;
    const [from, to, dragged] = [this.#pressed, this.#at(event), this.#dragging()];
    this.#release();
    if (dragged) this.#gestures.enclose(this.#hits?.within(from.x, from.y, to.x, to.y) ?? [], event);
    else this.#gestures.click(this.#hits?.nearest(to.x, to.y) ?? -1, event);
  };
}
