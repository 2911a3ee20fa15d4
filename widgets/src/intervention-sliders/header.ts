/** Above the sliders: the prompt, the mode, and the way back to the clean run. */

import { fill, h, uid } from "../kit/dom";
import { visible } from "../kit/tokens";
import { MODES, type Mode } from "./state";

export interface HeaderActions {
  mode: (mode: Mode) => void;
  reset: () => void;
}

export class Header {
  readonly element: HTMLElement;
  readonly #inputs: HTMLInputElement[];
  readonly #explanation: HTMLElement;
  readonly #reset: HTMLButtonElement;

  constructor(prompt: string, actions: HeaderActions) {
    const group = uid("mode");
    this.#explanation = h("p", { class: "sliders-explanation wb-muted", id: uid("explanation") });
    this.#inputs = (Object.keys(MODES) as Mode[]).map((mode) =>
      h("input", {
        type: "radio",
        name: group,
        value: mode,
        "data-mode": mode,
        "aria-describedby": this.#explanation.id,
        onchange: () => actions.mode(mode),
      }),
    );
    this.#reset = h("button", { testid: "reset", onclick: actions.reset }, "Reset all");
    this.element = h(
      "header",
      "sliders-header",
      h("p", { class: "sliders-prompt", title: prompt }, h("bdi", {}, visible(prompt))),
      h(
        "div",
        "sliders-tools",
        h(
          "div",
          { class: "sliders-modes", role: "radiogroup", "aria-label": "Mode", testid: "mode" },
          ...this.#inputs.map((input) =>
            h("label", { title: MODES[input.value as Mode] }, input, h("span", {}, input.value)),
          ),
        ),
        this.#explanation,
        this.#reset,
      ),
    );
  }

  show(mode: Mode, edited: number, disabled: boolean): void {
    for (const input of this.#inputs) {
      input.checked = input.value === mode;
      input.disabled = disabled;
    }
    fill(this.#explanation, MODES[mode]);
    this.#reset.disabled = disabled || edited === 0;
    fill(this.#reset, edited === 0 ? "Reset all" : `Reset all (${edited})`);
  }
}
