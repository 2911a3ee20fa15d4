import { expect, it } from "vitest";
import { count, percent, plain, signed } from "../../src/kit/format";

it.each([
  [0, "0"],
  [0.12345, "0.123"],
  [1.234, "1.23"],
  [12.34, "12.3"],
  [-1234.5, "−1235"],
  [1e-7, "1.0e−7"],
  [Number.NaN, "–"],
])("writes %f as %s", (value, text) => expect(plain(value)).toBe(text));

it("gives every signed number its sign", () => {
  expect(signed(0.5)).toBe("+0.500");
  expect(signed(-0.5)).toBe("−0.500");
});

it.each([
  [0.123, "12 %"],
  [0.0345, "3.5 %"],
  [0.0001, "<0.1 %"],
  [-0.0001, ">−0.1 %"],
  [0, "0 %"],
])("writes the share %f as %s", (value, text) => expect(percent(value)).toBe(text));

it("counts with the right noun", () => {
  expect(count(1, "node")).toBe("1 node");
  expect(count(2000, "edge")).toBe("2,000 edges");
});
