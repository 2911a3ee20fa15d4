/** One node: its name, a slider, a number field, and buttons for the three factors that have a name. */

import { h } from "../kit/dom";
import { plain } from "../kit/format";
import { visible } from "../kit/tokens";
import { ABLATED, CLEAN, clamp, type FeatureNode, HIGHEST, LOWEST, nodeName, parse, spoken } from "./state";

const NAMED: [string, number, string][] = [
  ["ablate", ABLATED, "Set to 0: the feature writes nothing"],
  ["invert", -1, "Set to −1: the feature writes the opposite"],
  ["clean", CLEAN, "Set to 1: as in the clean run"],
];

export class Row {
  readonly element: HTMLElement;
  readonly #range: HTMLInputElement;
  readonly #field: HTMLInputElement;
  readonly #activation = h("span", "wb-muted sliders-activation");
  readonly #buttons: HTMLButtonElement[];
  readonly #node: FeatureNode;
  #factor = CLEAN;
  #held = false;
  #writing = false;

  /** @param changed is called with a new factor whenever the user sets one. */
  constructor(node: FeatureNode, stops: string, changed: (factor: number) => void) {
    this.#node = node;
    const name = nodeName(node);
    const common = { min: LOWEST, max: HIGHEST, step: 0.1 };
    this.#range = h("input", {
      ...common,
      type: "range",
      class: "sliders-range",
      "aria-label": `Factor of ${name}`,
      list: stops,
      autocomplete: "off",
    });
    this.#field = h("input", { ...common, type: "number", class: "sliders-field", "aria-label": `Factor of ${name}` });
    this.#buttons = NAMED.map(([text, factor, title]) =>
      h(
        "button",
        {
          title,
          "data-factor": factor,
          "aria-label": `${text} ${name}`,
          onclick: () => changed(factor),
        },
        text,
      ),
    );
    this.element = h(
      "li",
      { class: "sliders-row", "data-node": node.id },
      this.#name(node),
      h(
        "div",
        "sliders-control",
        h("div", "sliders-track", this.#range, scale()),
        this.#field,
        h("div", { class: "sliders-named", role: "group", "aria-label": `Set ${name}` }, ...this.#buttons),
      ),
    );
    this.#listen(changed);
    this.show(CLEAN);
  }

  /** Show a factor. A thumb that the user holds and a field that they write in stay theirs until they let go. */
  show(factor: number): void {
    this.#factor = factor;
    if (!this.#held) this.#range.value = String(factor);
    if (!this.#writing) this.#write();
    this.#range.setAttribute("aria-valuetext", spoken(factor));
    for (const button of this.#buttons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.factor) === factor));
    }
    const { activation } = this.#node;
    if (activation !== null) {
      const after = factor === CLEAN ? "" : ` → ${plain(activation * factor)}`;
      this.#activation.textContent = `activation ${plain(activation)}${after}`;
    }
    this.element.style.setProperty("--fraction", String((clamp(factor) - LOWEST) / (HIGHEST - LOWEST)));
    this.element.dataset.factor = String(factor);
    this.element.dataset.change = factor > CLEAN ? "up" : factor < CLEAN ? "down" : "none";
  }

  set disabled(disabled: boolean) {
    for (const control of [this.#range, this.#field, ...this.#buttons]) control.disabled = disabled;
  }

  #write(): void {
    this.#writing = false;
    this.#field.value = String(this.#factor);
  }

  #name(node: FeatureNode): HTMLElement {
    const label = node.label === "" ? "no label" : visible(node.label);
    return h(
      "div",
      "sliders-name",
      h("span", { class: "sliders-feature", title: "layer / feature" }, `${node.layer}/${node.feature}`),
      h(
        "span",
        { class: "sliders-place", title: `position ${node.position}` },
        h("span", "wb-token", visible(node.token)),
        h("span", "wb-muted", node.position),
      ),
      h("bdi", { class: `sliders-label${node.label === "" ? " wb-muted" : ""}`, title: label }, label),
      this.#activation,
    );
  }

  #listen(changed: (factor: number) => void): void {
    const range = this.#range;
    const release = () => {
      this.#held = false;
      this.show(this.#factor);
    };
    range.addEventListener("pointerdown", () => {
      this.#held = !range.disabled;
    });
    for (const end of ["pointerup", "pointercancel", "change", "blur"]) range.addEventListener(end, release);
    range.addEventListener("input", () => changed(clamp(Number(range.value))));

    // While the user writes, only what is a number within the range counts; on leaving the field it is set right.
    this.#field.addEventListener("input", () => {
      this.#writing = true;
      const factor = parse(this.#field.value);
      if (factor !== null && factor === Number(this.#field.value)) changed(factor);
    });
    this.#field.addEventListener("change", () => {
      const factor = parse(this.#field.value);
      if (factor !== null && factor !== this.#factor) changed(factor);
      this.#write();
    });
    this.#field.addEventListener("blur", () => this.#write());
  }
}

/** Return the marks below a slider: its ends, and the stops with a name. */
function scale(): HTMLElement {
  const mark = (text: string, factor: number, kind: string) => {
    const element = h("span", { "data-mark": kind }, text);
    element.style.setProperty("--fraction", String((factor - LOWEST) / (HIGHEST - LOWEST)));
    return element;
  };
  return h(
    "div",
    { class: "sliders-scale", "aria-hidden": "true" },
    mark("−5", LOWEST, "lowest"),
    mark("ablate", ABLATED, "ablate"),
    mark("clean", CLEAN, "clean"),
    mark("5", HIGHEST, "highest"),
  );
}
