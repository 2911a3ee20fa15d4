/** How another graph differs: the columns that Python sent, as rows. */

import { numberColumn, textColumn, type WireColumns } from "../../kit/binary";
import { LOGIT, type Other } from "../data";

/** Where a node is: in both graphs, in this one alone, in the other one alone. */
export const WHERE = ["both", "a", "b"] as const;
export type Where = (typeof WHERE)[number];

export interface Changed {
  id: string;
  where: Where;
  kind: number;
  layer: number;
  feature: number;
  /** In either prompt; −1 where the token has no partner there. */
  positionA: number;
  positionB: number;
  tokenA: string;
  tokenB: string;
  label: string;
  /** Influence, of an output its probability; NaN where a pruned graph leaves it unknown. */
  a: number;
  b: number;
  /** b − a; what is unknown counts as nothing, because pruning cut off what is small. */
  change: number;
}

export interface Difference {
  info: Other;
  /** The largest change first. */
  rows: Changed[];
}

/**
 * Return a function of a row: its change as a share of the largest one, of an output among the outputs. A probability
 * may move by all of 1, where a whole graph's influence is spread over thousands of nodes.
 */
export function relativeTo(rows: Changed[]): (row: Changed) => number {
  const most = { output: 1e-9, other: 1e-9 };
  const group = ({ kind }: Changed) => (kind === LOGIT ? "output" : "other");
  for (const row of rows) most[group(row)] = Math.max(most[group(row)], Math.abs(row.change));
  return (row) => Math.abs(row.change) / most[group(row)];
}

/** Read what Python sent; null when this graph is compared with no other. */
export function readDifference(columns: WireColumns | undefined, info: Other | null | undefined): Difference | null {
  if (!info || !columns || !("node_id" in columns)) return null;
  const numbers = (name: string) => numberColumn(columns, name);
  const texts = (name: string) => textColumn(columns, name);
  const [where, kind, layer, feature] = [numbers("where"), numbers("kind"), numbers("layer"), numbers("feature")];
  const [positionA, positionB] = [numbers("position_a"), numbers("position_b")];
  const [valueA, valueB] = [numbers("value_a"), numbers("value_b")];
  const [tokenA, tokenB, label] = [texts("token_a"), texts("token_b"), texts("label")];
  const rows = texts("node_id").map((id, at) => {
    const [a, b] = [valueA[at]!, valueB[at]!];
    return {
      id,
      where: WHERE[where[at]!]!,
      kind: kind[at]!,
      layer: layer[at]!,
      feature: feature[at]!,
      positionA: positionA[at]!,
      positionB: positionB[at]!,
      tokenA: tokenA[at]!,
      tokenB: tokenB[at]!,
      label: label[at]!,
      a,
      b,
      change: (b || 0) - (a || 0),
    };
  });
  return { info, rows };
}
