/** Nodes and supernodes that are dragged out of the explorer: onto sliders, or as their ids into a cell. */

import { on } from "../kit/dom";
import { SUPERNODE, type Supernode } from "../kit/supernode";
import type { State } from "./state";

/** Props of an element that stands for a node, or for a supernode, and can be dragged away. */
export const carries = (id: string) => ({ draggable: "true", "data-id": id });
export const carriesGroup = (name: string) => ({ draggable: "true", "data-group": name });

/** Let such elements below a root be dragged; return what ends it. */
export function letCarry(root: HTMLElement, state: State): () => void {
  return on(root, {
    dragstart: (event) => {
      const { id, group } = (event.target as HTMLElement).dataset ?? {};
      const transfer = event.dataTransfer;
      const ids = state.groups.find(({ name }) => name === group)?.ids ?? (id ? [id] : []);
      if (!transfer || ids.length === 0) return;
      transfer.effectAllowed = "copy";
      transfer.setData("text/plain", ids.join(" "));
      if (group === undefined) return;
      const supernode: Supernode = { name: group, node_ids: ids };
      transfer.setData(SUPERNODE, JSON.stringify(supernode));
    },
  });
}
