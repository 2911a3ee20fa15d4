/** One slider: its name, the range, a number field, and buttons for the three factors that have a name. */

import { h } from "../kit/dom";
import { count, plain } from "../kit/format";
import { visible } from "../kit/tokens";
import { icon } from "./icons";
import { ABLATED, CLEAN, clamp, HIGHEST, LOWEST, nameOf, parse, type Slider, spoken } from "./state";

export interface RowActions {
  /** The user set a factor. */
  move: (factor: number) => void;
  /** The user took the thumb, or let it go. */
  hold: (held: boolean) => void;
  link: () => void;
  sweep: () => void;
  remove: () => void;
}

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
  readonly #node: Slider;
  readonly #link: HTMLButtonElement;
  readonly #remove: HTMLButtonElement;
  readonly #group = h("span", "sliders-group");
  #factor = CLEAN;
  #held = false;
  #writing = false;

  constructor(node: Slider, stops: string, actions: RowActions) {
    this.#node = node;
    const changed = actions.move;
    const name = nameOf(node);
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
    const tool = (title: string, doing: string, act: () => void, ...content: Node[]) =>
      h("button", { class: "sliders-tool", title, "aria-label": `${doing} ${name}`, onclick: act }, ...content);
    this.#link = tool("Link with another slider: they move together", "Link", actions.link, icon("link"), this.#group);
    this.#remove = tool("Remove this slider", "Remove", actions.remove, icon("remove"));
    const sweep = tool("Dose and response over all factors", "Sweep", actions.sweep, icon("curve"));
    this.#buttons.push(this.#link, sweep, this.#remove);
    this.element = h(
      "li",
      { class: "sliders-row", "data-node": node.id },
      this.#name(node),
      h(
        "div",
        "sliders-control",
        h("div", "sliders-track", this.#range, scale()),
        h("div", "sliders-ends", this.#link, sweep, this.#remove, this.#field),
        h(
          "div",
          { class: "sliders-named", role: "group", "aria-label": `Set ${name}` },
          ...this.#buttons.slice(0, NAMED.length),
        ),
      ),
    );
    this.#listen(changed, actions.hold);
    this.show(CLEAN);
  }

  /** Show a factor. A thumb that the user holds and a field that they write in stay theirs until they let go. */
  show(factor: number): void {
    this.#factor = factor;
    if (!this.#held) this.#range.value = String(factor);
    if (!this.#writing) this.#write();
    this.#range.setAttribute("aria-valuetext", spoken(factor));
    for (const button of this.#buttons.slice(0, NAMED.length)) {
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

  /**
   * Show which sliders this one moves with.
   *
   * @param group is the letter of its group, or "".
   * @param chosen is how far a new link has come: this slider waits for another one, another one waits, or none does.
   */
  showLink(group: string, chosen: "this" | "other" | "none"): void {
    this.#group.textContent = group;
    this.#link.setAttribute("aria-pressed", String(group !== "" || chosen === "this"));
    this.#link.dataset.linking = chosen;
    const title = { this: "Cancel the link", other: "Link with this one", none: group ? "Unlink" : "Link" }[chosen];
    this.#link.title = chosen === "none" && group === "" ? "Link with another slider: they move together" : title;
    this.#link.setAttribute("aria-label", `${title}: ${nameOf(this.#node)}${group && `, group ${group}`}`);
    this.element.dataset.group = group;
  }

  /** The last slider cannot be removed. */
  set alone(alone: boolean) {
    this.#remove.hidden = alone;
  }

  set disabled(disabled: boolean) {
    for (const control of [this.#range, this.#field, ...this.#buttons]) control.disabled = disabled;
  }

  #write(): void {
    this.#writing = false;
    this.#field.value = String(this.#factor);
  }

  #name(node: Slider): HTMLElement {
    const label = node.label === "" ? "no label" : visible(node.label);
    return h(
      "div",
      "sliders-name",
      ...(node.layer === null
        ? [
            h(
              "span",
              { class: "sliders-feature", title: node.members.join(" ") },
              count(node.members.length, "feature"),
            ),
          ]
        : [
            h("span", { class: "sliders-feature", title: "layer / feature" }, `${node.layer}/${node.feature}`),
            h(
              "span",
              { class: "sliders-place", title: `position ${node.position}` },
              h("span", "wb-token", visible(node.token)),
              h("span", "wb-muted", node.position),
            ),
          ]),
      h("bdi", { class: `sliders-label${node.label === "" ? " wb-muted" : ""}`, title: label }, label),
      this.#activation,
    );
  }

  #listen(changed: (factor: number) => void, hold: (held: boolean) => void): void {
    const range = this.#range;
    const release = () => {
      this.#held = false;
      hold(false);
      this.show(this.#factor);
    };
    range.addEventListener("pointerdown", () => {
      this.#held = !range.disabled;
      hold(this.#held);
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
