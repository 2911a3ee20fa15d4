/** Columns of a table as they come over the wire: binary for numbers, plain lists for text. */

export type Numbers = Float32Array | Int32Array | Uint8Array;
export type WireColumn = { dtype: "float32" | "int32" | "uint8"; data: DataView } | string[];
export type WireColumns = Record<string, WireColumn>;

/** Return the bytes behind a view as a typed array; copies only when they are not aligned. */
export function numbers(dtype: "float32", data: DataView): Float32Array;
export function numbers(dtype: "int32", data: DataView): Int32Array;
export function numbers(dtype: "uint8", data: DataView): Uint8Array;
export function numbers(dtype: "float32" | "int32" | "uint8", data: DataView): Numbers;
export function numbers(dtype: string, data: DataView): Numbers {
  if (dtype === "uint8") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  // A frame of the websocket starts anywhere, and a typed array of 4-byte numbers may not.
  const aligned = data.byteOffset % 4 === 0;
  const buffer = aligned ? data.buffer : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  const offset = aligned ? data.byteOffset : 0;
  const length = data.byteLength / 4;
  if (dtype === "float32") return new Float32Array(buffer, offset, length);
  if (dtype === "int32") return new Int32Array(buffer, offset, length);
  throw new Error(`A column of type ${dtype} cannot be read.`);
}

/** Return a column of numbers by name. */
export function numberColumn(columns: WireColumns, name: string): Numbers {
  const column = columns[name];
  if (column === undefined || Array.isArray(column)) throw new Error(`The column of numbers ${name} is missing.`);
  return numbers(column.dtype, column.data);
}

/** Return a column of text by name. */
export function textColumn(columns: WireColumns, name: string): string[] {
  const column = columns[name];
  if (!Array.isArray(column)) throw new Error(`The column of text ${name} is missing.`);
  return column;
}
