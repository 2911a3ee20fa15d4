/** Nodes in words. */

import { percent, plain } from "../kit/format";
import { visible as makeVisible } from "../kit/tokens";
import { BIAS, ERROR, type Facts, FEATURE, type Info, KINDS, LOGIT, TOKEN } from "./data";

const written = new Map<string, string>();

/** Like the kit's `visible`, remembered: a list shows the same few tokens hundreds of times. */
export function visible(text: string): string {
  let shown = written.get(text);
  if (shown === undefined) {
    shown = makeVisible(text);
    written.set(text, shown);
  }
  return shown;
}

/** Return what a node is: "Feature 311", "Bias b_dec". */
export function kindOf(facts: Facts): string {
  if (facts.kind === FEATURE) return `Feature ${facts.feature}`;
  if (facts.kind === BIAS) return `Bias ${facts.id.split("/")[2] ?? ""}`.trim();
  const name = KINDS[facts.kind]!;
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** Return the shortest name that tells a node from its neighbours: its label, else its token, else what it is. */
export function nameOf(facts: Facts): string {
  if (facts.label !== "") return visible(facts.label);
  if (facts.kind === TOKEN || facts.kind === LOGIT) return visible(facts.token);
  return kindOf(facts);
}

/** Return the token that a node stands over, as a reader sees it; a logit stands over the last token of the prompt. */
export function tokenAt(facts: Facts, info: Info): string {
  return visible(info.tokens[facts.position] ?? facts.token);
}

/** Return the layer in words; tokens come before the layers, logits after them. */
export function layerOf(facts: Facts): string {
  if (facts.kind === TOKEN) return "embedding";
  if (facts.kind === LOGIT) return "output";
  return `layer ${facts.layer}`;
}

/** Return the same in two or three characters, for lists. */
export function shortLayer(facts: Facts): string {
  if (facts.kind === TOKEN) return "emb";
  if (facts.kind === LOGIT) return "out";
  return `L${facts.layer}`;
}

/** Return a node's numbers, each with its name. */
export function numbersOf(facts: Facts): [name: string, value: string][] {
  const numbers: [string, string][] = [];
  if (facts.kind === LOGIT && facts.probability !== null) numbers.push(["Probability", percent(facts.probability)]);
  if (facts.activation !== null) numbers.push(["Activation", plain(facts.activation)]);
  if (facts.kind !== LOGIT && facts.influence !== null) numbers.push(["Influence", plain(facts.influence)]);
  return numbers;
}

/** Return one sentence for a screen reader. */
export function sentence(facts: Facts, info: Info): string {
  const kind = kindOf(facts);
  const name = nameOf(facts);
  const place = facts.kind === TOKEN || facts.kind === LOGIT ? "" : `, ${layerOf(facts)}, at ${tokenAt(facts, info)}`;
  const numbers = numbersOf(facts).map(([what, value]) => `${what.toLowerCase()} ${value}`);
  return [`${kind}${name === kind ? "" : ` ${name}`}${place}, position ${facts.position}`, ...numbers].join(", ");
}

/** Return what an error node is, for those who meet one for the first time. */
export function meaningOf(kind: number): string {
  if (kind === ERROR) return "What the features miss of this MLP's output.";
  if (kind === BIAS) return "A constant of the model or the transcoder; pruning leaves it out of the totals.";
  return "";
}
