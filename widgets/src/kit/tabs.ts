/** The strip of tabs over the left area, one for each pane; a single one needs none. */

import { h, uid } from "./dom";
import { onKeys } from "./keyboard";

export interface Tab {
  key: string;
  name: string;
  /** What the tab shows; becomes its panel. */
  element: HTMLElement;
}

export class Tabs {
  readonly element: HTMLElement;
  readonly #tabs: (Tab & { button: HTMLButtonElement })[];

  constructor(tabs: Tab[], choose: (key: string) => void) {
    this.#tabs = tabs.map((tab) => {
      const [own, panel] = [uid("tab"), uid("panel")];
      const button = h(
        "button",
        {
          id: own,
          type: "button",
          role: "tab",
          class: "wbx-tab",
          "aria-controls": panel,
          testid: `tab-${tab.key}`,
          onclick: () => choose(tab.key),
        },
        tab.name,
      );
      tab.element.id = panel;
      tab.element.setAttribute("role", "tabpanel");
      tab.element.setAttribute("aria-labelledby", own);
      return { ...tab, button };
    });
    const step = (by: number) => () => {
      const at = this.#tabs.findIndex(({ button }) => button === document.activeElement);
      this.#focus((at + by + tabs.length) % tabs.length);
    };
    this.element = h(
      "div",
      {
        class: "wbx-tabs",
        role: "tablist",
        "aria-label": "Views of the graph",
        hidden: tabs.length < 2,
        // Enter and Space choose, as on every button: a tab may have to ask Python for what it shows.
        onkeydown: onKeys({
          ArrowLeft: step(-1),
          ArrowRight: step(1),
          Home: () => this.#focus(0),
          End: () => this.#focus(tabs.length - 1),
        }),
      },
      ...this.#tabs.map(({ button }) => button),
    );
  }

  /** Show the panel of a key, or of the first tab where there is no such key; return the key that is shown. */
  show(key: string): string {
    const shown = this.#tabs.find((tab) => tab.key === key) ?? this.#tabs[0]!;
    for (const { button, element } of this.#tabs) {
      const chosen = button === shown.button;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      element.hidden = !chosen;
    }
    return shown.key;
  }

  #focus(at: number): void {
    this.#tabs[at]!.button.focus();
  }
}
