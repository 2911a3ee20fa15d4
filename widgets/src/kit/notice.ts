/** One line of the widget that tells what went wrong or what it waits for. */

import { fill, h } from "./dom";

export class Notice {
  readonly element = h("div", { class: "wb-notice", hidden: true });

  /** Say what went wrong; read out at once by a screen reader. */
  error(message: string): void {
    this.#show(message, "alert", "error");
  }

  /** Say what is being done or waited for. */
  tell(message: string): void {
    this.#show(message, "status", "info");
  }

  clear(): void {
    this.element.hidden = true;
    fill(this.element);
  }

  #show(message: string, role: string, kind: string): void {
    this.element.setAttribute("role", role);
    this.element.dataset.kind = kind;
    this.element.hidden = false;
    fill(
      this.element,
      h("span", "wb-notice-text", message),
      h("button", { class: "wb-notice-close", "aria-label": "Dismiss", onclick: () => this.clear() }, "×"),
    );
  }
}
