import { afterEach, describe, expect, it } from "vitest";
import widget from "../../src/operand-grid";
import { gradient, pixels, ramp } from "../../src/operand-grid/ramp";
import { families, ordered, promptOf, read, type State, strongest, ticks } from "../../src/operand-grid/state";
import { view as bytes, floats, ints, key, Model, View } from "../model";

afterEach(() => document.body.replaceChildren());

// Three features over the operands 3, 4 and 7, 8, 9.
const VALUES = [
  [0, 0, 1, 0, 1, 0],
  [2, 0, 0, 2, 0, 0],
  [0, 0, 0, 0, 0, 9],
];

function state(changes: Partial<State> = {}): State {
  return {
    template: "{a} + {b} = ",
    role: "b_last",
    axes: { a: ints([3, 4]), b: ints([7, 8, 9]) },
    features: {
      layer: ints([5, 2, 9]),
      feature: ints([30, 17, 11]),
      family: ["sum ends in d", "operand ends in d", "sum ends in d"],
      detail: ["digit 2", "", "digit 10"],
      score: floats([0.5, 0.9, Number.NaN]),
    },
    values: bytes(VALUES.flat()),
    sort: "family",
    family: "",
    scale: "own",
    selected: null,
    cell: null,
    ...changes,
  };
}

const show = (changes: Partial<State> = {}) => new View<State>(widget, new Model(state(changes)));
const names = (shown: View<State>) => shown.all(".grid-small").map((button) => button.dataset.feature);

describe("the grids", () => {
  const grids = read(state());

  it("are read with the axes in their order", () => {
    expect(grids.all.map(({ layer, feature, maximum }) => [layer, feature, maximum])).toEqual([
      [5, 30, 1],
      [2, 17, 2],
      [9, 11, 9],
    ]);
    expect(grids.maximum).toBe(9);
    expect(strongest(grids, grids.all[1]!, 5)).toEqual([
      { row: 0, column: 0 },
      { row: 1, column: 0 },
    ]);
  });

  it("are sorted by family, score, layer and maximum; no score is the lowest", () => {
    const order = (sort: State["sort"], family = "") => ordered(grids.all, sort, family).map(({ feature }) => feature);
    expect(order("family")).toEqual([30, 11, 17]);
    expect(order("score")).toEqual([17, 30, 11]);
    expect(order("layer")).toEqual([17, 30, 11]);
    expect(order("maximum")).toEqual([11, 17, 30]);
    expect(order("maximum", "sum ends in d")).toEqual([11, 30]);
    expect(families(grids.all)).toEqual([
      ["sum ends in d", 2],
      ["operand ends in d", 1],
    ]);
  });
});

it("puts what is of no family last, however often it comes", () => {
  const all = ["other", "other", "exact pair"].map((family) => ({ ...read(state()).all[0]!, family }));
  expect(families(all).map(([family]) => family)).toEqual(["exact pair", "other"]);
});

describe("ticks", () => {
  it("stand at round operands", () => {
    expect(ticks(Array.from({ length: 100 }, (_, i) => i))).toEqual([0, 20, 40, 60, 80]);
    expect(ticks([3, 4, 5])).toEqual([0, 1, 2]);
  });

  it("stand at the ends where no operand is round", () =>
    expect(ticks(Array.from({ length: 40 }, (_, i) => 1000 * i + 3))).toEqual([0, 39]));
});

it("writes the prompt of two operands", () => expect(promptOf("{a} + {b} = ", 3, 9)).toBe("3 + 9 = "));

describe("the colours", () => {
  it("go from the first to the last stop, and never beyond", () => {
    const colours = ramp(false);
    const drawn = pixels([0, -1, 4, 9], 4, colours);
    expect([...drawn.slice(0, 4)]).toEqual([241, 243, 246, 255]);
    expect([...drawn.slice(4, 8)]).toEqual([241, 243, 246, 255]);
    expect([...drawn.slice(8, 12)]).toEqual([10, 42, 94, 255]);
    expect([...drawn.slice(12)]).toEqual([10, 42, 94, 255]);
    expect([...pixels([1], 0, colours).slice(0, 3)]).toEqual([241, 243, 246]);
    expect(gradient(true)).toContain("rgb(32 36 43)");
  });

  it.each([false, true])("change in lightness all the way (dark: %s)", (dark) => {
    const colours = ramp(dark);
    const light = Array.from({ length: 256 }, (_, i) => {
      const [red, green, blue] = colours.slice(4 * i, 4 * i + 3);
      return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
    });
    const steps = light.slice(1).map((value, i) => (dark ? value - light[i]! : light[i]! - value));
    expect(Math.min(...steps)).toBeGreaterThan(-0.8);
  });
});

