import { describe, expect, it } from "vitest";
import { numberColumn, numbers, textColumn } from "../../src/kit/binary";

function view(values: number[], offset = 0): DataView {
  const bytes = new Uint8Array(offset + values.length * 4);
  bytes.set(new Uint8Array(new Float32Array(values).buffer), offset);
  return new DataView(bytes.buffer, offset);
}

describe("columns", () => {
  it("reads an aligned view without copying it", () => {
    const data = view([1, 2.5, -3], 8);
    const column = numbers("float32", data);
    expect([...column]).toEqual([1, 2.5, -3]);
    expect(column.buffer).toBe(data.buffer);
  });

  it("reads a view that begins at an odd byte of a larger message", () => {
    expect([...numbers("float32", view([1, 2.5, -3], 5))]).toEqual([1, 2.5, -3]);
  });

  it("reads integers and bytes", () => {
    const ints = new DataView(new Int32Array([7, -8]).buffer);
    expect([...numbers("int32", ints)]).toEqual([7, -8]);
    expect([...numbers("uint8", new DataView(new Uint8Array([0, 255]).buffer))]).toEqual([0, 255]);
  });

  it("names the column that is missing or of another kind", () => {
    expect(() => numberColumn({}, "weight")).toThrow("weight");
    expect(() => numberColumn({ label: ["a"] }, "label")).toThrow("label");
    expect(() => textColumn({ x: { dtype: "float32", data: view([1]) } }, "x")).toThrow("text x");
  });
});
