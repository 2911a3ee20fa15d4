import { vi } from "vitest";
import type { State, Values } from "../../src/intervention-sliders/state";

type Listener = (...values: never[]) => void;

export const NODES = [
  {
    id: "f/12/311/5",
    members: ["f/12/311/5"],
    layer: 12,
    feature: 311,
    position: 5,
    token: " went",
    label: "→ ' store'",
    activation: 4,
  },
  { id: "f/3/7/2", members: ["f/3/7/2"], layer: 3, feature: 7, position: 2, token: "\n", label: "", activation: null },
];
export const CLEAN_VALUES: Values = { "f/12/311/5": 1, "f/3/7/2": 1 };

export const MARY = { token: " Mary", id: 10, before: 0.6, after: 0.2 };
export const JOHN = { token: " John", id: 11, before: 0.3, after: 0.7 };

export function state(changes: Partial<State> = {}): State {
  return {
    nodes: NODES,
    prompt: "When Mary and John went to the store",
    values: CLEAN_VALUES,
    mode: "propagated",
    links: [],
    control_seed: null,
    pane: "tokens",
    result: {},
    knock_on: {},
    curve: {},
    can: { control: true, add: true },
    answered: {},
    error: "",
    running: true,
    ...changes,
  };
}

/** The state once the model has run on the values that stand. */
export function answered(changes: Partial<State> = {}): State {
  const asked = { values: CLEAN_VALUES, mode: "propagated" as const };
  return state({ result: { tokens: [MARY, JOHN], kl: 0.25, ...asked }, answered: asked, running: false, ...changes });
}

/** A widget's model in memory; what the views save is what Python would get. */
export class Model {
  readonly save_changes = vi.fn(() => this.saved.push(structuredClone(this.#state)));
  readonly saved: State[] = [];
  #state: State;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(state: State) {
    this.#state = { ...state };
  }

  get listenerCount(): number {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }

  get<K extends keyof State>(name: K): State[K] {
    return this.#state[name];
  }

  set<K extends keyof State>(name: K, value: State[K]): void {
    if (JSON.stringify(this.#state[name]) === JSON.stringify(value)) return;
    this.#state[name] = value;
    this.emit(`change:${name}`);
  }

  /** What Python sends: several traits, one after the other. */
  receive(changes: Partial<State>): void {
    for (const [name, value] of Object.entries(changes)) this.set(name as keyof State, value as never);
  }

  readonly asked: { id: string; method: string; params: Record<string, unknown> }[] = [];

  send(message: { id: string; method: string; params: Record<string, unknown> }): void {
    this.asked.push(message);
  }

  /** Answer the oldest request. */
  answer(reply: object): void {
    this.emit("msg:custom", { kind: "reply", id: this.asked.shift()!.id, ...reply }, []);
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
