/** The FVU over the steps of the run. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import { path, svg } from "../kit/svg";
import { type About, type Course, smooth } from "./state";

const SIZE = 1000;

/** Return the value at the top of the axis: a round number above all that is drawn. */
export function fullScale(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (Number.isFinite(values[i]!)) largest = Math.max(largest, values[i]!);
  }
  return [0.1, 0.2, 0.5, 1, 1.25, 1.5, 2, 3, 5, 10, 20, 50, 100].find((round) => largest <= round) ?? largest;
}

/** Return a number of an axis without needless digits. */
const tick = (value: number) => String(Number(value.toPrecision(3)));

export class Chart {
  readonly element: HTMLElement;
  readonly #raw = svg("path", { class: "monitor-raw" });
  readonly #line = svg("path", { class: "monitor-line" });
  readonly #drawing: SVGElement;
  readonly #readout = h("span", { class: "wb-muted", testid: "readout" });
  readonly #yLabels = h("div", { class: "monitor-y", "aria-hidden": "true" });
  readonly #xLabels = h("div", { class: "monitor-x", "aria-hidden": "true" });
  readonly #marks = h("div", { class: "monitor-marks", "aria-hidden": "true" });
  readonly #cursor = h("div", { class: "monitor-cursor", hidden: true });
  readonly #plot: HTMLElement;
  #course: Course | null = null;
  #steps = 1;

  constructor() {
    this.#drawing = svg(
      "svg",
      { viewBox: `0 0 ${SIZE} ${SIZE}`, preserveAspectRatio: "none", role: "img" },
      this.#raw,
      this.#line,
    );
    this.#plot = h("div", "monitor-plot", this.#marks, this.#drawing as unknown as Node, this.#cursor);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event));
    this.#plot.addEventListener("pointerleave", () => this.#leave());
    this.element = h(
      "figure",
      "monitor-figure",
      h("figcaption", {}, h("b", {}, "FVU"), " of the training batches ", this.#readout),
      h("div", "monitor-frame", this.#yLabels, this.#plot, h("span"), this.#xLabels),
    );
  }

  show(course: Course, about: About): void {
    this.#course = course;
    this.#steps = Math.max(1, about.steps);
    const fvu = course.column("fvu");
    const even = smooth(fvu);
    // The first steps of a run that begins badly may be far above what is of interest.
    const scale = Math.max(1, Math.min(fullScale(fvu), 2 * fullScale(even)));
    const xs = Array.from(course.column("step"), (step) => (SIZE * step) / this.#steps);
    const height = (values: ArrayLike<number>) =>
      Array.from(values, (value) => SIZE * (1 - Math.min(value / scale, 1.05)));
    this.#raw.setAttribute("d", path(xs, height(fvu)));
    this.#line.setAttribute("d", path(xs, height(even)));
    const last = course.length - 1;
    const said = course.length
      ? `FVU over ${course.last("step")} steps: from ${plain(even[0]!)} to ${plain(even[last]!)}`
      : "FVU: no step yet";
    this.#drawing.setAttribute("aria-label", said);
    this.#axes(scale, about);
  }

  #axes(scale: number, about: About): void {
    const values = [0, 0.25, 0.5, 0.75, 1].map((part) => part * scale);
    fill(this.#yLabels, ...values.map((value) => place(h("span", {}, tick(value)), "bottom", value / scale)));
    fill(
      this.#xLabels,
      ...[0, 0.5, 1].map((part) =>
        place(h("span", {}, Math.round(part * this.#steps).toLocaleString("en")), "left", part),
      ),
      h("span", "monitor-unit", "steps"),
    );
    const ablation = place(h("i", "monitor-ablation", h("span", {}, "mean ablation")), "bottom", 1 / scale);
    const from = about.threshold_from;
    const jump = place(h("i", "monitor-jump", h("span", {}, "thresholds")), "left", from);
    fill(
      this.#marks,
      ...values.map((value) => place(h("i", "monitor-grid"), "bottom", value / scale)),
      ablation,
      from > 0 && from < 1 && jump,
    );
  }

  #point(event: PointerEvent): void {
    const course = this.#course;
    if (!course?.length) return;
    const box = this.#plot.getBoundingClientRect();
    const step = ((event.clientX - box.left) / Math.max(1, box.width)) * this.#steps;
    let row = 0;
    while (row < course.length - 1 && course.at("step", row) < step) row += 1;
    place(this.#cursor, "left", course.at("step", row) / this.#steps);
    this.#cursor.hidden = false;
    fill(this.#readout, `· step ${course.at("step", row).toLocaleString("en")}: ${plain(course.at("fvu", row))}`);
  }

  #leave(): void {
    this.#cursor.hidden = true;
    fill(this.#readout);
  }
}

function place<E extends HTMLElement>(element: E, side: "left" | "bottom", part: number): E {
  element.style[side] = `${100 * part}%`;
  return element;
}
