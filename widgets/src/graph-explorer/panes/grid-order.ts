/** The order of a table's rows. */

export type Direction = "ascending" | "descending";

export interface Sorting {
  key: string;
  direction: Direction;
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const missing = (value: number | string) => value === "" || Number.isNaN(value);

/** Return the rows by a value of theirs; what has none comes last either way, and equal ones keep their order. */
export function ordered<Row>(rows: Row[], value: (row: Row) => number | string, direction: Direction): Row[] {
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = rows.map((row, at) => ({ row, at, key: value(row) }));
  keyed.sort((a, b) => {
    const [none, other] = [missing(a.key), missing(b.key)];
    if (none || other) return Number(none) - Number(other) || a.at - b.at;
    const difference =
      typeof a.key === "number" && typeof b.key === "number"
        ? a.key - b.key
        : collator.compare(String(a.key), String(b.key));
    return sign * difference || a.at - b.at;
  });
  return keyed.map(({ row }) => row);
}
