/** The row above everything: how much is drawn, and what can be done with it. */

import { fill, h, uid } from "../kit/dom";
import { pinIcon, redoIcon, undoIcon } from "./glyph";
import type { Shown } from "./prune";
import type { State } from "./state";

/** Return a button that a picture names; {@link say} names it in words. */
function square(picture: Element, testid: string, act: () => void): HTMLButtonElement {
  return h("button", { class: "wbx-button wbx-square", testid: testid, onclick: act }, picture);
}

function say(button: HTMLButtonElement, text: string, enabled: boolean): void {
  button.setAttribute("aria-label", text);
  button.title = text;
  button.disabled = !enabled;
}

const n = (value: number) => value.toLocaleString("en");

export class Toolbar {
  readonly element: HTMLElement;
  readonly actions: HTMLElement;
  readonly #state: State;
  readonly #slider: HTMLInputElement;
  readonly #value = h("output", "wbx-threshold-value");
  readonly #counts = h("div", { class: "wbx-counts", testid: "counts" });
  readonly #pin: HTMLButtonElement;
  readonly #group: HTMLButtonElement;
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
      testid: "threshold",
      oninput: () => state.slide("node_threshold", Number(this.#slider.value) / 100),
      onchange: () => state.history.release(),
    });
    this.#value.setAttribute("for", id);
    this.#undo = square(undoIcon(), "undo", () => state.history.undo());
    this.#redo = square(redoIcon(), "redo", () => state.history.redo());
    this.#pin = h(
      "button",
      {
        class: "wbx-button",
        testid: "pin",
        onclick: () => state.current !== null && state.togglePin(state.current),
      },
      pinIcon(),
      h("span", {}, "Pin"),
    );
    this.#group = h(
      "button",
      {
        class: "wbx-button",
        testid: "group",
        title: "Group the selected nodes into a supernode (G); or hold G and click nodes",
        onclick: () => state.group(state.selected),
      },
      "Group",
    );
    this.#clear = h(
      "button",
      {
        class: "wbx-button",
        testid: "clear",
        title: "Select nothing (Esc)",
        onclick: clear,
      },
      "Clear",
    );
    this.actions = h(
      "div",
      "wbx-actions",
      h("div", { class: "wbx-pair", role: "group", "aria-label": "Steps" }, this.#undo, this.#redo),
      this.#pin,
      this.#group,
      this.#clear,
    );
    this.element = h(
      "div",
      { class: "wbx-toolbar", role: "group", "aria-label": "Tools" },
      h(
        "div",
        "wbx-threshold",
        h(
          "label",
          { for: id, title: "Nodes are drawn by influence, the largest first, until they carry this share of it." },
          "Influence",
        ),
        this.#slider,
        this.#value,
      ),
      this.#counts,
      this.actions,
    );
    this.update();
    this.updateSteps();
  }

  /** Follow the state. */
  update(): void {
    const { current, pinned, selected, threshold } = this.#state;
    const text = `${Math.round(threshold * 100)} %`;
    if (document.activeElement !== this.#slider || Math.round(threshold * 100) !== Number(this.#slider.value)) {
      this.#slider.value = String(Math.round(threshold * 100));
    }
    this.#slider.setAttribute("aria-valuetext", `${text} of the influence`);
    this.#value.textContent = text;
    const isPinned = current !== null && pinned.includes(current);
    this.#pin.disabled = current === null;
    this.#pin.setAttribute("aria-pressed", String(isPinned));
    this.#pin.title = current === null ? "Select a node to pin it (P)" : isPinned ? "Unpin (P)" : "Pin (P)";
    this.#group.disabled = selected.length < 2;
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
}
