/** The TokenStrip widget: a text coloured by features, or by the model's probability, entropy or surprise. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { fill, h } from "../kit/dom";
import { count } from "../kit/format";
import { claimKeys } from "../kit/keyboard";
import { Strip } from "../kit/strip";
import { watchTheme } from "../kit/theme";
import { Tip } from "../kit/tip";
import { isolate, visible } from "../kit/tokens";
import { Bar } from "./bar";
import { type State, shownSeries, valuesOf, worded } from "./state";

class TokenStrip {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #root: HTMLElement;
  readonly #bar: Bar;
  readonly #strip: Strip;
  readonly #tip = new Tip();
  readonly #facts = h("footer", { class: "strip-footer wb-muted", role: "status", testid: "facts" });
  readonly #cleanups: (() => void)[] = [];
  #values: ArrayLike<number>[] = [];

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    this.#bar = new Bar({ show: (shown) => this.#set("shown", shown), scale: (scale) => this.#set("scale", scale) });
    this.#strip = new Strip({
      label: "Tokens",
      describe: (index) => this.#describe(index),
      point: (index, box) => this.#point(index, box),
      // A second click takes the choice back.
      select: (index) => this.#set("selected", model.get("selected") === index ? null : index),
    });
    this.#root = h(
      "section",
      { class: "wb wb-frame token-strip", "aria-label": "Token strip", testid: "token-strip" },
      this.#bar.element,
      h("div", "strip-text", this.#strip.element),
      this.#facts,
      this.#tip.element,
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    const texts = () => {
      this.#build();
      this.#draw();
    };
    for (const [name, changed] of [
      ["tokens", texts],
      ["data", texts],
      ["scale", () => this.#draw()],
      ["shown", () => this.#draw()],
      ["selected", () => this.#drawSelected()],
    ] as const) {
      this.#model.on(`change:${name}`, changed);
      this.#cleanups.push(() => this.#model.off(`change:${name}`, changed));
    }
    this.#cleanups.push(
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      () => this.#tip.hide(),
    );
    texts();
    return () => {
      for (const end of this.#cleanups) end();
    };
  }

  #set<K extends keyof State>(name: K, value: State[K]): void {
    this.#model.set(name, value);
    this.#model.save_changes();
  }

  #build(): void {
    const tokens = this.#model.get("tokens");
    this.#values = valuesOf(this.#model.get("data"), tokens.length, this.#model.get("names").length);
    this.#strip.show(tokens);
  }

  #draw(): void {
    const get = <K extends keyof State>(name: K): State[K] => this.#model.get(name);
    const state = { names: get("names"), kind: get("kind"), scale: get("scale"), shown: get("shown") };
    const series = shownSeries(state, this.#values);
    const signed = series.some(({ values }) => Array.prototype.some.call(values, (value: number) => value < 0));
    this.#bar.show(state, series, signed);
    this.#strip.paint(series);
    this.#drawSelected();
  }

  #drawSelected(): void {
    const [selected, tokens] = [this.#model.get("selected"), this.#model.get("tokens")];
    this.#strip.select(selected);
    if (selected === null) {
      fill(this.#facts, `${count(tokens.length, "token")}; click one to select it`);
    } else {
      fill(
        this.#facts,
        `Selected: position ${selected} `,
        h("b", "wb-token", visible(tokens[selected]!)),
        ` · ${this.#named(selected).join(" · ")}`,
      );
    }
  }

  /** Return what the shown series have at a token, in words. */
  #named(index: number): string[] {
    const [names, kind, shown] = [this.#model.get("names"), this.#model.get("kind"), this.#model.get("shown")];
    return shown.map((series) => {
      const name = names.length === 1 && names[0] === kind ? kind : isolate(names[series]!);
      return `${name} ${worded(this.#values[series]?.[index] ?? Number.NaN, kind)}`;
    });
  }

  #describe(index: number): string {
    return `${isolate(visible(this.#model.get("tokens")[index]!))}, position ${index}, ${this.#named(index).join(", ")}`;
  }

  #point(index: number | null, box: DOMRect | null): void {
    if (index === null || box === null) {
      this.#tip.hide();
      return;
    }
    const [names, kind] = [this.#model.get("names"), this.#model.get("kind")];
    const series = shownSeries(
      { names, kind, scale: this.#model.get("scale"), shown: this.#model.get("shown") },
      this.#values,
    );
    this.#tip.show(
      box,
      h(
        "div",
        "wb-tip-row",
        h("span", "wb-token", visible(this.#model.get("tokens")[index]!)),
        h("span", "wb-muted", `position ${index}`),
      ),
      ...series.map((one) =>
        h(
          "div",
          { class: "wb-tip-row", "data-hue": one.hue },
          series.length > 1 && h("i", "strip-swatch"),
          h("bdi", {}, one.name),
          h("b", {}, worded(one.values[index] ?? Number.NaN, kind)),
        ),
      ),
    );
  }
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    return new TokenStrip(model, el).show();
  },
};
