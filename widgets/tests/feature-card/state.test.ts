import { describe, expect, it } from "vitest";
import { facts, fullColour, grouped, heights, quantileLine, silent, verdict } from "../../src/feature-card/state";
import { CARD, SILENT } from "./card";

it("says how often a feature fires and how strongly", () => {
  expect(facts(CARD)).toEqual(["fires on 0.4 % of the tokens", "4,213 of 1,000,000 tokens", "maximum 8.00"]);
  expect(facts(SILENT)).toEqual(["never fired on 1,000,000 tokens"]);
  expect(facts({ ...CARD, n_active: null, n_tokens: null, density: null, max_activation: null })).toEqual([]);
});

it("knows a silent feature by its kind and by its count", () => {
  expect(silent(CARD)).toBe(false);
  expect(silent({ ...CARD, kind: "silent" })).toBe(true);
  expect(silent({ ...CARD, n_active: 0 })).toBe(true);
});

it("takes the largest example where the maximum is not known", () => {
  expect(fullColour(CARD)).toBe(8);
  expect(fullColour({ ...CARD, max_activation: null })).toBe(8);
  expect(fullColour(SILENT)).toBe(0);
});

it("groups examples in the order in which the groups come", () => {
  expect(grouped(CARD.examples).map(([group, members]) => [group, members.length])).toEqual([
    ["top", 7],
    ["0.75–1", 1],
  ]);
});

describe("the heights of a histogram", () => {
  it("are in proportion", () => expect(heights([10, 5, 0])).toEqual({ heights: [1, 0.5, 0], log: false }));

  it("are logarithms of counts that differ by far", () => {
    const { heights: sizes, log } = heights([10_000, 10]);
    expect(log).toBe(true);
    expect(sizes[1]).toBeCloseTo(Math.log1p(10) / Math.log1p(10_000));
  });

  it("are none where nothing was counted", () => expect(heights([0, 0]).heights).toEqual([0, 0]));
});

it("names the quantiles that are known", () => {
  expect(quantileLine(CARD.quantiles)).toBe("median 1.25 · 95 % 3.40 · 99 % 5.60");
  expect(quantileLine({ "0.5": null })).toBe("");
});

it("calls a label that predicts hardly better than chance poor", () => {
  expect([0.95, 0.7, 0.5].map(verdict)).toEqual(["good", "fair", "poor"]);
});
