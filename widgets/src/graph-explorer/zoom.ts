/** Zoom spreads the graph out instead of enlarging its picture: texts keep their size, and the axes stay in sight. */

import type { Layout } from "./layout";

export const CLOSEST = 12;
export const STEP = 1.4;

/** A place of the graph that means the same at every zoom: columns from the left, rows from the top, with fractions. */
export interface Spot {
  column: number;
  row: number;
}

/** Return a zoom within its limits; what is all but 1 is 1, so that zooming out ends where it began. */
export function clampZoom(zoom: number): number {
  const within = Math.min(Math.max(zoom, 1), CLOSEST);
  return within < 1.02 ? 1 : within;
}

/** Return the places where columns and rows begin, and where the last one ends. */
function edges(layout: Layout): { columns: number[]; rows: number[] } {
  const lastColumn = layout.columns.at(-1)!;
  const lastRow = layout.rows.at(-1)!;
  return {
    columns: [...layout.columns.map(({ left }) => left), lastColumn.left + lastColumn.width],
    rows: [...layout.rows.map(({ top }) => top), lastRow.top + lastRow.height],
  };
}

function share(at: number, starts: number[]): number {
  let cell = starts.findIndex((start) => start > at) - 1;
  if (cell < 0) cell = at < starts[0]! ? 0 : starts.length - 2;
  return Math.min(Math.max(cell + (at - starts[cell]!) / (starts[cell + 1]! - starts[cell]!), 0), starts.length - 1);
}

function unshare(at: number, starts: number[]): number {
  const cell = Math.min(Math.floor(at), starts.length - 2);
  return starts[cell]! + (at - cell) * (starts[cell + 1]! - starts[cell]!);
}

export function locate(layout: Layout, x: number, y: number): Spot {
  const { columns, rows } = edges(layout);
  return { column: share(x, columns), row: share(y, rows) };
}

/** Return where a spot is: the inverse of {@link locate}, also for another layout of the same graph. */
export function placeOf(layout: Layout, { column, row }: Spot): { x: number; y: number } {
  const { columns, rows } = edges(layout);
  return { x: unshare(column, columns), y: unshare(row, rows) };
}
