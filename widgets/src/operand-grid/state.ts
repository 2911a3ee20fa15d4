/** What the widget's traits hold, and what follows from them without a page. */

import { numberColumn, numbers, textColumn, type WireColumns } from "../kit/binary";

export type Sorting = "family" | "score" | "layer" | "maximum";

/** The traits of the Python class. */
export interface State {
  template: string;
  role: string;
  axes: WireColumns;
  features: WireColumns;
  values: DataView;
  sort: Sorting;
  family: string;
  scale: "own" | "shared";
  selected: [number, number] | null;
  cell: [number, number] | null;
}

/** One feature over all pairs of operands. */
export interface Grid {
  index: number;
  layer: number;
  feature: number;
  family: string;
  detail: string;
  score: number;
  maximum: number;
  /** The activations, b running fastest. */
  values: Float32Array;
}

export interface Grids {
  a: ArrayLike<number>;
  b: ArrayLike<number>;
  all: Grid[];
  /** The largest activation of all grids. */
  maximum: number;
}

/** Return the grids as they came over the wire. */
export function read(state: Pick<State, "axes" | "features" | "values">): Grids {
  const [a, b] = [numberColumn(state.axes, "a"), numberColumn(state.axes, "b")];
  const column = (name: string) => numberColumn(state.features, name);
  const [layers, features, scores] = [column("layer"), column("feature"), column("score")];
  const [families, details] = [textColumn(state.features, "family"), textColumn(state.features, "detail")];
  const values = numbers("float32", state.values);
  const size = a.length * b.length;
  const all = Array.from(layers, (layer, index) => {
    const own = values.subarray(index * size, (index + 1) * size);
    return {
      index,
      layer,
      feature: features[index]!,
      family: families[index]!,
      detail: details[index]!,
      score: scores[index]!,
      maximum: own.reduce((top, value) => Math.max(top, value), 0),
      values: own,
    };
  });
  return { a, b, all, maximum: Math.max(0, ...all.map(({ maximum }) => maximum)) };
}

export const nameOf = ({ layer, feature }: { layer: number; feature: number }) => `${layer}/${feature}`;

/** Return the families and how many grids each has, the largest first; what fits none stands last. */
export function families(all: Grid[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { family } of all) counts.set(family, (counts.get(family) ?? 0) + 1);
  const rank = ([family, count]: [string, number]) => (family === "other" ? Number.POSITIVE_INFINITY : -count);
  return [...counts].sort((one, two) => rank(one) - rank(two) || one[0].localeCompare(two[0]));
}

/** Return the grids of a family ("" for all) in the order asked for. */
export function ordered(all: Grid[], sort: Sorting, family: string): Grid[] {
  const ranks = new Map(families(all).map(([name], rank) => [name, rank]));
  const score = ({ score }: Grid) => (Number.isFinite(score) ? score : Number.NEGATIVE_INFINITY);
  // Infinite scores would give NaN as a difference.
  const down = (one: number, two: number) => (one === two ? 0 : one < two ? 1 : -1);
  const place = (one: Grid, two: Grid) => one.layer - two.layer || one.feature - two.feature;
  const by: Record<Sorting, (one: Grid, two: Grid) => number> = {
    family: (one, two) =>
      ranks.get(one.family)! - ranks.get(two.family)! ||
      one.detail.localeCompare(two.detail, "en", { numeric: true }) ||
      down(score(one), score(two)),
    score: (one, two) => down(score(one), score(two)),
    layer: place,
    maximum: (one, two) => down(one.maximum, two.maximum),
  };
  return all
    .filter((grid) => family === "" || grid.family === family)
    .sort((one, two) => by[sort](one, two) || place(one, two));
}

/** Return about how many ticks as fit, at round steps: indices into the operands. */
export function ticks(operands: ArrayLike<number>, most = 6): number[] {
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000].find((size) => operands.length / size <= most) ?? 1;
  const found: number[] = [];
  for (let i = 0; i < operands.length; i += 1) if (operands[i]! % step === 0) found.push(i);
  // Operands at odd places have no round numbers among them.
  if (found.length > 1 && found.length <= 2 * most) return found;
  return [...new Set([0, operands.length - 1])];
}

export interface Cell {
  row: number;
  column: number;
}

/** Return the activation of a cell. */
export function valueAt(grids: Grids, grid: Grid, { row, column }: Cell): number {
  return grid.values[row * grids.b.length + column]!;
}

/** Return the cell of two operands, or null where there is none. */
export function cellOf(grids: Grids, operands: [number, number] | null): Cell | null {
  if (operands === null) return null;
  const row = Array.prototype.indexOf.call(grids.a, operands[0]);
  const column = Array.prototype.indexOf.call(grids.b, operands[1]);
  return row < 0 || column < 0 ? null : { row, column };
}

/** Return the cells with the largest activations, none of which is 0. */
export function strongest(grids: Grids, grid: Grid, most: number): Cell[] {
  const places = Array.from(grid.values.keys()).filter((place) => grid.values[place]! > 0);
  return places
    .sort((one, two) => grid.values[two]! - grid.values[one]!)
    .slice(0, most)
    .map((place) => ({ row: Math.floor(place / grids.b.length), column: place % grids.b.length }));
}

/** Return the prompt of a cell. */
export function promptOf(template: string, a: number, b: number): string {
  return template.replaceAll("{a}", String(a)).replaceAll("{b}", String(b));
}
