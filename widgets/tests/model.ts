import { isDeepStrictEqual } from "node:util";
import { vi } from "vitest";

type Listener = (...values: never[]) => void;

/** A widget's model in memory: what a view saves and asks is kept, and its requests can be answered. */
export class Model<State extends object> {
  readonly asked: { id: string; method: string; params: Record<string, unknown> }[] = [];
  /** What Python would have got, save by save. */
  readonly saved: State[] = [];
  readonly save_changes = vi.fn(() => {
    this.saved.push(structuredClone(this.#state));
  });
  #state: State;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(state: State) {
    this.#state = { ...state };
  }

  get saves(): number {
    return this.saved.length;
  }

  get listenerCount(): number {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }

  get<K extends keyof State>(name: K): State[K] {
    return this.#state[name];
  }

  set<K extends keyof State>(name: K, value: State[K]): void {
    // As the real one: bytes are compared too.
    if (isDeepStrictEqual(this.#state[name], value)) return;
    this.#state[name] = value;
    this.emit(`change:${String(name)}`);
  }

  /** What Python sends: several traits, one after the other. */
  receive(changes: Partial<State>): void {
    for (const [name, value] of Object.entries(changes)) this.set(name as keyof State, value as never);
  }

  send(message: { id: string; method: string; params: Record<string, unknown> }): void {
    this.asked.push(message);
  }

  /** Answer the oldest request. */
  answer(reply: object): void {
    const request = this.asked.shift();
    this.emit("msg:custom", { kind: "reply", id: request!.id, ...reply }, []);
  }

  on(event: string, listener: Listener): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
  }

  off(event: string, listener: Listener): void {
    this.#listeners.get(event)?.delete(listener);
  }

  emit(event: string, ...values: unknown[]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...(values as never[]));
  }
}

type Widget = { render: (props: never) => () => void };

/** One view of a model. */
export class View<State extends object> {
  readonly el = document.createElement("div");
  readonly close: () => void;

  constructor(
    widget: Widget,
    readonly model: Model<State>,
    props: object = {},
    place: HTMLElement = document.body,
  ) {
    place.append(this.el);
    this.close = widget.render({ model, el: this.el, ...props } as never);
  }

  find<E extends HTMLElement = HTMLElement>(selector: string): E {
    const found = this.el.querySelector<E>(selector);
    if (!found) throw new Error(`There is no ${selector}.`);
    return found;
  }

  all<E extends HTMLElement = HTMLElement>(selector: string): E[] {
    return [...this.el.querySelectorAll<E>(selector)];
  }

  id<E extends HTMLElement = HTMLElement>(testid: string): E {
    return this.find<E>(`[data-testid="${testid}"]`);
  }
}

/** Return a place on the page as JupyterLab marks it when the kernel is gone. */
export function disconnected(): HTMLElement {
  const place = document.createElement("div");
  place.className = "jupyter-widgets-disconnected";
  document.body.append(place);
  return place;
}

export function key(element: Element, name: string): void {
  element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
}

export const view = (values: number[]) => new DataView(Float32Array.from(values).buffer);
export const floats = (values: number[]) => ({ dtype: "float32" as const, data: view(values) });
export const ints = (values: number[]) => ({
  dtype: "int32" as const,
  data: new DataView(Int32Array.from(values).buffer),
});
