/** Above the texts: the prompt, the edits, how tokens are chosen, and the way to produce another text. */

import { fill, h, uid } from "../kit/dom";
import { count } from "../kit/format";
import { visible } from "../kit/tokens";
import { choice, type Settings, type State } from "./state";

export interface HeaderActions {
  set: (setting: keyof Settings, value: number) => void;
  start: () => void;
  stop: () => void;
}

const FIELDS: [keyof Settings, string, { min: number; max?: number; step: number | "any" }][] = [
  ["seed", "Seed", { min: 0, step: 1 }],
  ["temperature", "Temperature", { min: 0, max: 5, step: "any" }],
  ["max_new_tokens", "Tokens", { min: 1, step: 1 }],
];

export class Header {
  readonly element: HTMLElement;
  readonly #facts = h("p", { class: "generation-facts wb-muted", testid: "facts" });
  readonly #fields: Map<keyof Settings, HTMLInputElement>;
  readonly #start: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;

  constructor(state: Pick<State, "prompt" | "edits" | "mode" | "chat" | "can_start">, actions: HeaderActions) {
    this.#fields = new Map(
      FIELDS.map(([name, , limits]) => [
        name,
        h("input", {
          type: "number",
          ...limits,
          id: uid(name),
          testid: name,
          onchange: () => this.#read(name, actions),
        }),
      ]),
    );
    this.#start = h("button", { class: "generation-start", testid: "start", onclick: actions.start }, "Generate again");
    this.#stop = h("button", { testid: "stop", onclick: actions.stop }, "Stop");
    const prompt = state.prompt.join("");
    const template = state.chat ? "in the model’s chat template" : "as plain text";
    this.element = h(
      "header",
      "generation-header",
      h("p", { class: "generation-prompt", title: prompt }, h("bdi", {}, visible(prompt))),
      h(
        "p",
        "wb-muted generation-about",
        [
          count(state.prompt.length, "token"),
          state.chat !== null && template,
          state.edits.length > 0 && `mode ${state.mode}`,
        ]
          .filter(Boolean)
          .join(", "),
      ),
      edits(state.edits),
      h(
        "div",
        "generation-tools",
        ...(state.can_start
          ? [
              ...FIELDS.map(([name, title]) =>
                h("label", { for: this.#fields.get(name)!.id }, `${title} `, this.#fields.get(name)),
              ),
              this.#start,
              this.#stop,
            ]
          : []),
        this.#facts,
      ),
    );
  }

  show(settings: Settings, made: State["made"], running: boolean, disabled: boolean): void {
    for (const [name, field] of this.#fields) {
      if (document.activeElement !== field) field.value = String(settings[name]);
      field.disabled = disabled;
    }
    this.#start.disabled = disabled;
    this.#stop.disabled = disabled || !running;
    fill(this.#facts, choice(made));
  }

  #read(name: keyof Settings, actions: HeaderActions): void {
    const field = this.#fields.get(name)!;
    const value = Number(field.value);
    const whole = name === "temperature" || Number.isInteger(value);
    if (field.value === "" || !whole || !field.checkValidity()) field.setAttribute("aria-invalid", "true");
    else {
      field.removeAttribute("aria-invalid");
      actions.set(name, value);
    }
  }
}

function edits(texts: string[]): HTMLElement {
  if (texts.length === 0) return h("p", "wb-muted", "No edits: the clean text alone.");
  return h(
    "details",
    { class: "generation-edits", open: texts.length <= 3 },
    h("summary", {}, count(texts.length, "edit")),
    h("ul", {}, ...texts.map((text) => h("li", {}, text))),
  );
}
