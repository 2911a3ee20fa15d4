/** A supernode on its way from the explorer to the sliders. */

/** The type under which its JSON is dragged, beside the ids of its nodes as text. */
export const SUPERNODE = "application/x-workbench-supernode";

export interface Supernode {
  name: string;
  node_ids: string[];
}
