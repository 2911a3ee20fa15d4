/** What the widget's traits hold, and what follows from them without a page. */

import { numbers } from "../kit/binary";

/** The columns of a row before the FVU of each layer; training_history.py has them in this order. */
export const SCALARS = ["step", "tokens", "seconds", "fvu", "l0", "dead", "lr", "tokens_per_s"] as const;
export type Scalar = (typeof SCALARS)[number];

export type Phase =
  | "starting"
  | "harvesting"
  | "training"
  | "paused"
  | "stopping"
  | "exporting"
  | "finished"
  | "stopped"
  | "failed"
  | "elsewhere";

export interface About {
  model: string;
  folder: string;
  n_features: number;
  window: number;
  skip: boolean;
  k: number;
  tokens: number;
  epochs: number;
  batch_tokens: number;
  steps: number;
  lr: number;
  lr_final: number;
  warmup: number;
  decay: number;
  threshold_from: number;
}

export interface Report {
  fvu: number;
  fvu_by_layer: number[];
  l0: number;
  dead_fraction: number;
  training_seconds: number;
  held_out_tokens: number;
  bytes: number;
}

/** The rows as they come: float32, one row after the other. */
export interface WireHistory {
  generation: number;
  layers: number;
  rows: { dtype: "float32"; data: DataView };
}

/** What is new: the rows from `first` on take the place of those that were there. */
export interface RowsMessage {
  kind: "rows";
  generation: number;
  layers: number;
  first: number;
}

/** The traits of the Python class. */
export interface State {
  about: About;
  phase: Phase;
  harvest: number[];
  error: string;
  report: Report | Record<string, never>;
  history: WireHistory;
}

/** The rows of a run, to be read by column. */
export class Course {
  readonly generation: number;
  readonly layers: number;
  readonly length: number;
  readonly #data: Float32Array;
  readonly #width: number;

  constructor(wire: WireHistory) {
    this.generation = wire.generation;
    this.layers = wire.layers;
    this.#width = SCALARS.length + wire.layers;
    this.#data = numbers("float32", wire.rows.data);
    this.length = Math.floor(this.#data.length / this.#width);
  }

  at(name: Scalar, row: number): number {
    return this.#data[row * this.#width + SCALARS.indexOf(name)] ?? Number.NaN;
  }

  /** The last value of a column, NaN where there is none. */
  last(name: Scalar): number {
    return this.at(name, this.length - 1);
  }

  column(name: Scalar): Float32Array {
    return Float32Array.from({ length: this.length }, (_, row) => this.at(name, row));
  }

  /** The FVU of every layer in one row. */
  byLayer(row: number): Float32Array {
    const start = row * this.#width + SCALARS.length;
    return row < 0 ? new Float32Array() : this.#data.slice(start, start + this.layers);
  }
}

/** Return the history with what is new, or null where something between them is missing. */
export function merged(old: WireHistory, news: RowsMessage, rows: DataView): WireHistory | null {
  const known = new Course(old);
  const { generation, layers, first } = news;
  if (first > 0 && (generation !== known.generation || layers !== known.layers || first > known.length)) return null;
  const kept = first * (SCALARS.length + layers) * 4;
  const bytes = new Uint8Array(kept + rows.byteLength);
  const before = old.rows.data;
  bytes.set(new Uint8Array(before.buffer, before.byteOffset, kept));
  bytes.set(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), kept);
  return { generation, layers, rows: { dtype: "float32", data: new DataView(bytes.buffer) } };
}

/** Return the mean of each value and its neighbours: a tenth of all values, never beyond the ends. */
export function smooth(values: ArrayLike<number>): Float64Array {
  const reach = Math.floor(values.length / 20);
  return Float64Array.from({ length: values.length }, (_, i) => {
    const near = Math.min(reach, i, values.length - 1 - i);
    let sum = 0;
    for (let j = i - near; j <= i + near; j += 1) sum += values[j]!;
    return sum / (2 * near + 1);
  });
}

/** Return the seconds that the steps still to come will take at the speed of the last fifth, or NaN. */
export function secondsLeft(course: Course, steps: number): number {
  const last = course.length - 1;
  const from = Math.max(0, Math.min(last - 3, Math.floor(last * 0.8)));
  const done = course.at("step", last) - course.at("step", from);
  const took = course.at("seconds", last) - course.at("seconds", from);
  const left = Math.max(0, steps - course.at("step", last));
  return done > 0 ? (left * took) / done : Number.NaN;
}

/** Return a span of time in words: 40 s, 3 min 20 s, 2 h 5 min. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return all % 60 && minutes < 10 ? `${minutes} min ${all % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** Return what the learning rate does at a step: it rises, stays, or falls. */
export function ratePhase(about: About, step: number): string {
  if (step < about.warmup * about.steps) return "rising";
  return step < about.steps - about.decay * about.steps ? "at its full height" : "falling";
}

export const ACTIVE: readonly Phase[] = ["starting", "harvesting", "training", "paused", "stopping", "exporting"];

export const PHASES: Record<Phase, string> = {
  starting: "loading the model",
  harvesting: "harvesting activations",
  training: "training",
  paused: "paused",
  stopping: "saving",
  exporting: "setting thresholds, exporting",
  finished: "finished",
  stopped: "stopped and saved",
  failed: "failed",
  elsewhere: "done by another process",
};

/** Return how far the stage at hand is, from 0 to 1, and in words. */
export function progress(state: Pick<State, "phase" | "harvest" | "about">, course: Course): [number, string] {
  const steps = state.about.steps;
  const step = course.length ? course.last("step") : 0;
  if (!course.length && state.harvest.length === 2) {
    const [done, wanted] = state.harvest as [number, number];
    return [done / Math.max(1, wanted), `${done.toLocaleString("en")} of ${wanted.toLocaleString("en")} tokens`];
  }
  return [step / Math.max(1, steps), `step ${step.toLocaleString("en")} of ${steps.toLocaleString("en")}`];
}
