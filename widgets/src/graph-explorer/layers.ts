/** The stacked canvases, sharp on every screen, each redrawn only when what it shows changes. */

import { h } from "../kit/dom";

export const LAYERS = ["frame", "edges", "nodes", "held", "hover", "names"] as const;
export type Layer = (typeof LAYERS)[number];
/** Draws a layer in one or several passes, a frame each; returns whether there is more to draw. */
type Draw = (context: CanvasRenderingContext2D, pass: number) => boolean;

/**
 * @param draw draws a layer onto a cleared context whose unit is the CSS pixel.
 * @param before is called before any layer is drawn: the place to lay out what they share.
 */
export function makeLayers(draw: Record<Layer, Draw>, before: () => void) {
  /** The next pass of every layer that is not finished. */
  const next = new Map<Layer, number>();
  let width = 0;
  let height = 0;
  let frame = 0;
  let rest: ReturnType<typeof setTimeout> | undefined;

  const elements: Record<Layer, HTMLCanvasElement> = Object.fromEntries(
    LAYERS.map((layer) => [layer, h("canvas", { class: `wbx-layer wbx-${layer}` })]),
  ) as Record<Layer, HTMLCanvasElement>;

  function resize(wide: number, high: number): void {
    width = wide;
    height = high;
    const scale = devicePixelRatio || 1;
    for (const canvas of Object.values(elements)) {
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(high * scale);
    }
    invalidate(...LAYERS);
  }

  /** Redraw layers with the next frame. */
  function invalidate(...layers: Layer[]): void {
    for (const layer of layers) next.set(layer, 0);
    schedule();
  }

  /** Draw what is stale now; layers with more passes go on when nothing was drawn anew for a moment. */
  function flush(): void {
    run(false);
  }

  function run(goOn: boolean): void {
    if (width === 0 || height === 0) return;
    before();
    cancelAnimationFrame(frame);
    frame = 0;
    for (const layer of LAYERS) {
      const pass = next.get(layer);
      if (pass === undefined || (pass > 0 && !goOn)) continue;
      next.delete(layer);
      const canvas = elements[layer];
      const context = canvas.getContext("2d");
      if (!context) continue;
      context.setTransform(1, 0, 0, 1, 0, 0);
      if (pass === 0) context.clearRect(0, 0, canvas.width, canvas.height);
      context.scale(canvas.width / width, canvas.height / height);
      if (draw[layer](context, pass)) next.set(layer, pass + 1);
    }
    clearTimeout(rest);
    if (next.size === 0) return;
    // While a slider moves, every step would begin to draw what the next one throws away.
    rest = setTimeout(
      () => {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => run(true));
      },
      goOn ? 0 : 120,
    );
  }

  function schedule(): void {
    if (!frame) frame = requestAnimationFrame(() => run(false));
  }

  function dispose(): void {
    clearTimeout(rest);
    cancelAnimationFrame(frame);
    next.clear();
  }

  return { elements, resize, invalidate, flush, dispose };
}

export type Layers = ReturnType<typeof makeLayers>;
