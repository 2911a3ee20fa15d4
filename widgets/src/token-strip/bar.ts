/** Above the text: which series colour it, and what a colour means. */

import { fill, h } from "../kit/dom";
import { HUES, type Series } from "../kit/strip";
import { type Scale, type State, toggled, UNITS, worded } from "./state";

const TITLES = { activation: "Activation", probability: "Probability", entropy: "Entropy", surprise: "Surprise" };

export interface BarActions {
  show: (shown: number[]) => void;
  scale: (scale: Scale) => void;
}

export class Bar {
  readonly element: HTMLElement;
  readonly #actions: BarActions;
  readonly #series = h("div", { class: "strip-series", role: "group", "aria-label": "Series" });
  readonly #legend = h("div", { class: "strip-legend", testid: "legend" });
  readonly #scale: HTMLSelectElement;
  readonly #fixed: HTMLInputElement;
  #full = 1;
  #drawn = "";

  constructor(actions: BarActions) {
    this.#actions = actions;
    this.#scale = h("select", { "aria-label": "Full colour", testid: "scale", onchange: () => this.#choose() });
    this.#fixed = h("input", {
      type: "number",
      min: 0,
      step: "any",
      "aria-label": "Value of the full colour",
      onchange: () => this.#fix(),
    });
    this.element = h(
      "header",
      "strip-header",
      this.#series,
      h("div", "strip-scale", this.#legend, this.#scale, this.#fixed),
    );
  }

  show(state: Pick<State, "names" | "kind" | "scale" | "shown">, series: Series[], signed: boolean): void {
    this.#full = Math.max(...series.map(({ top }) => top));
    this.#drawSeries(state);
    const unit = UNITS[state.kind];
    fill(
      this.#legend,
      ...series.map((one) =>
        h(
          "span",
          { class: "strip-key", "data-hue": one.hue },
          series.length > 1 && h("span", "strip-key-name", one.name),
          signed && series.length === 1 && h("span", {}, worded(-one.top, state.kind)),
          signed && series.length === 1 && h("i", "strip-ramp strip-ramp-negative"),
          h("span", {}, "0"),
          h("i", "strip-ramp"),
          h("span", {}, `${worded(one.top, state.kind).replace(` ${unit}`, "")}${unit && ` ${unit}`}`),
        ),
      ),
    );
    this.#drawScale(state);
  }

  #drawSeries(state: Pick<State, "names" | "kind" | "shown">): void {
    const { names, shown } = state;
    // What the focus is on stays: only what is new is drawn anew.
    const key = JSON.stringify([names, state.kind]);
    if (key !== this.#drawn) {
      this.#drawn = key;
      fill(this.#series, ...this.#controls(names, TITLES[state.kind]));
    }
    for (const chip of this.#series.querySelectorAll<HTMLElement>("[data-series]")) {
      chip.setAttribute("aria-pressed", String(shown.includes(Number(chip.dataset.series))));
    }
    const select = this.#series.querySelector("select");
    if (select) {
      select.value = shown.length === 1 ? String(shown[0]) : "";
      select.options[0]!.hidden = shown.length === 1;
      select.options[0]!.text = `${shown.length} series`;
    }
  }

  #controls(names: string[], title: string): Node[] {
    if (names.length === 1) {
      const same = names[0]!.toLowerCase() === title.toLowerCase();
      return [h("b", {}, title), ...(same ? [] : [h("bdi", "strip-name", names[0])])];
    }
    const heading = h("b", {}, title);
    if (names.length > HUES) {
      const options = names.map((name, index) => h("option", { value: index }, name));
      const select = h(
        "select",
        { "aria-label": "Series", testid: "series", onchange: () => this.#actions.show([Number(select.value)]) },
        h("option", { value: "", disabled: true }, ""),
        ...options,
      );
      return [heading, select];
    }
    const chips = names.map((name, index) =>
      h(
        "button",
        {
          class: "strip-chip",
          "data-series": index,
          "data-hue": index,
          title: "Switch this series on or off",
          onclick: () => this.#actions.show(toggled(this.#pressed(), index)),
        },
        h("i", "strip-swatch"),
        h("bdi", {}, name),
      ),
    );
    return [heading, ...chips];
  }

  #pressed(): number[] {
    return [...this.#series.querySelectorAll<HTMLElement>('[aria-pressed="true"]')].map((chip) =>
      Number(chip.dataset.series),
    );
  }

  #drawScale(state: Pick<State, "names" | "scale">): void {
    const options = [
      h("option", { value: "own" }, "own maximum"),
      ...(state.names.length > 1 ? [h("option", { value: "shared" }, "shared maximum")] : []),
      h("option", { value: "fixed" }, "fixed at"),
    ];
    if (this.#scale.options.length !== options.length) fill(this.#scale, ...options);
    const fixed = typeof state.scale === "number";
    this.#scale.value = fixed ? "fixed" : state.names.length > 1 ? String(state.scale) : "own";
    this.#fixed.hidden = !fixed;
    if (fixed) this.#fixed.value = String(Number((state.scale as number).toPrecision(6)));
  }

  #choose(): void {
    const chosen = this.#scale.value;
    if (chosen !== "fixed") this.#actions.scale(chosen as Scale);
    else this.#actions.scale(this.#full > 0 ? Number(this.#full.toPrecision(3)) : 1);
  }

  #fix(): void {
    const top = Number(this.#fixed.value);
    if (Number.isFinite(top) && top > 0) this.#actions.scale(top);
    else this.#fixed.value = String(this.#full);
  }
}
