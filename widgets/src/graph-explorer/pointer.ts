/** What the mouse, the pen or a finger does to the graph's canvas. */

import { on } from "../kit/dom";
import type { Hits } from "./hit";

/** What the user did to the graph; −1 is no node. */
export interface Gestures {
  hover(node: number): void;
  click(node: number, event: PointerEvent): void;
  /** A rectangle was drawn around some nodes. */
  enclose(nodes: number[], event: PointerEvent): void;
}

export interface Point {
  x: number;
  y: number;
}

/** What the pointer needs of the stage; points are the layout's, shifts and places in the view CSS pixels. */
export interface Ground {
  readonly hits: Hits | null;
  at(event: MouseEvent): Point;
  pan(dx: number, dy: number): void;
  zoomBy(factor: number, at: Point): void;
  resetZoom(): void;
  /** The rectangle that is being drawn changed. */
  changed(): void;
}

const DRAG = 4;

export class Pointer {
  readonly #canvas: HTMLCanvasElement;
  readonly #ground: Ground;
  readonly #gestures: Gestures;
  #pressed: Point | null = null;
  #now: Point | null = null;
  /** Where the pointer was on the page when the graph was last shifted under it. */
  #panning: Point | null = null;
  #space = false;
  /** The pointer's last place over the canvas, and the node that was found there. */
  #last: PointerEvent | null = null;
  #found = -1;

  constructor(canvas: HTMLCanvasElement, ground: Ground, gestures: Gestures) {
    this.#canvas = canvas;
    this.#ground = ground;
    this.#gestures = gestures;
    on(canvas, {
      pointerdown: (event) => this.#down(event),
      pointermove: (event) => this.#move(event),
      pointerup: (event) => this.#up(event),
      pointercancel: () => this.#release(),
      pointerleave: () => {
        this.#last = null;
        if (!this.#pressed) gestures.hover(-1);
      },
      dblclick: (event) => {
        const { x, y } = ground.at(event);
        if (ground.hits?.nearest(x, y) === -1) ground.resetZoom();
      },
      blur: () => this.holdSpace(false),
    });
    on(canvas, { wheel: (event) => this.#wheel(event) }, { passive: false });
  }

  /** Other nodes may lie under a pointer that rests: look again, unless something else has pointed meanwhile. */
  again(hovered: number): void {
    if (this.#last && hovered === this.#found) this.#look(this.#last);
  }

  /** The corners of the rectangle that is being drawn. */
  get rectangle(): [from: Point, to: Point] | null {
    const [from, to] = [this.#pressed, this.#now];
    return from && to && Math.hypot(to.x - from.x, to.y - from.y) > DRAG ? [from, to] : null;
  }

  /** With the space bar held, a drag shifts the graph instead of drawing a rectangle. */
  holdSpace(held: boolean): void {
    this.#space = held;
    this.#canvas.classList.toggle("wbx-grab", held || this.#panning !== null);
  }

  /** Give up the rectangle that is being drawn; return whether there was one. */
  cancel(): boolean {
    const drawing = this.rectangle !== null;
    this.#release();
    return drawing;
  }

  #release(): void {
    this.#pressed = this.#now = this.#panning = null;
    this.holdSpace(this.#space);
    this.#ground.changed();
  }

  #down(event: PointerEvent): void {
    const pan = event.button === 1 || (event.button === 0 && this.#space);
    if (!pan && event.button !== 0) return;
    // With a finger a drag scrolls: the browser's own way to shift what is larger than its place.
    if (event.pointerType !== "touch") this.#canvas.setPointerCapture?.(event.pointerId);
    if (pan) {
      // The middle button would begin to scroll the page by itself.
      event.preventDefault();
      this.#panning = { x: event.clientX, y: event.clientY };
      this.holdSpace(this.#space);
      this.#gestures.hover(-1);
    } else this.#pressed = this.#now = this.#ground.at(event);
  }

  #move(event: PointerEvent): void {
    if (this.#panning) {
      this.#ground.pan(this.#panning.x - event.clientX, this.#panning.y - event.clientY);
      this.#panning = { x: event.clientX, y: event.clientY };
      return;
    }
    const at = this.#ground.at(event);
    if (this.#pressed && event.pointerType !== "touch") {
      this.#now = at;
      if (this.rectangle) {
        this.#gestures.hover(-1);
        this.#ground.changed();
        return;
      }
    }
    this.#look(event);
  }

  #look(event: PointerEvent): void {
    const { x, y } = this.#ground.at(event);
    this.#last = event;
    this.#found = this.#ground.hits?.nearest(x, y) ?? -1;
    this.#gestures.hover(this.#found);
  }

  #up(event: PointerEvent): void {
    if (this.#panning) this.#release();
    if (!this.#pressed) return;
    this.#now = this.#ground.at(event);
    const [from, to, drawn] = [this.#pressed, this.#now, this.rectangle !== null];
    this.#release();
    const { hits } = this.#ground;
    if (drawn) this.#gestures.enclose(hits?.within(from.x, from.y, to.x, to.y) ?? [], event);
    else this.#gestures.click(hits?.nearest(to.x, to.y) ?? -1, event);
  }

  /** A wheel alone scrolls the page, as everywhere; with Ctrl or Cmd, and by a pinch on a touchpad, it zooms. */
  #wheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // A notch of a wheel counts a hundred pixels or more, a step of a pinch only a few.
    const by = Math.min(Math.max(event.deltaY * lines, -60), 60);
    const box = this.#canvas.getBoundingClientRect();
    this.#ground.zoomBy(Math.exp(-by * 0.008), { x: event.clientX - box.left, y: event.clientY - box.top });
  }
}
