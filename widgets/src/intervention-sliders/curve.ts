/** The pane of dose and response: which slider, the sweep with its progress, the plot, and the same as a table. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import { shorten, visible } from "../kit/tokens";
import { share } from "./bars";
import { Plot } from "./plot";
import { type Curve, type Slider, shortName } from "./state";

export interface CurveActions {
  sweep: (slider: string) => void;
  cancel: () => void;
}

export class CurvePane {
  readonly element: HTMLElement;
  readonly #of = h("select", { "aria-label": "Slider to sweep", testid: "sweep-of" });
  readonly #start: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #progress = h("progress", { "aria-label": "Progress of the sweep", testid: "progress" });
  readonly #status = h("span", { class: "wb-muted", role: "status", testid: "sweep-status" });
  readonly #plot = new Plot();
  readonly #rows = h("tbody");
  readonly #head = h("tr");
  readonly #table: HTMLElement;
  readonly #empty = h("p", "sliders-empty wb-muted", "Sweep a slider: the model runs at 21 factors from −5 to 5.");

  constructor(actions: CurveActions) {
    this.#start = h("button", { testid: "sweep", onclick: () => actions.sweep(this.#of.value) }, "Sweep");
    this.#cancel = h("button", { testid: "cancel", onclick: actions.cancel }, "Cancel");
    this.#table = h(
      "details",
      {},
      h("summary", {}, "As a table"),
      h(
        "div",
        { class: "sliders-scroll", tabindex: 0, role: "group", "aria-label": "Dose and response" },
        h("table", "sliders-table", h("thead", {}, this.#head), this.#rows),
      ),
    );
    this.element = h(
      "div",
      { class: "sliders-curve", testid: "curve" },
      h("div", "sliders-sweep", this.#of, this.#start, this.#cancel, this.#progress, this.#status),
      this.#empty,
      this.#plot.element,
      this.#table,
    );
  }

  show(curve: Curve | null, nodes: Slider[], current: boolean, disabled: boolean): void {
    const chosen = nodes.some(({ id }) => id === this.#of.value) ? this.#of.value : (curve?.slider ?? nodes[0]?.id);
    fill(this.#of, ...nodes.map((node) => h("option", { value: node.id, selected: node.id === chosen }, titled(node))));
    const running = !disabled && curve?.state === "running";
    for (const control of [this.#of, this.#start]) control.disabled = disabled || running;
    this.#cancel.hidden = !running;
    this.#progress.hidden = !running;
    for (const part of [this.#plot.element, this.#table]) part.hidden = !curve?.factors.length;
    this.#empty.hidden = Boolean(curve?.factors.length) || running;
    fill(this.#status, curve ? told(curve, running, current) : "");
    this.element.dataset.state = curve?.state ?? "none";
    if (!curve) return;
    this.#progress.max = curve.total;
    this.#progress.value = curve.factors.length;
    if (!curve.factors.length) return;
    const node = nodes.find(({ id }) => id === curve.slider);
    const more = curve.linked.length > 1 ? ` and ${curve.linked.length - 1} linked` : "";
    this.#plot.show(curve, (node ? shortName(node) : curve.slider) + more);
    this.#fill(curve);
  }

  /** Choose a slider for the next sweep. */
  choose(slider: string): void {
    this.#of.value = slider;
  }

  #fill(curve: Curve): void {
    const names = curve.tokens.map(({ token }) => shorten(visible(token), 12));
    const control = curve.control ? names.map((name) => `${name} (control)`) : [];
    const heads = ["factor", ...names, "KL", ...control];
    fill(this.#head, ...heads.map((name) => h("th", { scope: "col", class: "sliders-number" }, name)));
    const cell = (text: string) => h("td", "sliders-number", text);
    fill(
      this.#rows,
      ...curve.factors.map((factor, at) =>
        h(
          "tr",
          {},
          h("th", { scope: "row", class: "sliders-number" }, String(factor).replace("-", "−")),
          ...curve.after.map((line) => cell(share(line[at]!))),
          cell(plain(curve.kl[at] ?? Number.NaN)),
          ...(curve.control ?? []).map((line) => cell(share(line[at]!))),
        ),
      ),
    );
  }
}

/** Return how far the sweep has come, or what is to be known of one that is over. */
function told(curve: Curve, running: boolean, current: boolean): string {
  const done = `${curve.factors.length} of ${curve.total}`;
  if (running) return done;
  if (curve.state === "failed") return `failed after ${done}`;
  if (curve.state !== "done") return `stopped after ${done}`;
  if (curve.control_error) return `without a control: ${curve.control_error}`;
  return current ? "" : "of earlier values of the other sliders";
}

function titled(node: Slider): string {
  const label = node.layer === null ? "supernode" : node.label;
  return label === "" ? shortName(node) : `${shortName(node)} ${shorten(visible(label), 24)}`;
}
