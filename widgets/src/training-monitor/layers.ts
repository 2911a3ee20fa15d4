/** The FVU of each layer as bars, with where it began. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import type { Course, Report } from "./state";

interface Bar {
  column: HTMLElement;
  bar: HTMLElement;
  began: HTMLElement;
  held: HTMLElement;
}

export class Layers {
  readonly element: HTMLElement;
  readonly #plot = h("div", { class: "monitor-layers", role: "img" });
  readonly #readout = h("span", "wb-muted");
  readonly #key = h("span", "wb-muted monitor-key");
  readonly #labels = h("div", { class: "monitor-x", "aria-hidden": "true" });
  #bars: Bar[] = [];

  constructor() {
    const scale = [1, 0.75, 0.5, 0.25, 0].map((value) => {
      const label = h("span", {}, String(value));
      label.style.bottom = `${100 * value}%`;
      return label;
    });
    this.element = h(
      "figure",
      "monitor-figure",
      h("figcaption", {}, h("b", {}, "FVU by layer"), " ", this.#readout, this.#key),
      h(
        "div",
        "monitor-frame",
        h("div", { class: "monitor-y", "aria-hidden": "true" }, ...scale),
        this.#plot,
        h("span"),
        this.#labels,
      ),
    );
  }

  show(course: Course, report: Report | null): void {
    if (course.layers !== this.#bars.length) this.#build(course.layers);
    const now = course.byLayer(course.length - 1);
    const began = course.byLayer(course.length ? 0 : -1);
    for (const [layer, { column, bar, began: mark, held }] of this.#bars.entries()) {
      const value = now[layer]!;
      const heldOut = report?.fvu_by_layer[layer];
      bar.style.height = `${100 * Math.min(1, Math.max(0, value))}%`;
      mark.style.bottom = `${100 * Math.min(1, began[layer]!)}%`;
      held.hidden = heldOut === undefined;
      held.style.bottom = `${100 * Math.min(1, heldOut ?? 0)}%`;
      const after = heldOut === undefined ? "" : `, ${plain(heldOut)} on held-out text`;
      column.title = `layer ${layer}: ${plain(value)}, at first ${plain(began[layer]!)}${after}`;
    }
    const values = [...now].filter(Number.isFinite);
    const best = now.indexOf(Math.min(...values));
    const worst = now.indexOf(Math.max(...values));
    this.#plot.setAttribute(
      "aria-label",
      values.length
        ? `FVU by layer: lowest in layer ${best} with ${plain(now[best]!)}, highest in layer ${worst} with ${plain(now[worst]!)}`
        : "FVU by layer: no step yet",
    );
    fill(this.#key, h("i", "monitor-began"), " at first", ...(report ? [h("i", "monitor-held"), " held-out"] : []));
  }

  #build(layers: number): void {
    this.#bars = Array.from({ length: layers }, (_, layer) => {
      const bar = h("i", "monitor-bar");
      const began = h("i", "monitor-began");
      const held = h("i", { class: "monitor-held", hidden: true });
      const column = h("div", { class: "monitor-column", "data-layer": layer }, bar, began, held);
      column.addEventListener("pointerenter", () => fill(this.#readout, `· ${column.title}`));
      column.addEventListener("pointerleave", () => fill(this.#readout));
      return { column, bar, began, held };
    });
    fill(this.#plot, ...this.#bars.map(({ column }) => column));
    const every = layers <= 12 ? 1 : layers <= 40 ? 5 : 10;
    const labels = this.#bars
      .map((_, layer) => layer)
      .filter((layer) => layer % every === 0)
      .map((layer) => {
        const label = h("span", {}, String(layer));
        label.style.left = `${(100 * (layer + 0.5)) / layers}%`;
        return label;
      });
    fill(this.#labels, ...labels, h("span", "monitor-unit", "layer"));
  }
}
