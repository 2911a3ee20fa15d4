/** What the keys do: some anywhere in the widget, most on the graph, where they walk from node to node. */

import { copy } from "../kit/clipboard";
import { on } from "../kit/dom";
import { onKeys } from "../kit/keyboard";
import type { Stage } from "./stage";
import type { State } from "./state";
import { along, beside, start } from "./walk";

/** Keys are letters in a field, and typing there has an undo of its own. */
const isText = (target: EventTarget | null) =>
  target instanceof HTMLInputElement && (target.type === "text" || target.type === "search");

/** Let keys act anywhere in a widget but in its text fields: undo, redo, and single ones; return what ends it. */
export function widgetKeys(
  root: HTMLElement,
  state: State,
  single: Record<string, (event: KeyboardEvent) => void>,
): () => void {
  const { history } = state;
  const plain = onKeys(single);
  const listener = (event: KeyboardEvent) => {
    if (isText(event.target)) return;
    if (event.altKey || !(event.ctrlKey || event.metaKey)) {
      plain(event);
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "z" && event.shiftKey) history.redo();
    else if (key === "z") history.undo();
    else if (key === "y" && event.ctrlKey) history.redo();
    else return;
    event.preventDefault();
  };
  return on(root, { keydown: listener });
}

/**
 * Let keys act on the graph's canvas.
 *
 * @param read tells a screen reader of the node that a walk came to.
 * @param leave is Esc, where no rectangle is being drawn.
 */
export function graphKeys(state: State, stage: Stage, read: (id: string) => void, leave: () => void): void {
  const { graph } = state;
  const here = () => graph.index.get(state.hovered ?? "") ?? graph.index.get(state.current ?? "") ?? -1;
  const walk = (next: (node: number) => number) => () => {
    const from = here();
    const to = from < 0 ? start(graph, stage.shown.nodes) : next(from);
    if (to < 0) return;
    stage.reveal(to);
    state.hover(graph.ids[to]!);
    read(graph.ids[to]!);
  };
  const side = (to: -1 | 1) => walk((node) => (stage.layout ? beside(graph, stage.layout, node, to) : -1));
  const step = (by: number) => () => {
    const percent = Math.min(Math.max(Math.round(state.threshold * 100) + by, 0), 100);
    state.set("node_threshold", percent / 100);
  };
  const pin = () => {
    const id = graph.ids[here()];
    if (id !== undefined) state.togglePin(id);
  };
  const copyId = () => {
    const id = graph.ids[here()];
    if (id !== undefined) void copy(id);
  };
  on(stage.canvas, {
    keydown: onKeys({
      ArrowUp: walk((node) => along(graph, stage.shown.nodes, node, "up")),
      ArrowDown: walk((node) => along(graph, stage.shown.nodes, node, "down")),
      ArrowLeft: side(-1),
      ArrowRight: side(1),
      Enter: (event) => {
        const id = graph.ids[here()];
        if (id !== undefined) state.select(id, event.shiftKey);
      },
      p: pin,
      P: pin,
      c: copyId,
      C: copyId,
      "+": () => stage.zoomIn(),
      "=": () => stage.zoomIn(),
      "-": () => stage.zoomOut(),
      "0": () => stage.resetZoom(),
      " ": () => stage.holdSpace(true),
      "[": step(-2),
      "]": step(2),
      Escape: () => {
        if (!stage.cancelDrag()) leave();
      },
    }),
    keyup: (event) => {
      if (event.key === " ") stage.holdSpace(false);
    },
  });
}
