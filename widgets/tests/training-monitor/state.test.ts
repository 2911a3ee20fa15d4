import { describe, expect, it } from "vitest";
import { fullScale } from "../../src/training-monitor/chart";
import { Course, duration, merged, progress, ratePhase, secondsLeft, smooth } from "../../src/training-monitor/state";
import { sampled } from "../../src/training-monitor/table";
import { ABOUT, bytes, history, news, row, steps } from "./model";

describe("rows that come in pieces", () => {
  it("are read by column and by layer", () => {
    const course = new Course(history(steps(1, 4)));
    expect([...course.column("step")]).toEqual([1, 2, 3, 4]);
    expect(course.last("fvu")).toBe(0.25);
    expect([...course.byLayer(1)]).toEqual([0.25, 0.5, 1]);
    expect(new Course(history([])).last("fvu")).toBeNaN();
    expect(new Course(history([])).byLayer(-1)).toHaveLength(0);
  });

  it("are appended, and the last one that was known may be another now", () => {
    const whole = merged(history([row(1), row(2, 9)]), news(1), bytes([row(2), row(3)]))!;
    expect([...new Course(whole).column("fvu")].map((fvu) => fvu.toFixed(2))).toEqual(["1.00", "0.50", "0.33"]);
  });

  it("take the place of all where the first of them is new", () => {
    const whole = merged(history(steps(1, 9)), news(0, 1), bytes(steps(4, 5)))!;
    expect([whole.generation, ...new Course(whole).column("step")]).toEqual([1, 4, 5]);
  });

  it("do not fit where some between are missing, or older rows were joined", () => {
    expect(merged(history(steps(1, 3)), news(4), bytes([row(5)]))).toBeNull();
    expect(merged(history(steps(1, 3)), news(2, 1), bytes([row(5)]))).toBeNull();
  });

  it("may stand at any place of a message", () => {
    const data = bytes([row(1), row(2)]);
    const shifted = new Uint8Array(data.byteLength + 3);
    shifted.set(new Uint8Array(data.buffer), 3);
    const whole = merged(history([]), news(0), new DataView(shifted.buffer, 3))!;
    expect([...new Course(whole).column("step")]).toEqual([1, 2]);
  });
});

describe("what follows from them", () => {
  it("is the time left at the speed of the last steps", () => {
    // Two seconds a step at first, one a step of late.
    const rows = Array.from({ length: 50 }, (_, i) => {
      const values = row(i + 1);
      values[2] = i < 25 ? 2 * i : 25 + i;
      return values;
    });
    expect(secondsLeft(new Course(history(rows)), 100)).toBeCloseTo(50);
    expect(secondsLeft(new Course(history([row(1)])), 100)).toBeNaN();
  });

  it("is told in words", () => {
    expect([12.4, 60, 200, 754, 3600, 7500, Number.NaN].map(duration)).toEqual([
      "12 s",
      "1 min",
      "3 min 20 s",
      "12 min",
      "1 h",
      "2 h 5 min",
      "–",
    ]);
    expect([1, 10, 20, 99].map((step) => ratePhase(ABOUT, step))).toEqual([
      "rising",
      "at its full height",
      "falling",
      "falling",
    ]);
  });

  it("is how far the stage is: tokens while harvesting, then steps", () => {
    const none = new Course(history([]));
    expect(progress({ phase: "harvesting", harvest: [5000, 20000], about: ABOUT }, none)).toEqual([
      0.25,
      "5,000 of 20,000 tokens",
    ]);
    expect(
      progress({ phase: "training", harvest: [20000, 20000], about: ABOUT }, new Course(history(steps(1, 20)))),
    ).toEqual([0.2, "step 20 of 100"]);
  });

  it("is a line without the noise, as long as the noisy one", () => {
    const noisy = Float64Array.from({ length: 60 }, (_, i) => (i % 2 ? 1 : 0));
    const even = smooth(noisy);
    expect(even).toHaveLength(60);
    expect(even[30]).toBeCloseTo(0.5, 0);
    expect(even[0]).toBe(0);
    expect([...smooth([])]).toEqual([]);
  });

  it("is an axis with a round end, and rows of a table from all over", () => {
    expect([fullScale([0.3, 0.93]), fullScale([1.7, Number.NaN]), fullScale([])]).toEqual([1, 2, 0.1]);
    expect(sampled(3)).toEqual([0, 1, 2]);
    expect(sampled(100)).toHaveLength(12);
    expect([sampled(100)[0], sampled(100).at(-1)]).toEqual([0, 99]);
  });
});
