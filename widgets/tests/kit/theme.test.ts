import { expect, it } from "vitest";
import { luminance } from "../../src/kit/theme";

it("tells a dark background from a light one, however it is written", () => {
  expect(luminance("rgb(255, 255, 255)")).toBeCloseTo(1);
  expect(luminance("rgba(17, 17, 17, 1)")).toBeLessThan(0.1);
  expect(luminance("rgb(0, 0, 0)")).toBe(0);
  expect(luminance("color(srgb 0.9 0.9 0.9)")).toBeCloseTo(0.9);
});
