/** Above the sliders: the prompt, the mode, the matched control, undo and redo, the way back to the clean run. */

import { fill, h, uid } from "../kit/dom";
import { visible } from "../kit/tokens";
import { MODES, type Mode } from "./state";

export interface HeaderActions {
  mode: (mode: Mode) => void;
  reset: () => void;
  undo: () => void;
  redo: () => void;
  control: (on: boolean) => void;
  copy: () => Promise<void>;
}

export interface HeaderState {
  mode: Mode;
  edited: number;
  disabled: boolean;
  canUndo: boolean;
  canRedo: boolean;
  control: boolean;
  canCopy: boolean;
}

/** Milliseconds for which the button says that it has copied. */
const SAID = 1500;

export class Header {
  readonly element: HTMLElement;
  readonly #inputs: HTMLInputElement[];
  readonly #explanation: HTMLElement;
  readonly #reset: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  readonly #redo: HTMLButtonElement;
  readonly #control: HTMLInputElement;
  readonly #copy: HTMLButtonElement;

  constructor(prompt: string, canControl: boolean, actions: HeaderActions) {
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
    this.#undo = h("button", { testid: "undo", title: "Ctrl+Z", onclick: actions.undo }, "Undo");
    this.#redo = h("button", { testid: "redo", title: "Ctrl+Shift+Z", onclick: actions.redo }, "Redo");
    this.#control = h("input", {
      type: "checkbox",
      testid: "control",
      onchange: () => actions.control(this.#control.checked),
    });
    this.#copy = h(
      "button",
      {
        testid: "copy",
        title: "Copy the call of bench.intervene that gives this result",
        onclick: () => this.#copied(actions),
      },
      "Copy as Python",
    );
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
      ),
      h(
        "div",
        "sliders-actions",
        this.#undo,
        this.#redo,
        this.#reset,
        h(
          "label",
          {
            class: "sliders-compare",
            hidden: !canControl,
            title:
              "The same factors on other features of the same layer and position, about as active, drawn at random",
          },
          this.#control,
          " Matched control",
        ),
        this.#copy,
      ),
    );
  }

  show(now: HeaderState): void {
    for (const input of this.#inputs) {
      input.checked = input.value === now.mode;
      input.disabled = now.disabled;
    }
    fill(this.#explanation, MODES[now.mode]);
    this.#reset.disabled = now.disabled || now.edited === 0;
    fill(this.#reset, now.edited === 0 ? "Reset all" : `Reset all (${now.edited})`);
    this.#undo.disabled = now.disabled || !now.canUndo;
    this.#redo.disabled = now.disabled || !now.canRedo;
    this.#control.checked = now.control;
    this.#control.disabled = now.disabled;
    this.#copy.disabled = !now.canCopy;
  }

  async #copied(actions: HeaderActions): Promise<void> {
    await actions.copy();
    fill(this.#copy, "Copied");
    setTimeout(() => fill(this.#copy, "Copy as Python"), SAID);
  }
}
