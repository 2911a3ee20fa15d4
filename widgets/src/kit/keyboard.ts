/** Keys belong to the widget that has the focus: JupyterLab would insert a cell at "b". */

import { on } from "./dom";

/**
 * Give every element of the widget that takes the focus the mark that JupyterLab's shortcuts respect, and keep its key
 * events from the notebook. Return what ends it.
 */
export function claimKeys(root: HTMLElement): () => void {
  return on(root, {
    focusin: (event) => {
      // JupyterLab looks at the focused element alone, not at its parents.
      if (event.target instanceof HTMLElement) event.target.dataset.lmSuppressShortcuts = "true";
    },
    keydown: (event) => event.stopPropagation(),
  });
}

/** Return a listener that runs the action of a key; keys with Ctrl, Alt or Meta stay the browser's. */
export function onKeys(actions: Record<string, (event: KeyboardEvent) => void>): (event: Event) => void {
  return (event) => {
    const pressed = event as KeyboardEvent;
    if (pressed.ctrlKey || pressed.altKey || pressed.metaKey) return;
    const action = actions[pressed.key];
    if (!action) return;
    pressed.preventDefault();
    action(pressed);
  };
}