describe("the widget", () => {
  it("shows the grids by family, each with its name", () => {
    const view = show();
    expect(view.find(".grid-title").textContent).toBe("Operands of {a} + {b} =  at b_last");
    expect(view.id("count").textContent).toBe("3 features");
    expect(view.all("h4").map((heading) => heading.textContent)).toEqual([
      "sum ends in d2 features",
      "operand ends in d1 feature",
    ]);
    expect(view.all(".grid-small").map((button) => button.getAttribute("aria-label"))).toEqual([
      "Feature 5/30, sum ends in d (digit 2), score 0.500, maximum 1.00",
      "Feature 9/11, sum ends in d (digit 10), maximum 9.00",
      "Feature 2/17, operand ends in d, score 0.900, maximum 2.00",
    ]);
    expect(view.all<HTMLCanvasElement>("canvas").map(({ width, height }) => [width, height])).toEqual(
      Array.from({ length: 4 }, () => [3, 2]),
    );
  });

  it("is sorted and filtered by its user", () => {
    const view = show();
    const choose = (id: string, value: string) => {
      const select = view.id<HTMLSelectElement>(id);
      select.value = value;
      select.dispatchEvent(new Event("change"));
    };
    choose("sort", "maximum");
    expect(names(view)).toEqual(["9/11", "2/17", "5/30"]);
    expect(view.all("h4")).toHaveLength(0);
    choose("family", "sum ends in d");
    expect(names(view)).toEqual(["9/11", "5/30"]);
    expect([view.model.get("sort"), view.model.get("family")]).toEqual(["maximum", "sum ends in d"]);
    choose("scale", "shared");
    expect(view.id("legend").textContent).toBe("09.00");
  });

  it("enlarges the grid that is clicked and hands it to Python", () => {
    const view = show();
    expect(view.find(".grid-large h3").textContent).toBe("5/30sum ends in d");
    view.all(".grid-small")[2]!.click();
    expect(view.model.get("selected")).toEqual([2, 17]);
    expect(view.model.get("cell")).toBeNull();
    expect(view.find(".grid-large h3").textContent).toBe("2/17operand ends in d");
    expect(view.find("[aria-pressed=true]").dataset.feature).toBe("2/17");
    view.model.set("selected", [9, 11]);
    expect(view.find(".grid-large p").textContent).toBe("digit 10 · maximum 9.00");
  });

  it("is read cell by cell with the keys, and Enter selects", () => {
    const view = show({ selected: [9, 11] });
    const plot = view.id("plot");
    for (const name of ["ArrowDown", "End"]) key(plot, name);
    expect(view.id("readout").textContent).toBe("4 + 9 = sum 13activation 9.00");
    expect(view.id("tip").textContent).toBe("a 4, b 9sum 13feature 9/119.00");
    key(plot, "Enter");
    expect(view.model.get("cell")).toEqual([4, 9]);
    expect(view.model.get("selected")).toEqual([9, 11]);
    expect(view.id("readout").textContent).toContain("selected");
    key(plot, "Escape");
    expect(view.id("tip").hidden).toBe(true);
    view.model.set("cell", [3, 7]);
    expect(view.find<HTMLElement>(".grid-chosen").style.left).toBe("0%");
    expect(view.id("readout").textContent).toContain("3 + 7 = ");
  });

  it("is one stop of the Tab key on the left, and arrows go from grid to grid", () => {
    const view = show();
    const buttons = view.all(".grid-small");
    expect(buttons.map((button) => button.tabIndex)).toEqual([0, -1, -1]);
    buttons[0]!.focus();
    key(buttons[0]!, "ArrowRight");
    expect(document.activeElement).toBe(buttons[1]);
    key(buttons[1]!, "End");
    expect(document.activeElement).toBe(buttons[2]);
  });

  it("is a table, too", () => {
    const view = show({ selected: [2, 17] });
    const details = view.id<HTMLDetailsElement>("tables");
    expect(view.all("tbody tr")).toHaveLength(0);
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    const rows = view.all("tbody tr").map((row) => [...row.children].map((cell) => cell.textContent));
    expect(rows).toEqual([
      ["5/30", "sum ends in d", "digit 2", "0.500", "1.00"],
      ["9/11", "sum ends in d", "digit 10", "–", "9.00"],
      ["2/17", "operand ends in d", "", "0.900", "2.00"],
      ["3", "7", "10", "2.00"],
      ["4", "7", "11", "2.00"],
    ]);
    view.find("tbody button").click();
    expect(view.model.get("selected")).toEqual([5, 30]);
  });

  it("shows many grids page by page", () => {
    const many = Array.from({ length: 150 }, (_, index) => index);
    const features = {
      layer: ints(many.map(() => 1)),
      feature: ints(many),
      family: many.map(() => "other"),
      detail: many.map(() => ""),
      score: floats(many.map(() => 0)),
    };
    const view = show({ features, values: bytes(many.flatMap(() => VALUES[0]!)) });
    expect(names(view)).toHaveLength(60);
    expect(view.find(".grid-more").textContent).toBe("Show 60 more of 90");
    view.find(".grid-more").click();
    expect(names(view)).toHaveLength(120);
    expect((document.activeElement as HTMLElement).dataset.feature).toBe("1/60");
    view.find(".grid-more").click();
    expect(names(view)).toHaveLength(150);
    expect(view.all(".grid-more")).toHaveLength(0);
  });

  it("leaves nothing behind when it is closed", () => {
    const view = show();
    view.close();
    expect(view.model.listenerCount).toBe(0);
  });
});
