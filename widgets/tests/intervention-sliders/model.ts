import type { State, Values } from "../../src/intervention-sliders/state";
import { Model as SharedModel } from "../model";

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

/** A model of sliders in memory. */
export class Model extends SharedModel<State> {}
