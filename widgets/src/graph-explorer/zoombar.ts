/** The buttons that zoom, for those without a wheel or a touchpad. */

import { h } from "../kit/dom";

export interface Zoomable {
  readonly zoom: number;
  zoomIn(): void;
  zoomOut(): void;
  resetZoom(): void;
}

export function makeZoomBar(of: Zoomable) {
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
  const out = button("−", "Zoom out (−)", "zoom-out", () => of.zoomOut());
  const reset = button("", "", "zoom-reset", () => of.resetZoom());
  const element = h(
    "div",
    { class: "wbx-zoom", role: "group", "aria-label": "Zoom" },
    out,
    reset,
    button("+", "Zoom in (+), or Ctrl and the wheel", "zoom-in", () => of.zoomIn()),
  );
  update();

  function update(): void {
    const text = `${Math.round(of.zoom * 100)} %`;
    reset.textContent = text;
    reset.setAttribute("aria-label", `Zoom ${text}: show the whole graph (0)`);
    reset.title = "Show the whole graph (0)";
    reset.disabled = out.disabled = of.zoom === 1;
  }

  return { element, update };
}
