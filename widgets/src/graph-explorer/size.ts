/** How large a view is: the handle at its lower edge, and the whole screen. */

import { h, on } from "../kit/dom";
import { onKeys } from "../kit/keyboard";
import { screenIcon } from "./glyph";
import type { State } from "./state";

/** As Python has it: layers need room. */
const LOWEST = 240;
const STEP = 20;

/** The handle that makes the widget higher or lower. */
export class Handle {
  readonly element: HTMLElement;
  readonly #state: State;
  #from: { y: number; height: number } | null = null;

  constructor(state: State) {
    this.#state = state;
    const by = (step: number) => () => this.#set(state.height + step);
    this.element = h("div", {
      class: "wbx-handle",
      role: "separator",
      tabindex: 0,
      "aria-orientation": "horizontal",
      "aria-label": "Height of the widget",
      "aria-valuemin": LOWEST,
      title: "Drag to make it higher or lower (arrow keys)",
      testid: "height",
      onkeydown: onKeys({ ArrowDown: by(STEP), ArrowUp: by(-STEP) }),
      onpointerdown: (event) => this.#down(event as PointerEvent),
      onpointermove: (event) => {
        if (this.#from) this.#set(this.#from.height + (event as PointerEvent).clientY - this.#from.y);
      },
      onpointerup: () => {
        this.#from = null;
      },
      onpointercancel: () => {
        this.#from = null;
      },
    });
    this.update();
  }

  update(): void {
    this.element.setAttribute("aria-valuenow", String(this.#state.height));
    this.element.setAttribute("aria-valuemax", String(this.#highest));
  }

  /** As the style sheet has it: never more than the window shows. */
  get #highest(): number {
    return Math.max(Math.floor(innerHeight * 0.92), LOWEST);
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return;
    event.preventDefault();
    this.element.setPointerCapture?.(event.pointerId);
    this.element.focus();
    this.#from = { y: event.clientY, height: Math.min(this.#state.height, this.#highest) };
  }

  #set(height: number): void {
    this.#state.set("height", Math.round(Math.min(Math.max(height, LOWEST), this.#highest)));
  }
}

/** The button that gives the widget the whole screen; where the page forbids that, there is none. */
export class FullScreen {
  readonly button: HTMLButtonElement;
  readonly dispose: () => void;
  readonly #element: () => HTMLElement;

  constructor(element: () => HTMLElement) {
    this.#element = element;
    this.button = h(
      "button",
      {
        class: "wbx-button wbx-square",
        testid: "full-screen",
        hidden: !document.fullscreenEnabled,
        onclick: () => void this.toggle(),
      },
      screenIcon(),
    );
    this.dispose = on(document, { fullscreenchange: () => this.#update() });
    this.#update();
  }

  get on(): boolean {
    return document.fullscreenElement !== null && document.fullscreenElement === this.#element();
  }

  async toggle(): Promise<void> {
    if (!document.fullscreenEnabled) return;
    if (this.on) await document.exitFullscreen();
    else await this.#element().requestFullscreen();
  }

  #update(): void {
    const text = this.on ? "Leave the full screen (F)" : "Full screen (F)";
    this.button.setAttribute("aria-label", text);
    this.button.setAttribute("aria-pressed", String(this.on));
    this.button.title = text;
  }
}
