/** How large a view is: the handle at its lower edge, and the whole screen. */

import { h, on } from "../kit/dom";
import { onKeys } from "../kit/keyboard";
import { screenIcon } from "./glyph";
import type { State } from "./state";

/** As Python has it: layers need room. */
const LOWEST = 240;
const STEP = 20;

/** The handle that makes the widget higher or lower. */
export function makeHandle(state: State) {
  let from: { y: number; height: number } | null = null;

  const by = (step: number) => () => set(state.height + step);
  const element = h("div", {
    class: "wbx-handle",
    role: "separator",
    tabindex: 0,
    "aria-orientation": "horizontal",
    "aria-label": "Height of the widget",
    "aria-valuemin": LOWEST,
    title: "Drag to make it higher or lower (arrow keys)",
    testid: "height",
    onkeydown: onKeys({ ArrowDown: by(STEP), ArrowUp: by(-STEP) }),
    onpointerdown: (event) => down(event as PointerEvent),
    onpointermove: (event) => {
      if (from) set(from.height + (event as PointerEvent).clientY - from.y);
    },
    onpointerup: () => {
      from = null;
    },
    onpointercancel: () => {
      from = null;
    },
  });
  update();

  function update(): void {
    element.setAttribute("aria-valuenow", String(state.height));
    element.setAttribute("aria-valuemax", String(highest()));
  }

  /** As the style sheet has it: never more than the window shows. */
  function highest(): number {
    return Math.max(Math.floor(innerHeight * 0.92), LOWEST);
  }

  function down(event: PointerEvent): void {
    if (event.button !== 0) return;
    event.preventDefault();
    element.setPointerCapture?.(event.pointerId);
    element.focus();
    from = { y: event.clientY, height: Math.min(state.height, highest()) };
  }

  function set(height: number): void {
    state.set("height", Math.round(Math.min(Math.max(height, LOWEST), highest())));
  }

  return { element, update };
}

/** The button that gives the widget the whole screen; where the page forbids that, there is none. */
export function makeFullScreen(element: () => HTMLElement) {
  const button = h(
    "button",
    {
      class: "wbx-button wbx-square",
      testid: "full-screen",
      hidden: !document.fullscreenEnabled,
      onclick: () => void toggle(),
    },
    screenIcon(),
  );
  const dispose = on(document, { fullscreenchange: () => update() });
  update();

  function whole(): boolean {
    return document.fullscreenElement !== null && document.fullscreenElement === element();
  }

  async function toggle(): Promise<void> {
    if (!document.fullscreenEnabled) return;
    if (whole()) await document.exitFullscreen();
    else await element().requestFullscreen();
  }

  function update(): void {
    const text = whole() ? "Leave the full screen (F)" : "Full screen (F)";
    button.setAttribute("aria-label", text);
    button.setAttribute("aria-pressed", String(whole()));
    button.title = text;
  }

  return { button, dispose, toggle };
}
