/** What the widget's traits hold, and what follows from them without a page. */

import { numberColumn, type WireColumns } from "../kit/binary";
import { percent, plain } from "../kit/format";
import { HUES, largest, type Series } from "../kit/strip";

export type Kind = "activation" | "probability" | "entropy" | "surprise";
export type Scale = "own" | "shared" | number;

/** The traits of the Python class. */
export interface State {
  tokens: string[];
  names: string[];
  kind: Kind;
  data: WireColumns;
  scale: Scale;
  shown: number[];
  selected: number | null;
}

/** What the numbers are counted in. */
export const UNITS: Record<Kind, string> = { activation: "", probability: "", entropy: "nats", surprise: "nats" };

/** Return a value as its kind is read. */
export function worded(value: number, kind: Kind): string {
  if (!Number.isFinite(value)) return "no value";
  if (kind === "probability") return percent(value);
  return UNITS[kind] === "" ? plain(value) : `${plain(value)} ${UNITS[kind]}`;
}

/** Return the values of every series. */
export function valuesOf(data: WireColumns, tokens: number, series: number): ArrayLike<number>[] {
  const flat = numberColumn(data, "values");
  return Array.from({ length: series }, (_, i) => flat.subarray(i * tokens, (i + 1) * tokens));
}

/** Return the series that colour the text, each with its hue and the value of its full colour. */
export function shownSeries(
  state: Pick<State, "names" | "kind" | "scale" | "shown">,
  values: ArrayLike<number>[],
): Series[] {
  const tops = values.map(largest);
  const shared = Math.max(0, ...tops);
  return state.shown.map((index, slot) => ({
    name: state.names[index]!,
    values: values[index]!,
    top: typeof state.scale === "number" ? state.scale : state.scale === "shared" ? shared : tops[index]!,
    // Where every series has a hue of its own, it keeps it, whatever else is shown.
    hue: values.length <= HUES ? index : slot,
    floor: state.kind === "activation" ? 0.15 : 0,
  }));
}

/** Return the shown series after one was switched on or off; never none, never more than can be told apart. */
export function toggled(shown: number[], index: number): number[] {
  const without = shown.filter((other) => other !== index);
  if (without.length < shown.length) return without.length > 0 ? without : shown;
  return [...shown, index].sort((a, b) => a - b).slice(-HUES);
}
