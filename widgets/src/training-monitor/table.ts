/** The same as tables: for who cannot see the charts, and for who wants the numbers. */

import { fill, h } from "../kit/dom";
import { percent, plain } from "../kit/format";
import type { Course, Report } from "./state";

const ROWS = 12;

/** Return up to twelve rows from all over the course, the first and the last among them. */
export function sampled(length: number): number[] {
  if (length <= ROWS) return Array.from({ length }, (_, row) => row);
  return Array.from({ length: ROWS }, (_, i) => Math.round((i * (length - 1)) / (ROWS - 1)));
}

export class Tables {
  readonly element = h("details", "monitor-tables");
  readonly #course = h("tbody");
  readonly #layers = h("tbody");
  #draw = () => {};

  constructor() {
    fill(
      this.element,
      h("summary", {}, "As tables"),
      h(
        "div",
        "monitor-columns",
        table("The course", ["step", "FVU", "L0 a layer", "dead", "learning rate", "tokens/s"], this.#course),
        table("FVU by layer", ["layer", "at first", "now", "held-out"], this.#layers),
      ),
    );
    this.element.addEventListener("toggle", () => this.#draw());
  }

  show(course: Course, report: Report | null): void {
    this.#draw = () => {
      // Nobody reads a closed table.
      if (!this.element.open) return;
      const cells = sampled(course.length).map((row) => [
        course.at("step", row).toLocaleString("en"),
        plain(course.at("fvu", row)),
        plain(course.at("l0", row)),
        percent(course.at("dead", row)),
        String(Number(course.at("lr", row).toPrecision(2))),
        Math.round(course.at("tokens_per_s", row)).toLocaleString("en"),
      ]);
      fill(this.#course, ...cells.map(tableRow));
      const [began, now] = [course.byLayer(course.length ? 0 : -1), course.byLayer(course.length - 1)];
      const layers = [...now].map((value, layer) => [
        String(layer),
        plain(began[layer]!),
        plain(value),
        plain(report?.fvu_by_layer[layer] ?? Number.NaN),
      ]);
      fill(this.#layers, ...layers.map(tableRow));
    };
    this.#draw();
  }
}

function table(caption: string, heads: string[], body: HTMLElement): HTMLElement {
  const header = h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)));
  return h("table", {}, h("caption", {}, caption), h("thead", {}, header), body);
}

function tableRow([first, ...rest]: string[]): HTMLElement {
  return h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((text) => h("td", {}, text)));
}
