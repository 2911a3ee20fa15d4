/** The stacked canvases, sharp on every screen, each redrawn only when what it shows changes. */

import { h } from "../kit/dom";

export const LAYERS = ["frame", "edges", "nodes", "held", "hover", "names"] as const;
export type Layer = (typeof LAYERS)[number];
/** Draws a layer in one or several passes, a frame each; returns whether there is more to draw. */
type Draw = (context: CanvasRenderingContext2D, pass: number) => boolean;

export class Layers {
  readonly elements: Record<Layer, HTMLCanvasElement>;
  readonly #draw: Record<Layer, Draw>;
  /** The next pass of every layer that is not finished. */
  readonly #next = new Map<Layer, number>();
  readonly #before: () => void;
  #width = 0;
  #height = 0;
  #frame = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param draw draws a layer onto a cleared context whose unit is the CSS pixel.
   * @param before is called before any layer is drawn: the place to lay out what they share.
   */
  constructor(draw: Record<Layer, Draw>, before: () => void) {
    this.#draw = draw;
    this.#before = before;
    this.elements = Object.fromEntries(
      LAYERS.map((layer) => [layer, h("canvas", { class: `wbx-layer wbx-${layer}` })]),
    ) as Record<Layer, HTMLCanvasElement>;
  }

  resize(width: number, height: number): void {
    this.#width = width;
    this.#height = height;
    const scale = devicePixelRatio || 1;
    for (const canvas of Object.values(this.elements)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    this.invalidate(...LAYERS);
  }

  /** Redraw layers with the next frame. */
  invalidate(...layers: Layer[]): void {
    for (const layer of layers) this.#next.set(layer, 0);
    this.#schedule();
  }

  /** Draw what is stale now; layers with more passes go on when nothing was drawn anew for a moment. */
  flush(): void {
    this.#run(false);
  }

  #run(goOn: boolean): void {
    if (this.#width === 0 || this.#height === 0) return;
    this.#before();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const layer of LAYERS) {
      const pass = this.#next.get(layer);
      if (pass === undefined || (pass > 0 && !goOn)) continue;
      this.#next.delete(layer);
      const canvas = this.elements[layer];
      const context = canvas.getContext("2d");
      if (!context) continue;
      context.setTransform(1, 0, 0, 1, 0, 0);
      if (pass === 0) context.clearRect(0, 0, canvas.width, canvas.height);
      context.scale(canvas.width / this.#width, canvas.height / this.#height);
      if (this.#draw[layer](context, pass)) this.#next.set(layer, pass + 1);
    }
    clearTimeout(this.#rest);
    if (this.#next.size === 0) return;
    // While a slider moves, every step would begin to draw what the next one throws away.
    this.#rest = setTimeout(
      () => {
        cancelAnimationFrame(this.#frame);
        this.#frame = requestAnimationFrame(() => this.#run(true));
      },
      goOn ? 0 : 120,
    );
  }

  #schedule(): void {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#run(false));
  }

  dispose(): void {
    clearTimeout(this.#rest);
    cancelAnimationFrame(this.#frame);
    this.#next.clear();
  }
}
