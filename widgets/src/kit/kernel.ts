/** Is there a kernel at the other end? */

/** Return whether the widget's kernel is gone: JupyterLab marks the views of a dead connection so. */
export function disconnected(element: Element): boolean {
  return element.closest(".jupyter-widgets-disconnected") !== null;
}
