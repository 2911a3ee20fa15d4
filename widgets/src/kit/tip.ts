/** What is meant, beside what the pointer or the focus is on. It stands in the top layer: nothing cuts it off. */

import { fill, h } from "./dom";

const GAP = 6;
const MARGIN = 4;

export class Tip {
  readonly element = h("div", {
    class: "wb-tip",
    role: "tooltip",
    popover: "manual",
    testid: "tip",
    hidden: true,
  });

  get shown(): boolean {
    return !this.element.hidden;
  }

  /** Show lines above or below a box of the page, where there is room. */
  show(box: { left: number; top: number; bottom: number; width: number }, ...lines: (Node | string | false)[]): void {
    fill(this.element, ...lines);
    this.element.hidden = false;
    if (this.element.isConnected && !isOpen(this.element)) this.element.showPopover?.();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.max(MARGIN, Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - MARGIN));
    const above = box.top - GAP - height;
    const top = above >= MARGIN ? above : box.bottom + GAP;
    this.element.style.left = `${Math.round(left)}px`;
    this.element.style.top = `${Math.round(top)}px`;
  }

  hide(): void {
    if (!this.shown) return;
    if (isOpen(this.element)) this.element.hidePopover?.();
    this.element.hidden = true;
  }
}

function isOpen(element: Element): boolean {
  try {
    return element.matches(":popover-open");
  } catch {
    // Browsers without popovers show it where it stands.
    return false;
  }
}
