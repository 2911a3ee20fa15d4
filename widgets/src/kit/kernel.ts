/** Is there a kernel at the other end? */

/** Return whether the widget's kernel is gone: JupyterLab marks the views of a dead connection so. */
export function disconnected(element: Element): boolean {
  return element.closest(".jupyter-widgets-disconnected") !== null;
}

/** Return who answers: a live kernel, one that is gone, or none because this is a stand-alone page. */
export function connection(element: Element): "live" | "gone" | "page" {
  if (element.closest("#workbench-widget") !== null) return "page";
  return disconnected(element) ? "gone" : "live";
}

/** Call back whenever JupyterLab marks the view's element, or takes the mark away; return what ends it. */
export function watchConnection(element: Element, changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  observer.observe(element, { attributes: true, attributeFilter: ["class"] });
  return () => observer.disconnect();
}
