import { afterEach, describe, expect, it } from "vitest";
import widget from "../../src/token-strip";
import { type State, shownSeries, toggled, worded } from "../../src/token-strip/state";
import { floats, key, Model, View } from "../model";

afterEach(() => document.body.replaceChildren());

const TOKENS = ["<s>", "Texas", " is", "\n"];

function state(changes: Partial<State> = {}): State {
  return {
    tokens: TOKENS,
    names: ["12/311", "<i>14/7</i>"],
    kind: "activation",
    data: { values: floats([0, 4, 1, 0, 0, 0, 8, 2]) },
    scale: "own",
    shown: [0],
    selected: null,
    ...changes,
  };
}

const show = (changes: Partial<State> = {}) => new View<State>(widget, new Model(state(changes)));
const surprise: Partial<State> = {
  names: ["surprise"],
  kind: "surprise",
  data: { values: floats([Number.NaN, 9, 2, 0.5]) },
};

describe("the series that are shown", () => {
  const values = [
    [0, 4],
    [8, 2],
  ];
  const base: Pick<State, "names" | "kind"> = { names: ["a", "b"], kind: "activation" };

  it("have their own maximum, a shared one or a fixed one as full colour", () => {
    const tops = (scale: State["scale"]) =>
      shownSeries({ ...base, scale, shown: [0, 1] }, values).map(({ top }) => top);
    expect(tops("own")).toEqual([4, 8]);
    expect(tops("shared")).toEqual([8, 8]);
    expect(tops(2.5)).toEqual([2.5, 2.5]);
  });

  it("keep their hue, whatever else is shown", () => {
    expect(shownSeries({ ...base, scale: "own", shown: [1] }, values)[0]!.hue).toBe(1);
    const many = Array.from({ length: 9 }, () => [1]);
    const names = many.map((_, index) => String(index));
    const hues = shownSeries({ names, kind: "entropy", scale: "own", shown: [3, 8] }, many).map(({ hue }) => hue);
    expect(hues).toEqual([0, 1]);
  });

  it("are switched one by one, never off altogether", () => {
    expect(toggled([0], 1)).toEqual([0, 1]);
    expect(toggled([0, 1], 0)).toEqual([1]);
    expect(toggled([1], 1)).toEqual([1]);
  });
});

it("words values by their kind", () => {
  expect(worded(0.034, "probability")).toBe("3.4 %");
  expect(worded(2, "surprise")).toBe("2.00 nats");
  expect(worded(Number.NaN, "entropy")).toBe("no value");
});

describe("the strip", () => {
  it("shows tokens, names and legend as text", () => {
    const view = show({ shown: [0, 1] });
    expect(view.all(".wb-strip-token").map((token) => token.textContent)).toEqual(["<s>", "Texas", "·is", "↵"]);
    expect(view.all(".strip-chip").map((chip) => chip.textContent)).toEqual(["12/311", "<i>14/7</i>"]);
    expect(view.id("legend").textContent).toBe("12/31104.00<i>14/7</i>08.00");
    expect(view.el.querySelector("i i")).toBeNull();
  });

  it("is coloured by the series that its user switches on", () => {
    const view = show();
    const shares = () => view.all(".wb-strip-token").map((token) => Number(token.style.getPropertyValue("--share")));
    expect(shares()[1]).toBe(1);
    view.all(".strip-chip")[1]!.click();
    expect(view.model.get("shown")).toEqual([0, 1]);
    view.all(".strip-chip")[0]!.click();
    expect(view.model.get("shown")).toEqual([1]);
    expect(shares().map((share) => share > 0)).toEqual([false, false, true, true]);
    expect(view.all(".strip-chip").map((chip) => chip.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
  });

  it("has a list to choose from where colours would not do", () => {
    const names = Array.from({ length: 8 }, (_, index) => `12/${index}`);
    const data = { values: floats(Array.from({ length: 32 }, (_, index) => index)) };
    const view = show({ names, data });
    const select = view.id<HTMLSelectElement>("series");
    expect(select.options).toHaveLength(9);
    select.value = "5";
    select.dispatchEvent(new Event("change"));
    expect(view.model.get("shown")).toEqual([5]);
  });

  it("sets the token that is clicked, and takes it back at a second click", () => {
    const view = show();
    const [, texas] = view.all(".wb-strip-token");
    texas!.click();
    expect(view.model.get("selected")).toBe(1);
    expect(texas!.getAttribute("aria-selected")).toBe("true");
    expect(view.id("facts").textContent).toContain("Selected: position 1 Texas");
    expect(view.id("facts").textContent).toContain("4.00");
    key(texas!, " ");
    expect(view.model.get("selected")).toBeNull();
    expect(view.model.saves).toBe(2);
    view.model.set("selected", 2);
    expect(view.find("[aria-selected=true]").textContent).toBe("·is");
  });

  it("tells the value of a token to the pointer, to the focus and to screen readers", () => {
    const view = show(surprise);
    const [start, texas] = view.all(".wb-strip-token");
    expect(view.id("tip").hidden).toBe(true);
    texas!.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    expect(view.id("tip").textContent).toContain("9.00 nats");
    start!.focus();
    expect(view.id("tip").textContent).toContain("no value");
    key(start!, "Escape");
    expect(view.id("tip").hidden).toBe(true);
    expect(texas!.getAttribute("aria-label")).toContain("position 1, surprise 9.00 nats");
  });

  it("has its scale fixed and let go by its user", () => {
    const view = show(surprise);
    const [scale, fixed] = [view.id<HTMLSelectElement>("scale"), view.find<HTMLInputElement>("input[type=number]")];
    expect([...scale.options].map((option) => option.value)).toEqual(["own", "fixed"]);
    expect(fixed.hidden).toBe(true);
    scale.value = "fixed";
    scale.dispatchEvent(new Event("change"));
    expect(view.model.get("scale")).toBe(9);
    fixed.value = "18";
    fixed.dispatchEvent(new Event("change"));
    expect(view.model.get("scale")).toBe(18);
    expect(view.all(".wb-strip-token")[1]!.style.getPropertyValue("--share")).toBe("0.500");
    fixed.value = "-1";
    fixed.dispatchEvent(new Event("change"));
    expect(view.model.get("scale")).toBe(18);
    scale.value = "own";
    scale.dispatchEvent(new Event("change"));
    expect(view.model.get("scale")).toBe("own");
    expect(view.id("legend").textContent).toBe("09.00 nats");
  });

  it("leaves nothing behind when it is closed", () => {
    const view = show();
    view.close();
    expect(view.model.listenerCount).toBe(0);
  });
});
