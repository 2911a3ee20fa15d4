/** The buttons that zoom, for those without a wheel or a touchpad. */

import { h } from "../kit/dom";

export interface Zoomable {
  readonly zoom: number;
  zoomIn(): void;
  zoomOut(): void;
  resetZoom(): void;
}

export class ZoomBar {
  readonly element: HTMLElement;
  readonly #of: Zoomable;
  readonly #reset: HTMLButtonElement;
  readonly #out: HTMLButtonElement;

  constructor(of: Zoomable) {
    this.#of = of;
    const button = (text: string, label: string, testid: string, act: () => void) =>
      h(
        "button",
        {
          class: "wbx-zoom-button",
          "aria-label": label,
          title: label,
          testid: testid,
          onclick: act,
        },
        text,
      );
    this.#out = button("−", "Zoom out (−)", "zoom-out", () => of.zoomOut());
    this.#reset = button("", "", "zoom-reset", () => of.resetZoom());
    this.element = h(
      "div",
      { class: "wbx-zoom", role: "group", "aria-label": "Zoom" },
      this.#out,
      this.#reset,
      button("+", "Zoom in (+), or Ctrl and the wheel", "zoom-in", () => of.zoomIn()),
    );
    this.update();
  }

  update(): void {
    const text = `${Math.round(this.#of.zoom * 100)} %`;
    this.#reset.textContent = text;
    this.#reset.setAttribute("aria-label", `Zoom ${text}: show the whole graph (0)`);
    this.#reset.title = "Show the whole graph (0)";
    this.#reset.disabled = this.#out.disabled = this.#of.zoom === 1;
  }
}
