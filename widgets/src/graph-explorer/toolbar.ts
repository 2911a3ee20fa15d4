/** The row above the graph: what is drawn, and what the shapes and colours mean. */

import { fill, h, uid } from "../kit/dom";
import { BIAS, ERROR, FEATURE, LOGIT, TOKEN } from "./data";
import { glyph, pinIcon, redoIcon, undoIcon } from "./glyph";
import { Help } from "./help";
import type { Shown } from "./prune";
import type { State } from "./state";

/** Return a button that a picture names; {@link say} names it in words. */
function square(picture: Element, testid: string, act: () => void): HTMLButtonElement {
  return h(
    "button",
    { type: "button", class: "wb-explorer-button wb-explorer-square", "data-testid": testid, onclick: act },
    picture,
  );
}

function say(button: HTMLButtonElement, text: string, enabled: boolean): void {
  button.setAttribute("aria-label", text);
  button.title = text;
  button.disabled = !enabled;
}

const n = (value: number) => value.toLocaleString("en");

export class Toolbar {
  readonly element: HTMLElement;
  readonly help = new Help();
  readonly actions: HTMLElement;
  readonly #state: State;
  readonly #slider: HTMLInputElement;
  readonly #value = h("output", { class: "wb-explorer-threshold-value" });
  readonly #counts = h("div", { class: "wb-explorer-counts", "data-testid": "counts" });
  readonly #errors: HTMLInputElement;
  readonly #biases: HTMLInputElement;
  readonly #pin: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  readonly #redo: HTMLButtonElement;

  constructor(state: State, clear: () => void) {
    this.#state = state;
    const id = uid("threshold");
    this.#slider = h("input", {
      id,
      type: "range",
      min: 0,
      max: 100,
      step: 1,
      "data-testid": "threshold",
      oninput: () => state.slide("node_threshold", Number(this.#slider.value) / 100),
      onchange: () => state.history.release(),
    });
    this.#value.setAttribute("for", id);
    this.#undo = square(undoIcon(), "undo", () => state.history.undo());
    this.#redo = square(redoIcon(), "redo", () => state.history.redo());
    this.#errors = this.#toggle("show_errors");
    this.#biases = this.#toggle("show_biases");
    this.#pin = h(
      "button",
      {
        type: "button",
        class: "wb-explorer-button",
        "data-testid": "pin",
        onclick: () => state.current !== null && state.togglePin(state.current),
      },
      pinIcon(),
      h("span", {}, "Pin"),
    );
    this.#clear = h(
      "button",
      {
        type: "button",
        class: "wb-explorer-button",
        "data-testid": "clear",
        title: "Select nothing (Esc)",
        onclick: clear,
      },
      "Clear",
    );
    this.actions = h(
      "div",
      { class: "wb-explorer-actions" },
      h("div", { class: "wb-explorer-pair", role: "group", "aria-label": "Steps" }, this.#undo, this.#redo),
      this.#pin,
      this.#clear,
    );
    const sign = (name: "positive" | "negative", text: string, title: string) =>
      h(
        "span",
        { class: "wb-explorer-key", role: "img", "aria-label": title, title },
        h("i", { class: `wb-explorer-line wb-explorer-${name}` }),
        text,
      );
    const key = (kind: number, text: string) => h("span", { class: "wb-explorer-key" }, glyph(kind), text);
    const shape = (kind: number, text: string, input: HTMLInputElement) =>
      h("label", { class: "wb-explorer-key wb-explorer-toggle" }, input, glyph(kind), text);
    this.element = h(
      "div",
      { class: "wb-explorer-toolbar", role: "group", "aria-label": "What is drawn" },
      h(
        "div",
        { class: "wb-explorer-threshold" },
        h(
          "label",
          { for: id, title: "Nodes are drawn by influence, the largest first, until they carry this share of it." },
          "Influence",
        ),
        this.#slider,
        this.#value,
      ),
      this.#counts,
      h(
        "div",
        { class: "wb-explorer-legend" },
        key(FEATURE, "feature"),
        key(TOKEN, "token"),
        key(LOGIT, "logit"),
        shape(ERROR, "error", this.#errors),
        shape(BIAS, "bias", this.#biases),
        sign("positive", "+", "An edge with a positive weight"),
        sign("negative", "−", "An edge with a negative weight"),
      ),
      this.actions,
    );
    this.update();
    this.updateSteps();
  }

  /** Follow the state. */
  update(): void {
    const { current, pinned, selected, threshold, errors, biases } = this.#state;
    const text = `${Math.round(threshold * 100)} %`;
    if (document.activeElement !== this.#slider || Math.round(threshold * 100) !== Number(this.#slider.value)) {
      this.#slider.value = String(Math.round(threshold * 100));
    }
    this.#slider.setAttribute("aria-valuetext", `${text} of the influence`);
    this.#value.textContent = text;
    this.#errors.checked = errors;
    this.#biases.checked = biases;
    const isPinned = current !== null && pinned.includes(current);
    this.#pin.disabled = current === null;
    this.#pin.setAttribute("aria-pressed", String(isPinned));
    this.#pin.title = current === null ? "Select a node to pin it (P)" : isPinned ? "Unpin (P)" : "Pin (P)";
    this.#clear.disabled = selected.length === 0;
  }

  /** Say whether there are steps to take back or to do again. */
  updateSteps(): void {
    const { canUndo, canRedo } = this.#state.history;
    say(this.#undo, "Undo (Ctrl/⌘-Z)", canUndo);
    say(this.#redo, "Redo (Shift-Ctrl/⌘-Z)", canRedo);
  }

  /** Say how many of how many nodes and edges are drawn. */
  count(shown: Shown): void {
    const { n_nodes: nodes, n_edges: edges } = this.#state.graph.info;
    fill(
      this.#counts,
      h("b", {}, n(shown.nNodes)),
      ` of ${n(nodes)} nodes, `,
      h("b", {}, n(shown.edges.length)),
      ` of ${n(edges)} edges`,
    );
    const { size, edges: carried } = this.#state.graph;
    this.#counts.title =
      `This view holds the ${n(size)} most influential nodes and the ${n(carried.size)} most influential edges ` +
      "between them. The details of a node list all of its edges.";
  }

  #toggle(trait: "show_errors" | "show_biases"): HTMLInputElement {
    const input = h("input", {
      type: "checkbox",
      "data-testid": trait,
      onchange: () => this.#state.set(trait, input.checked),
    });
    return input;
  }
}
