/** What is dropped on the sliders: a supernode of an explorer, or text with the ids of nodes. */

import { SUPERNODE, type Supernode } from "../kit/supernode";

export interface Dropped {
  sliders: string[];
  supernodes: Supernode[];
}

/** Return whether something that is dragged could be read: before it is dropped only its types are known. */
export function takes(transfer: DataTransfer | null): boolean {
  return transfer !== null && [SUPERNODE, "text/plain"].some((type) => transfer.types.includes(type));
}

/** Return what was dropped. Python judges whether the graph has it; text without a feature's id goes there as it is. */
export function dropped(transfer: Pick<DataTransfer, "getData">): Dropped {
  const supernode = asSupernode(transfer.getData(SUPERNODE));
  if (supernode) return { sliders: [], supernodes: [supernode] };
  const text = transfer.getData("text/plain").trim();
  const ids = text.match(/\bf\/\d+\/\d+\/\d+\b/g) ?? (text ? [text.slice(0, 80)] : []);
  return { sliders: [...new Set(ids)], supernodes: [] };
}

function asSupernode(json: string): Supernode | null {
  try {
    const { name, node_ids } = JSON.parse(json) as Partial<Supernode>;
    return typeof name === "string" && Array.isArray(node_ids) ? { name, node_ids } : null;
  } catch {
    // Anyone may drag anything: what is no supernode may still be text.
    return null;
  }
}
