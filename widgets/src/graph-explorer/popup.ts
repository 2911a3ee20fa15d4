/** A panel over the graph that a button opens and closes. */

import { h, uid } from "../kit/dom";

export class Popup {
  readonly panel: HTMLElement;
  readonly button: HTMLButtonElement;

  constructor(label: string, testid: string, face: Node | string, shape: string, ...content: Node[]) {
    const id = uid(testid);
    this.panel = h("div", { id, class: "wbx-popup", role: "region", "aria-label": label, hidden: true }, ...content);
    this.button = h(
      "button",
      {
        class: `wbx-button ${shape}`,
        "aria-label": label,
        title: label,
        "aria-controls": id,
        "aria-expanded": "false",
        testid,
        onclick: () => this.toggle(this.panel.hidden),
      },
      face,
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
