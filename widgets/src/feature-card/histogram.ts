/** Counts as bars over equal steps of an axis, with a table for who cannot see them. */

import { fill, h } from "../kit/dom";
import { count, percent, plain } from "../kit/format";
import { type Histogram, heights, shares } from "./state";

export interface HistogramOptions {
  title: string;
  /** What is counted in a bar. */
  noun: string;
  /** What the axis is of. */
  axis: string;
  note?: string;
  /** The edges are whole numbers, each bar from one edge to before the next. */
  whole?: boolean;
}

/** Return a figure of a histogram. */
export function histogram(given: Histogram, options: HistogramOptions): HTMLElement {
  const { edges, counts } = given;
  // Bins of different sizes compare by their shares alone.
  const parts = shares(given);
  const full = Math.max(1e-9, ...(parts ?? []));
  const { heights: sizes, log } = parts ? { heights: parts.map((part) => part / full), log: false } : heights(counts);
  const said = (i: number) =>
    parts ? `${percent(parts[i]!)} (${count(counts[i]!, options.noun)})` : count(counts[i]!, options.noun);
  const edge = (i: number) => (options.whole ? String(Math.round(edges[i]!)) : plain(edges[i]!));
  const range = (i: number) => {
    if (!options.whole) return `${edge(i)} – ${edge(i + 1)}`;
    // The last bin of whole numbers, like all others, ends before its edge.
    const [first, last] = [Math.round(edges[i]!), Math.max(Math.round(edges[i]!), Math.ceil(edges[i + 1]!) - 1)];
    return first === last ? String(first) : `${first} – ${last}`;
  };
  const readout = h("span", "wb-muted");
  const bars = counts.map((n, i) => {
    const bar = h("i");
    bar.style.height = `${(100 * sizes[i]!).toFixed(2)}%`;
    // Something, however little, is not nothing.
    bar.toggleAttribute("data-some", n > 0);
    const column = h("div", "card-column", bar);
    column.addEventListener("pointerenter", () => fill(readout, `${range(i)}: ${said(i)}`));
    column.addEventListener("pointerleave", () => fill(readout, options.note));
    return column;
  });
  fill(readout, options.note);
  const measured = parts ?? counts;
  const most = measured.indexOf(Math.max(...measured));
  const summary = `${options.title}: ${count(sum(counts), options.noun)} from ${edge(0)} to ${edge(counts.length)}, ${parts ? "most often" : "most of them"} in ${range(most)}`;
  const marks = [...new Set([0, Math.round(counts.length / 2), counts.length])].map((i) => {
    const mark = h("span", {}, edge(i));
    mark.style.left = `${(100 * i) / counts.length}%`;
    return mark;
  });
  return h(
    "figure",
    "card-part",
    h("figcaption", {}, h("b", {}, options.title), readout),
    h("div", { class: "card-bars", role: "img", "aria-label": summary }, ...bars),
    h("div", { class: "card-axis", "aria-hidden": "true" }, ...marks),
    h("div", "card-unit wb-muted", `${options.axis}${log ? " (heights: logarithm of the count)" : ""}`),
    table(
      options,
      counts.map((_, i) => [range(i), said(i)]),
    ),
  );
}

function table(options: HistogramOptions, rows: [string, string][]): HTMLElement {
  const body = h("tbody");
  const details = h(
    "details",
    "card-table",
    h("summary", {}, "As a table"),
    h(
      "table",
      {},
      h("caption", "wb-visually-hidden", options.title),
      h(
        "thead",
        {},
        h("tr", {}, h("th", { scope: "col" }, options.axis), h("th", { scope: "col" }, `${options.noun}s`)),
      ),
      body,
    ),
  );
  details.addEventListener("toggle", () => {
    if (!details.open || body.children.length > 0) return;
    fill(body, ...rows.map(([range, said]) => h("tr", {}, h("th", { scope: "row" }, range), h("td", {}, said))));
  });
  return details;
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
