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

export function makeToolbar(state: State, clear: () => void) {
  const value = h("output", "wbx-threshold-value");
  const counts = h("div", { class: "wbx-counts", testid: "counts" });

  const id = uid("threshold");
  const slider = h("input", {
    id,
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    testid: "threshold",
    oninput: () => state.slide("node_threshold", Number(slider.value) / 100),
    onchange: () => state.history.release(),
  });
  value.setAttribute("for", id);
  const undo = square(undoIcon(), "undo", () => state.history.undo());
  const redo = square(redoIcon(), "redo", () => state.history.redo());
  const pin = h(
    "button",
    {
      class: "wbx-button",
      testid: "pin",
      onclick: () => state.current !== null && state.togglePin(state.current),
    },
    pinIcon(),
    h("span", {}, "Pin"),
  );
  const group = h(
    "button",
    {
      class: "wbx-button",
      testid: "group",
      title: "Group the selected nodes into a supernode (G); or hold G and click nodes",
      onclick: () => state.group(state.selected),
    },
    "Group",
  );
  const clearing = h(
    "button",
    {
      class: "wbx-button",
      testid: "clear",
      title: "Select nothing (Esc)",
      onclick: clear,
    },
    "Clear",
  );
  const actions = h(
    "div",
    "wbx-actions",
    h("div", { class: "wbx-pair", role: "group", "aria-label": "Steps" }, undo, redo),
    pin,
    group,
    clearing,
  );
  const element = h(
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
      slider,
      value,
    ),
    counts,
    actions,
  );
  update();
  updateSteps();

  /** Follow the state. */
  function update(): void {
    const { current, pinned, selected, threshold } = state;
    const text = `${Math.round(threshold * 100)} %`;
    if (document.activeElement !== slider || Math.round(threshold * 100) !== Number(slider.value)) {
      slider.value = String(Math.round(threshold * 100));
    }
    slider.setAttribute("aria-valuetext", `${text} of the influence`);
    value.textContent = text;
    const isPinned = current !== null && pinned.includes(current);
    pin.disabled = current === null;
    pin.setAttribute("aria-pressed", String(isPinned));
    pin.title = current === null ? "Select a node to pin it (P)" : isPinned ? "Unpin (P)" : "Pin (P)";
    group.disabled = selected.length < 2;
    clearing.disabled = selected.length === 0;
  }

  /** Say whether there are steps to take back or to do again. */
  function updateSteps(): void {
    const { canUndo, canRedo } = state.history;
    say(undo, "Undo (Ctrl/⌘-Z)", canUndo);
    say(redo, "Redo (Shift-Ctrl/⌘-Z)", canRedo);
  }

  /** Say how many of how many nodes and edges are drawn. */
  function count(shown: Shown): void {
    const { n_nodes: nodes, n_edges: edges } = state.graph.info;
    fill(
      counts,
      h("b", {}, n(shown.nNodes)),
      ` of ${n(nodes)} nodes, `,
      h("b", {}, n(shown.edges.length)),
      ` of ${n(edges)} edges`,
    );
    const { size, edges: carried } = state.graph;
    counts.title =
      `This view holds the ${n(size)} most influential nodes and the ${n(carried.size)} most influential edges ` +
      "between them. The details of a node list all of its edges.";
  }

  return { element, actions, update, updateSteps, count };
}
