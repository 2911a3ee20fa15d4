/** The keys and gestures, behind the "?". */

import { h, uid } from "../kit/dom";

const KEYS: [string, string][] = [
  ["Click", "select a node and list its edges"],
  ["Shift-click", "add to the selection"],
  ["Drag", "select all in a rectangle; with Shift, add them"],
  ["Hold G and click, G", "group the clicked nodes, or those selected, into a supernode"],
  ["Ctrl/⌘-click, P", "pin: the name stays visible"],
  ["↑ ↓", "walk along the strongest edge out of or into the node"],
  ["← →", "walk to the neighbour in the layer"],
  ["Enter", "select the node; with Shift, add it"],
  ["[ ]", "draw fewer or more nodes"],
  ["Ctrl/⌘-wheel, + −", "zoom; 0 or a double click on empty ground shows the whole graph"],
  ["Space-drag, wheel", "shift a graph that is zoomed in"],
  ["/", "find nodes by label, token or id"],
  ["Ctrl/⌘-Z", "undo; with Shift, redo"],
  ["F", "full screen"],
  ["Esc", "select nothing"],
];

export class Help {
  readonly panel: HTMLElement;
  readonly button: HTMLButtonElement;

  constructor() {
    const id = uid("help");
    this.panel = h(
      "div",
      { id, class: "wbx-help", role: "region", "aria-label": "Keys and gestures", hidden: true },
      h("dl", {}, ...KEYS.flatMap(([keys, meaning]) => [h("dt", {}, keys), h("dd", {}, meaning)])),
      h(
        "p",
        { class: "wb-muted" },
        "Columns are tokens, rows are layers. Width and strength of an edge show its share of the target’s input. " +
          "The lists beside the graph hold the same as the graph.",
      ),
    );
    this.button = h(
      "button",
      {
        class: "wbx-button wbx-round",
        "aria-label": "Keys and gestures",
        "aria-controls": id,
        "aria-expanded": "false",
        testid: "help",
        onclick: () => this.toggle(this.panel.hidden),
      },
      "?",
    );
  }

  get open(): boolean {
    return !this.panel.hidden;
  }

  toggle(open: boolean): void {
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }
}
