import { afterEach, describe, expect, it, vi } from "vitest";
import { largest, type Series, Strip, shareOf } from "../../src/kit/strip";
import { key } from "../model";

afterEach(() => document.body.replaceChildren());

const series = (values: number[], changes: Partial<Series> = {}): Series => ({
  name: "12/311",
  values,
  top: 4,
  hue: 0,
  ...changes,
});

function strip(tokens: string[], options: { select?: (index: number) => void; point?: () => void } = {}): Strip {
  const made = new Strip({ label: "Text", describe: (index) => `${index}: ${tokens[index]}`, ...options });
  document.body.append(made.element);
  made.show(tokens);
  return made;
}

const tokens = () => [...document.querySelectorAll<HTMLElement>(".wb-strip-token")];

describe("shareOf", () => {
  it.each([
    [0, 4, 0, 0],
    [2, 4, 0, 0.5],
    [9, 4, 0, 1],
    [-2, 4, 0, -0.5],
    [Number.NaN, 4, 0, 0],
    [1, 0, 0, 0],
    [2, 4, 0.2, 0.6],
  ])("of %d, full at %d with the floor %d, is %d", (value, top, floor, share) =>
    expect(shareOf(value, top, floor)).toBeCloseTo(share),
  );
});

it("finds the largest size and passes over what is no number", () => {
  expect(largest([1, Number.NaN, -3, 2])).toBe(3);
  expect(largest([])).toBe(0);
});

describe("a strip", () => {
  it("shows every token as text, with what cannot be seen written out", () => {
    strip(["<b>", " Texas", "\n", "שלום", "👩‍👧‍👦", "\ufffd", "  ", ""]);
    expect(tokens().map((token) => token.textContent)).toEqual([
      "<b>",
      "·Texas",
      "↵",
      "שלום",
      "👩‍👧‍👦",
      "�",
      "··",
      "∅",
    ]);
    expect(document.querySelector("b")).toBeNull();
    expect(tokens()[2]!.className).toContain("wb-strip-end");
  });

  it("may break lines before words alone", () => {
    strip(["un", "happy", " people", "\n"]);
    const broken = tokens().map((token) => token.previousElementSibling?.tagName === "WBR");
    expect(broken).toEqual([false, false, true, true]);
  });

  it("is coloured by the share of the full colour, and by sign", () => {
    strip(["a", "b", "c", "d"]).paint([series([4, 1, -2, Number.NaN])]);
    expect(tokens().map((token) => token.style.getPropertyValue("--share"))).toEqual([
      "1.000",
      "0.250",
      "0.500",
      "0.000",
    ]);
    expect(tokens().map((token) => token.dataset.hue)).toEqual(["0", "0", "negative", "0"]);
    expect(tokens().map((token) => token.hasAttribute("data-none"))).toEqual([false, false, false, true]);
  });

  it("has of several series the strongest as its colour and a stripe for each", () => {
    strip(["a", "b"]).paint([series([4, 0]), series([1, 3], { hue: 3 })]);
    expect(tokens().map((token) => token.dataset.hue)).toEqual(["0", "3"]);
    expect(tokens()[0]!.style.getPropertyValue("--s0")).toBe("1.000");
    expect(tokens()[0]!.style.getPropertyValue("--s1")).toBe("0.250");
  });

  it("is one stop of the Tab key, and arrows move inside it", () => {
    const select = vi.fn();
    strip(["a", "b", "c"], { select }).paint([series([1, 2, 3])]);
    const stops = () => tokens().map((token) => token.tabIndex);
    expect(stops()).toEqual([0, -1, -1]);
    tokens()[0]!.focus();
    key(tokens()[0]!, "ArrowRight");
    key(tokens()[1]!, "ArrowRight");
    key(tokens()[2]!, "ArrowRight");
    expect(document.activeElement).toBe(tokens()[2]);
    expect(stops()).toEqual([-1, -1, 0]);
    key(tokens()[2]!, "Enter");
    expect(select).toHaveBeenLastCalledWith(2);
    key(tokens()[2]!, "Home");
    expect(document.activeElement).toBe(tokens()[0]);
    key(tokens()[0]!, "End");
    key(tokens()[2]!, "ArrowLeft");
    expect(document.activeElement).toBe(tokens()[1]);
    expect(tokens()[1]!.getAttribute("aria-label")).toBe("1: b");
  });

  it("tells what the pointer is on, and when it leaves", () => {
    const point = vi.fn();
    const { element } = strip([" a", "b"], { point });
    tokens()[1]!.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    expect(point).toHaveBeenLastCalledWith(1, expect.anything());
    element.dispatchEvent(new PointerEvent("pointerleave"));
    expect(point).toHaveBeenLastCalledWith(null, null);
  });
});
