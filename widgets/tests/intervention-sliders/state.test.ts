import { describe, expect, it } from "vitest";
import { fullScale, points, rest, share, summary, top } from "../../src/intervention-sliders/bars";
import { clamp, editedCount, nameOf, parse, phase, same, spoken } from "../../src/intervention-sliders/state";
import { CLEAN_VALUES, JOHN, MARY, NODES } from "./model";

describe("a factor", () => {
  it("stays within the range and loses the dust of binary fractions", () => {
    expect([clamp(7), clamp(-7), clamp(0.1 + 0.2), clamp(1.25)]).toEqual([5, -5, 0.3, 1.25]);
    expect(Object.is(clamp(-0), 0)).toBe(true);
  });

  it("is read from text, and nothing is made up where there is none", () => {
    expect([parse("-1.5"), parse(" 2 "), parse("−3"), parse("0,5"), parse("99")]).toEqual([-1.5, 2, -3, 0.5, 5]);
    expect([parse(""), parse("  "), parse("-"), parse("abc"), parse("NaN"), parse("Infinity")]).toEqual(
      Array(6).fill(null),
    );
  });

  it("is said in words at the named stops", () => {
    expect([spoken(1), spoken(0), spoken(-2.5)]).toEqual([
      "1, as in the clean run",
      "0, ablated",
      "-2.5 times the clean activation",
    ]);
  });
});

describe("two runs are the same", () => {
  const asked = { values: CLEAN_VALUES, mode: "direct" as const };

  it("only with the same mode and the same factor of every node", () => {
    expect(same({ ...asked, values: { "f/3/7/2": 1, "f/12/311/5": 1 } }, asked)).toBe(true);
    expect(same({ ...asked, mode: "propagated" }, asked)).toBe(false);
    expect(same({ ...asked, values: { ...CLEAN_VALUES, "f/3/7/2": 1.1 } }, asked)).toBe(false);
    expect(same({ ...asked, values: { "f/3/7/2": 1 } }, asked)).toBe(false);
  });

  it("never before the first has ended", () => {
    expect(same({}, asked)).toBe(false);
  });
});

it("counts the nodes that are not as in the clean run", () => {
  expect(editedCount({ a: 1, b: 0, c: 1.1 })).toBe(2);
});

it("names a node by feature, position, token and label", () => {
  expect(NODES.map(nameOf)).toEqual(["feature 12/311 at position 5, went, → ' store'", "feature 3/7 at position 2"]);
});

describe("the widget", () => {
  const ready = { live: true, settled: true, slow: false, error: "" };

  it("is offline without a kernel, whatever else holds", () => {
    expect(phase({ live: false, settled: false, slow: true, error: "no" })).toBe("offline");
  });

  it("has failed only when the newest run has ended with an error", () => {
    expect(phase({ ...ready, error: "no" })).toBe("failed");
    expect(phase({ ...ready, settled: false, error: "no" })).toBe("pending");
    expect(phase({ ...ready, settled: false, slow: true })).toBe("slow");
    expect(phase(ready)).toBe("ready");
  });
});

describe("the bars", () => {
  it("write probabilities with one decimal and changes in percentage points with a true minus", () => {
    expect([share(0.4016), share(0), share(0.0004), share(1)]).toEqual(["40.2 %", "0.0 %", "<0.1 %", "100.0 %"]);
    expect([points(0.394), points(-0.754), points(0.0002), points(-0.0002)]).toEqual(["+39.4", "−75.4", "0.0", "0.0"]);
  });

  it("end at a round probability that holds the longest of them", () => {
    expect(fullScale([MARY, JOHN])).toBe(0.8);
    expect(fullScale([{ ...MARY, before: 0.03, after: 0.01 }])).toBe(0.05);
    expect(fullScale([{ ...MARY, before: 1.0000001 }])).toBe(1);
    expect(fullScale([])).toBe(0.05);
  });

  it("know the first place of each run and what is left for all other tokens", () => {
    expect(top([MARY, JOHN], "before")).toBe(MARY);
    expect(top([MARY, JOHN], "after")).toBe(JOHN);
    expect(top([], "after")).toBeUndefined();
    expect(rest([MARY, JOHN]).before).toBeCloseTo(0.1);
    expect(rest([{ ...MARY, after: 1.0000001 }]).after).toBe(0);
  });

  it("tell the first place in words, with what cannot be seen written out", () => {
    expect(summary([MARY, JOHN])).toBe("Most probable next token: ·John, 70.0 %");
    expect(summary([{ ...MARY, token: "\n" }])).toBe("Most probable next token: ↵, 20.0 %");
    expect(summary([])).toBe("");
  });
});
