/** What the widget's traits hold, and what follows from them without a page. */

import { count, percent, plain } from "../kit/format";

export interface Histogram {
  edges: number[];
  counts: number[];
  /** How many there were in each bin, of which the counts are a part. */
  n_tokens?: number[];
}

export interface Example {
  group: string;
  tokens: string[];
  activations: (number | null)[];
  peak: number;
  activation: number;
}

export interface Effect {
  token: string;
  value: number;
}

export interface FiresOn {
  token: string;
  /** How often, and how strongly: a compact atlas does not say. */
  count: number | null;
  mean_activation: number | null;
}

export interface Neighbour {
  layer: number;
  feature: number;
  label: string;
  twera: number;
}

/** A card as the atlas gives it; of a compact one, parts are missing. */
export interface Card {
  layer: number;
  feature: number;
  model?: string;
  clt?: string;
  label: string;
  label_source?: string;
  label_score?: number | null;
  label_precision?: number | null;
  label_recall?: number | null;
  label_reason?: string;
  complete?: boolean;
  kind?: string;
  family?: string;
  density?: number | null;
  n_active?: number | null;
  n_tokens?: number | null;
  max_activation?: number | null;
  quantiles?: Record<string, number | null>;
  histogram: Histogram;
  positions: Histogram;
  examples: Example[];
  top_logits: Effect[];
  bottom_logits: Effect[];
  top_tokens: FiresOn[];
  upstream: Neighbour[];
  downstream: Neighbour[];
}

export interface Tried {
  text: string;
  tokens: string[];
  activations: number[];
}

/** The traits of the Python class. */
export interface State {
  card: Card;
  label: string;
  selected_feature: [number, number] | null;
  text: string;
  tried: Tried | Record<string, never>;
  steering: string | null;
  can_try: boolean;
  can_steer: boolean;
}

export const nameOf = (feature: { layer: number; feature: number }) => `${feature.layer}/${feature.feature}`;

/** Return whether the feature never fired where the atlas looked. */
export function silent(card: Card): boolean {
  return card.kind === "silent" || card.n_active === 0;
}

/** Return the value of the full colour: the largest activation that is known. */
export function fullColour(card: Card): number {
  if (card.max_activation) return card.max_activation;
  return Math.max(0, ...card.examples.map(({ activation }) => activation));
}

/** Return how often the feature fires and how strongly, in words. */
export function facts(card: Card): string[] {
  const [density, active, tokens] = [card.density ?? Number.NaN, card.n_active ?? Number.NaN, card.n_tokens];
  const said: string[] = [];
  if (silent(card)) return tokens ? [`never fired on ${count(tokens, "token")}`] : ["never fired"];
  if (Number.isFinite(density)) said.push(`fires on ${percent(density)} of the tokens`);
  if (Number.isFinite(active) && tokens) {
    said.push(`${active.toLocaleString("en")} of ${tokens.toLocaleString("en")} tokens`);
  }
  if (card.max_activation) said.push(`maximum ${plain(card.max_activation)}`);
  if (card.complete === false) said.push("compact atlas, without histograms and connected features");
  return said;
}

export type Verdict = "good" | "fair" | "poor";

/** Return what a label's score is worth: how well the label predicts where the feature fires, ½ by chance. */
export function verdict(score: number): Verdict {
  return score >= 0.8 ? "good" : score >= 0.65 ? "fair" : "poor";
}

/** Return the name of a group of examples. */
export function groupName(group: string): string {
  return group === "top" ? "Strongest" : `Quantile ${group}`;
}

/** Return the examples by group, in the order in which the groups first come. */
export function grouped(examples: Example[]): [string, Example[]][] {
  const groups = new Map<string, Example[]>();
  for (const example of examples) groups.set(example.group, [...(groups.get(example.group) ?? []), example]);
  return [...groups];
}

/** Return the share that each count is of its bin; null where the bins' sizes are not known. */
export function shares({ counts, n_tokens: sizes }: Histogram): number[] | null {
  if (!sizes || sizes.length !== counts.length) return null;
  return counts.map((count, bin) => (sizes[bin]! > 0 ? count / sizes[bin]! : 0));
}

/** Return the height of each bar, 0 to 1, and whether they are logarithms: of counts that differ by far. */
export function heights(counts: number[]): { heights: number[]; log: boolean } {
  const most = Math.max(0, ...counts);
  const least = Math.min(...counts.filter((count) => count > 0));
  const log = most > 0 && most / least > 200;
  const size = (count: number) => (log ? Math.log1p(count) : count);
  return { heights: counts.map((count) => (most > 0 ? size(count) / size(most) : 0)), log };
}

/** Return the quantiles that are worth a line: median, 95 %, 99 %. */
export function quantileLine(quantiles: Record<string, number | null> = {}): string {
  const known = [
    ["0.5", "median"],
    ["0.95", "95 %"],
    ["0.99", "99 %"],
  ] as const;
  return known
    .filter(([key]) => Number.isFinite(quantiles[key] ?? Number.NaN))
    .map(([key, name]) => `${name} ${plain(quantiles[key]!)}`)
    .join(" · ");
}
