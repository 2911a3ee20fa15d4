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

export function watchPointer(canvas: HTMLCanvasElement, ground: Ground, gestures: Gestures) {
  let pressed: Point | null = null;
  let now: Point | null = null;
  /** Where the pointer was on the page when the graph was last shifted under it. */
  let panning: Point | null = null;
  let space = false;
  /** The pointer's last place over the canvas, and the node that was found there. */
  let last: PointerEvent | null = null;
  let found = -1;

  on(canvas, {
    pointerdown: (event) => down(event),
    pointermove: (event) => move(event),
    pointerup: (event) => up(event),
    pointercancel: () => release(),
    pointerleave: () => {
      last = null;
      if (!pressed) gestures.hover(-1);
    },
    dblclick: (event) => {
      const { x, y } = ground.at(event);
      if (ground.hits?.nearest(x, y) === -1) ground.resetZoom();
    },
    blur: () => holdSpace(false),
  });
  on(canvas, { wheel: (event) => wheel(event) }, { passive: false });

  /** Other nodes may lie under a pointer that rests: look again, unless something else has pointed meanwhile. */
  function again(hovered: number): void {
    if (last && hovered === found) look(last);
  }

  /** The corners of the rectangle that is being drawn. */
  function rectangle(): [from: Point, to: Point] | null {
    const [from, to] = [pressed, now];
    return from && to && Math.hypot(to.x - from.x, to.y - from.y) > DRAG ? [from, to] : null;
  }

  /** With the space bar held, a drag shifts the graph instead of drawing a rectangle. */
  function holdSpace(held: boolean): void {
    space = held;
    canvas.classList.toggle("wbx-grab", held || panning !== null);
  }

  /** Give up the rectangle that is being drawn; return whether there was one. */
  function cancel(): boolean {
    const drawing = rectangle() !== null;
    release();
    return drawing;
  }

  function release(): void {
    pressed = now = panning = null;
    holdSpace(space);
    ground.changed();
  }

  function down(event: PointerEvent): void {
    const pan = event.button === 1 || (event.button === 0 && space);
    if (!pan && event.button !== 0) return;
    // With a finger a drag scrolls: the browser's own way to shift what is larger than its place.
    if (event.pointerType !== "touch") canvas.setPointerCapture?.(event.pointerId);
    if (pan) {
      // The middle button would begin to scroll the page by itself.
      event.preventDefault();
      panning = { x: event.clientX, y: event.clientY };
      holdSpace(space);
      gestures.hover(-1);
    } else pressed = now = ground.at(event);
  }

  function move(event: PointerEvent): void {
    if (panning) {
      ground.pan(panning.x - event.clientX, panning.y - event.clientY);
      panning = { x: event.clientX, y: event.clientY };
      return;
    }
    const at = ground.at(event);
    if (pressed && event.pointerType !== "touch") {
      now = at;
      if (rectangle()) {
        gestures.hover(-1);
        ground.changed();
        return;
      }
    }
    look(event);
  }

  function look(event: PointerEvent): void {
    const { x, y } = ground.at(event);
    last = event;
    found = ground.hits?.nearest(x, y) ?? -1;
    gestures.hover(found);
  }

  function up(event: PointerEvent): void {
    if (panning) release();
    if (!pressed) return;
    now = ground.at(event);
    const [from, to, drawn] = [pressed, now, rectangle() !== null];
    release();
    const { hits } = ground;
    if (drawn) gestures.enclose(hits?.within(from.x, from.y, to.x, to.y) ?? [], event);
    else gestures.click(hits?.nearest(to.x, to.y) ?? -1, event);
  }

  /** A wheel alone scrolls the page, as everywhere; with Ctrl or Cmd, and by a pinch on a touchpad, it zooms. */
  function wheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // A notch of a wheel counts a hundred pixels or more, a step of a pinch only a few.
    const by = Math.min(Math.max(event.deltaY * lines, -60), 60);
    const box = canvas.getBoundingClientRect();
    ground.zoomBy(Math.exp(-by * 0.008), { x: event.clientX - box.left, y: event.clientY - box.top });
  }

  return {
    again,
    get rectangle() {
      return rectangle();
    },
    holdSpace,
    cancel,
  };
}
