/** Is there a kernel at the other end? */

import type { AnyModel } from "@anywidget/types";

const DISCONNECTED = "jupyter-widgets-disconnected";

/** Return whether the widget's kernel is gone: JupyterLab marks the views of a dead connection so. */
export function disconnected(element: Element): boolean {
  return element.closest(`.${DISCONNECTED}`) !== null;
}

/** Return who answers: a live kernel, one that is gone, or none because this is a stand-alone page. */
export function connection(element: Element): "live" | "gone" | "page" {
  if (element.closest("#workbench-widget") !== null) return "page";
  return disconnected(element) ? "gone" : "live";
}

/**
 * Keep the mark of a dead connection on a view's element, and call back whenever it changes; return what ends it.
 *
 * JupyterLab's own views follow their model's event; anywidget takes that listener away when it renders, so that
 * without this a view whose kernel was restarted would look alive. A connection that has ended never comes back.
 */
export function watchConnection(
  model: Pick<AnyModel, "on" | "off">,
  element: Element,
  changed: () => void,
): () => void {
  const ended = () => element.classList.add(DISCONNECTED);
  model.on("comm_live_update", ended);
  const observer = new MutationObserver(changed);
  observer.observe(element, { attributes: true, attributeFilter: ["class"] });
  return () => {
    model.off("comm_live_update", ended);
    observer.disconnect();
  };
}
