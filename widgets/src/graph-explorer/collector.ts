/** Hold G and click nodes: let go, and they are a supernode. G alone groups what is selected. */

import { on } from "../kit/dom";
import type { State } from "./state";

export class Collector {
  readonly #state: State;
  readonly #done: (name: string | null) => void;
  #ids: string[] | null = null;

  /** @param done is called with the name of the supernode, or with null when there is none to be made. */
  constructor(state: State, done: (name: string | null) => void) {
    this.#state = state;
    this.#done = done;
  }

  /** The nodes that were clicked so far. */
  get ids(): readonly string[] {
    return this.#ids ?? [];
  }

  begin(event: KeyboardEvent): void {
    if (!event.repeat) this.#ids = [];
  }

  /** Take a node in, or out again; return whether nodes are being collected at all. */
  take(id: string): boolean {
    if (this.#ids === null) return false;
    this.#ids = this.#ids.includes(id) ? this.#ids.filter((other) => other !== id) : [...this.#ids, id];
    return true;
  }

  /** Hear when the key is let go, or when the focus leaves, with which no key is heard any more. */
  watch(root: HTMLElement): () => void {
    return on(root, {
      keyup: (event) => {
        if (event.key.toLowerCase() === "g") this.#end();
      },
      focusout: (event) => {
        if (!(event.relatedTarget instanceof Node && root.contains(event.relatedTarget))) this.#give();
      },
    });
  }

  #end(): void {
    if (this.#ids === null) return;
    const clicked = this.#ids;
    this.#ids = null;
    const ids = clicked.length > 1 ? clicked : [...new Set([...this.#state.selected, ...clicked])];
    const name = this.#state.group(ids);
    if (name !== null) this.#state.set("selected_ids", ids);
    this.#done(name);
  }

  #give(): void {
    if (this.#ids === null) return;
    this.#ids = null;
    this.#done(null);
  }
}
