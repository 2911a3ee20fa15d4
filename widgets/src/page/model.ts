/** A widget's state without a kernel: what a module may ask of its model, answered on the page. */

type Listener = (...values: never[]) => void;
type Tree = Record<string | number, unknown>;

/** Put base64 buffers back to where they were taken from; changes and returns the state. */
export function restoreBuffers(
  state: Record<string, unknown>,
  buffers: { path: (string | number)[]; data: string }[],
): Record<string, unknown> {
  for (const { path, data } of buffers) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    let place = state as Tree;
    for (const step of path.slice(0, -1)) place = place[step] as Tree;
    place[path.at(-1)!] = new DataView(bytes.buffer);
  }
  return state;
}

export class PageModel {
  readonly #state: Record<string, unknown>;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(state: Record<string, unknown>, buffers: { path: (string | number)[]; data: string }[] = []) {
    this.#state = restoreBuffers(state, buffers);
  }

  get(name: string): unknown {
    return this.#state[name];
  }

  set(name: string, value: unknown): void {
    if (this.#state[name] === value) return;
    this.#state[name] = value;
    this.#emit(`change:${name}`);
    this.#emit("change");
  }

  on(event: string, listener: Listener): void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
  }

  off(event?: string | null, listener?: Listener | null): void {
    if (!event) this.#listeners.clear();
    else if (!listener) this.#listeners.delete(event);
    else this.#listeners.get(event)?.delete(listener);
  }

  save_changes(): void {}

  send(content: { kind?: string; id?: string }): void {
    if (content.kind !== "request") return;
    const reply = {
      kind: "reply",
      id: content.id,
      error: "This page has no kernel to ask: open the graph in a notebook.",
      no_kernel: true,
    };
    queueMicrotask(() => this.#emit("msg:custom", reply, []));
  }

  #emit(event: string, ...values: unknown[]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...(values as never[]));
  }
}
