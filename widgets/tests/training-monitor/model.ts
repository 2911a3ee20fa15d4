import { type RowsMessage, SCALARS, type State, type WireHistory } from "../../src/training-monitor/state";
import { Model as InMemory } from "../model";

export const ABOUT: State["about"] = {
  model: "smollm2-135m-instruct",
  folder: "runs/first",
  n_features: 256,
  window: 2,
  skip: false,
  k: 16,
  tokens: 20_000,
  epochs: 4,
  batch_tokens: 512,
  steps: 100,
  lr: 3e-3,
  lr_final: 0.05,
  warmup: 0.05,
  decay: 0.8,
  threshold_from: 0.5,
};

export const REPORT = {
  fvu: 0.52,
  fvu_by_layer: [0.3, 0.6, 0.66],
  l0: 48,
  dead_fraction: 0.01,
  training_seconds: 95,
  held_out_tokens: 4096,
  bytes: 6_700_000,
};

/** One row: a step, its FVU, and the FVU of three layers around it. */
export function row(step: number, fvu = 1 / step): number[] {
  const scalars = {
    step,
    tokens: 512 * step,
    seconds: 2 * step,
    fvu,
    l0: 16.5,
    dead: 0.031,
    lr: 2e-3,
    tokens_per_s: 256,
  };
  return [...SCALARS.map((name) => scalars[name]), fvu / 2, fvu, 2 * fvu];
}

export function bytes(rows: number[][]): DataView {
  return new DataView(Float32Array.from(rows.flat()).buffer);
}

export function history(rows: number[][], generation = 0): WireHistory {
  return { generation, layers: rows.length ? 3 : 0, rows: { dtype: "float32", data: bytes(rows) } };
}

export function news(first: number, generation = 0): RowsMessage {
  return { kind: "rows", generation, layers: 3, first };
}

export function steps(from: number, to: number): number[][] {
  return Array.from({ length: to - from + 1 }, (_, i) => row(from + i));
}

export function state(changes: Partial<State> = {}): State {
  return {
    about: ABOUT,
    phase: "training",
    harvest: [],
    error: "",
    report: {},
    history: history(steps(1, 20)),
    ...changes,
  };
}

/** A model whose requests are answered by method: the monitor asks several things at once. */
export class Model extends InMemory<State> {
  answerTo(method: string, reply: object, buffers: DataView[] = []): void {
    const index = this.asked.findIndex((request) => request.method === method);
    const [request] = this.asked.splice(index, 1);
    this.emit("msg:custom", { kind: "reply", id: request!.id, ...reply }, buffers);
  }
}
