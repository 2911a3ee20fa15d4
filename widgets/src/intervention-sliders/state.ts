/** What the widget's traits hold, and what follows from them without a page. */

import { count } from "../kit/format";

export const LOWEST = -5;
export const ABLATED = 0;
export const CLEAN = 1;
export const HIGHEST = 5;

/** What a slider moves: a feature node, or all members of a supernode, whose id begins with "s/". */
export interface Slider {
  id: string;
  members: string[];
  layer: number | null;
  feature: number | null;
  position: number | null;
  token: string;
  label: string;
  activation: number | null;
}

export type Values = Record<string, number>;
export type Mode = "propagated" | "direct";
export type Pane = "tokens" | "features" | "curve";

/** What one run of the model is for. */
export interface Asked {
  values: Values;
  mode: Mode;
  /** Draws the matched control; null for none. */
  control_seed?: number | null;
}

export interface Bar {
  token: string;
  id: number;
  before: number;
  after: number;
}

/** The same edits on other features, or why there are none. */
export type Control = { ids: string[]; after: number[]; kl: number | null } | { error: string };

export interface Result extends Asked {
  tokens: Bar[];
  kl: number | null;
  control?: Control | null;
  /** The call of bench.intervene that gives this result. */
  code?: string;
}

/** A feature downstream that the edits changed. */
export interface Changed {
  id: string;
  layer: number;
  feature: number;
  position: number;
  token: string;
  label: string;
  before: number;
  after: number;
  edited: boolean;
}

export interface KnockOn extends Asked {
  rows: Changed[];
  n_changed: number;
}

/** A sweep over the factors of one slider: for each token the probabilities at each factor. */
export interface Curve extends Asked {
  slider: string;
  linked: string[];
  factors: number[];
  low: number;
  high: number;
  tokens: { token: string; id: number }[];
  after: number[][];
  control: number[][] | null;
  kl: (number | null)[];
  control_kl: (number | null)[] | null;
  /** Why there is no control, or "". */
  control_error?: string;
  total: number;
  state: "running" | "done" | "cancelled" | "failed";
}

/** The message that follows a result: how long the model took. No trait, so that it is not stored in notebooks. */
export interface Took {
  kind: "took";
  seconds: number;
}

type None = Record<string, never>;

/** The traits of the Python class. Before the first run has ended, result and answered are empty. */
export interface State {
  nodes: Slider[];
  prompt: string;
  values: Values;
  mode: Mode;
  links: string[][];
  control_seed: number | null;
  pane: Pane;
  result: Result | None;
  knock_on: KnockOn | None;
  curve: Curve | None;
  answered: Asked | None;
  error: string;
  running: boolean;
  can: { control?: boolean; add?: boolean };
}

/** The traits whose changes are drawn. */
export const WATCHED = [
  "nodes",
  "values",
  "mode",
  "links",
  "control_seed",
  "pane",
  "result",
  "knock_on",
  "curve",
  "answered",
  "error",
  "running",
] as const;
/** What can be taken back. */
export const UNDONE = ["values", "mode", "links", "control_seed"] as const;
export type Undone = Partial<Pick<State, (typeof UNDONE)[number]>>;

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

/** Return whether two runs are for the same values, mode and control. */
export function same(one: Asked | None, other: Asked): boolean {
  if (!one.values || one.mode !== other.mode) return false;
  if ((one.control_seed ?? null) !== (other.control_seed ?? null)) return false;
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

/** Return a slider's short name: 12/311 at 5, or what the supernode is called. */
export function shortName(slider: Slider): string {
  return slider.layer === null ? slider.label : `${slider.layer}/${slider.feature} at ${slider.position}`;
}

/** Return a slider's name in words: its feature, its token, its label; or its supernode. */
export function nameOf(slider: Slider): string {
  if (slider.layer === null) return `supernode ${slider.label} of ${count(slider.members.length, "feature")}`;
  const place = `feature ${slider.layer}/${slider.feature} at position ${slider.position}`;
  const details = [slider.token.trim(), slider.label].filter((text) => text !== "");
  return [place, ...details].join(", ");
}

/** Return values in which a slider has a factor, and with it those that it is linked with. */
export function moved(values: Values, links: string[][], id: string, factor: number): Values {
  const together = links.find((group) => group.includes(id)) ?? [id];
  return { ...values, ...Object.fromEntries(together.map((each) => [each, factor])) };
}

/** Return links in which two sliders, and all that either is linked with, move together. */
export function linked(links: string[][], one: string, other: string): string[][] {
  const joined = [one, other].flatMap((id) => links.find((group) => group.includes(id)) ?? [id]);
  const rest = links.filter((group) => !group.includes(one) && !group.includes(other));
  return [...rest, [...new Set(joined)]];
}

/** Return links without a slider. */
export function unlinked(links: string[][], id: string): string[][] {
  return links.map((group) => group.filter((each) => each !== id)).filter((group) => group.length > 1);
}

export type Phase = "ready" | "pending" | "slow" | "failed" | "offline";

/** Return where the widget stands. */
export function phase(now: { live: boolean; settled: boolean; slow: boolean; error: string }): Phase {
  if (!now.live) return "offline";
  if (!now.settled) return now.slow ? "slow" : "pending";
  return now.error === "" ? "ready" : "failed";
}
