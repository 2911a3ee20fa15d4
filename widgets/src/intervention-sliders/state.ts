/** What the widget's traits hold, and what follows from them without a page. */

export const LOWEST = -5;
export const ABLATED = 0;
export const CLEAN = 1;
export const HIGHEST = 5;

export interface FeatureNode {
  id: string;
  layer: number;
  feature: number;
  position: number;
  token: string;
  label: string;
  activation: number | null;
}

export type Values = Record<string, number>;
export type Mode = "propagated" | "direct";

/** What one run of the model is for. */
export interface Asked {
  values: Values;
  mode: Mode;
}

export interface Bar {
  token: string;
  id: number;
  before: number;
  after: number;
}

export interface Result extends Asked {
  tokens: Bar[];
  kl: number | null;
}

/** The message that follows a result: how long the model took. No trait, so that it is not stored in notebooks. */
export interface Took {
  kind: "took";
  seconds: number;
}

/** The traits of the Python class. Before the first run has ended, result and answered are empty. */
export interface State {
  nodes: FeatureNode[];
  prompt: string;
  values: Values;
  mode: Mode;
  result: Result | Record<string, never>;
  answered: Asked | Record<string, never>;
  error: string;
  running: boolean;
}

export const MODES: Record<Mode, string> = {
  propagated: "The whole model responds to the edits: what it really does.",
  direct: "Attention, norms and MLPs stay as in the clean run: the graph’s own edge weights.",
};

/** Return a factor as it may stand: within the range, without the dust of binary fractions, never −0. */
export function clamp(factor: number): number {
  const inside = Math.min(HIGHEST, Math.max(LOWEST, factor));
  return Math.round(inside * 1000) / 1000 || 0;
}

/** Return the factor that a text field holds, or null while it holds none. */
export function parse(text: string): number | null {
  const factor = Number(text.trim().replace("−", "-").replace(",", "."));
  return text.trim() === "" || !Number.isFinite(factor) ? null : clamp(factor);
}

/** Return whether two runs are for the same values and mode. */
export function same(one: Asked | Record<string, never>, other: Asked): boolean {
  if (!one.values || one.mode !== other.mode) return false;
  const values = one.values;
  const ids = Object.keys(other.values);
  return ids.length === Object.keys(values).length && ids.every((id) => values[id] === other.values[id]);
}

/** Return how many nodes are not as in the clean run. */
export function editedCount(values: Values): number {
  return Object.values(values).filter((factor) => factor !== CLEAN).length;
}

/** Return a factor in words, for who cannot see the slider. */
export function spoken(factor: number): string {
  if (factor === CLEAN) return "1, as in the clean run";
  if (factor === ABLATED) return "0, ablated";
  return `${factor} times the clean activation`;
}

/** Return the name of a node in words: its feature, its token, its label. */
export function nodeName(node: FeatureNode): string {
  const place = `feature ${node.layer}/${node.feature} at position ${node.position}`;
  const details = [node.token.trim(), node.label].filter((text) => text !== "");
  return [place, ...details].join(", ");
}

export type Phase = "ready" | "pending" | "slow" | "failed" | "offline";

/** Return where the widget stands. */
export function phase(now: { live: boolean; settled: boolean; slow: boolean; error: string }): Phase {
  if (!now.live) return "offline";
  if (!now.settled) return now.slow ? "slow" : "pending";
  return now.error === "" ? "ready" : "failed";
}
