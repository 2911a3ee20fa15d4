/** Dose and response drawn: probabilities over factors, the control's dashed beside them. */

import { fill, h } from "../kit/dom";
import { path, svg } from "../kit/svg";
import { shorten, visible } from "../kit/tokens";
import { fullScale, share } from "./bars";
import type { Curve } from "./state";

const SIZE = 1000;

export class Plot {
  readonly element: HTMLElement;
  readonly #drawing = svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, preserveAspectRatio: "none", role: "img" });
  readonly #y = h("div", { class: "curve-y", "aria-hidden": "true" });
  readonly #x = h("div", { class: "curve-x", "aria-hidden": "true" });
  readonly #marks = h("div", { class: "curve-marks", "aria-hidden": "true" });
  readonly #cursor = h("div", { class: "curve-cursor", hidden: true });
  readonly #plot: HTMLElement;
  readonly #legend = h("ul", { class: "curve-legend", testid: "curve-legend" });
  readonly #axis = h("div", "curve-axis wb-muted");
  #curve: Curve | null = null;

  constructor() {
    this.#plot = h("div", "curve-plot", this.#marks, this.#drawing as unknown as Node, this.#cursor);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event));
    this.#plot.addEventListener("pointerleave", () => this.#tell(null));
    this.element = h(
      "figure",
      "curve-figure",
      h("figcaption", "wb-muted", "Probability of the next token"),
      h("div", "curve-frame", this.#y, this.#plot, h("span"), this.#x, h("span"), this.#axis),
      this.#legend,
    );
  }

  /** @param name is what the factor is of. */
  show(curve: Curve, name: string): void {
    this.#curve = curve;
    const bars = curve.after.flatMap((line) => line.map((after) => ({ token: "", id: 0, before: 0, after })));
    const scale = fullScale(bars, curve.control?.flat());
    const x = (factor: number) => (factor - curve.low) / (curve.high - curve.low);
    const xs = curve.factors.map((factor) => SIZE * x(factor));
    const draw = (line: number[], at: number, kind: string) =>
      svg("path", {
        class: kind,
        "data-line": at,
        d: path(
          xs,
          line.map((value) => SIZE * (1 - value / scale)),
        ),
      });
    this.#drawing.replaceChildren(
      ...(curve.control ?? []).map((line, at) => draw(line, at, "curve-control")),
      ...curve.after.map((line, at) => draw(line, at, "curve-line")),
    );
    this.#drawing.setAttribute("aria-label", spoken(curve, name));
    const ticks = [0, 0.25, 0.5, 0.75, 1];
    fill(
      this.#y,
      ...ticks.map((part) => place(h("span", {}, `${+(part * scale * 100).toFixed(2)} %`), "bottom", part)),
    );
    const stops = [curve.low, 0, 1, curve.high].filter((stop) => stop >= curve.low && stop <= curve.high);
    const named = (stop: number) => ({ 0: "0 ablate", 1: "1 clean" })[stop] ?? String(stop).replace("-", "−");
    fill(
      this.#x,
      ...stops.map((stop) => {
        const tick = place(h("span", {}, named(stop)), "left", x(stop));
        // The two stops are neighbours: their names stand on either side.
        tick.dataset.side = stop === 0 ? "left" : stop === 1 ? "right" : "middle";
        return tick;
      }),
    );
    fill(
      this.#marks,
      ...ticks.map((part) => place(h("i", "curve-grid"), "bottom", part)),
      ...stops.map((stop) => place(h("i", "curve-stop"), "left", x(stop))),
    );
    fill(this.#axis, `factor of ${name}`);
    this.#tell(null);
  }

  #point(event: PointerEvent): void {
    const curve = this.#curve;
    if (!curve?.factors.length) return;
    const box = this.#plot.getBoundingClientRect();
    const factor = curve.low + ((event.clientX - box.left) / Math.max(1, box.width)) * (curve.high - curve.low);
    const away = curve.factors.map((each) => Math.abs(each - factor));
    this.#tell(away.indexOf(Math.min(...away)));
  }

  /** Say what the lines stand for, and with the index of a factor their values there. */
  #tell(at: number | null): void {
    const curve = this.#curve;
    if (!curve) return;
    this.#cursor.hidden = at === null;
    if (at !== null) place(this.#cursor, "left", (curve.factors[at]! - curve.low) / (curve.high - curve.low));
    fill(
      this.#legend,
      ...curve.tokens.map(({ token }, line) =>
        h(
          "li",
          { "data-line": line },
          h("i", "curve-swatch"),
          h("span", "wb-token", shorten(visible(token), 16)),
          at !== null && h("span", "wb-muted", share(curve.after[line]![at]!)),
        ),
      ),
      curve.control && h("li", "wb-muted", h("i", "curve-swatch dashed"), "matched control"),
      at !== null && h("li", "wb-muted", `at factor ${String(curve.factors[at]).replace("-", "−")}`),
    );
  }
}

/** Return what a curve shows, in words. */
export function spoken(curve: Curve, name: string): string {
  const lines = curve.tokens.map(({ token }, at) => {
    const line = curve.after[at]!;
    return `${visible(token)} from ${share(line[0]!)} to ${share(line.at(-1)!)}`;
  });
  const [from, to] = [curve.factors[0] ?? curve.low, curve.factors.at(-1) ?? curve.low];
  return `Probability of the next token for factors of ${name} from ${from} to ${to}: ${lines.join(", ")}`;
}

function place<E extends HTMLElement>(element: E, side: "left" | "bottom", part: number): E {
  element.style[side] = `${100 * part}%`;
  return element;
}
