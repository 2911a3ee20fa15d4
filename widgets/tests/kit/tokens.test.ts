import { describe, expect, it } from "vitest";
import { isolate, shorten, visible } from "../../src/kit/tokens";

describe("visible", () => {
  it.each([
    ["\n", "↵"],
    ["\n\n", "↵↵"],
    [" Mary", "·Mary"],
    ["  ", "··"],
    ["two words", "two words"],
    ["", "∅"],
    ["\t", "⇥"],
    ["\u0000", "[U+0000]"],
    ["\u202e", "[U+202E]"],
    ["\u200b", "[U+200B]"],
    ["\ufffd", "�"],
    ["<script>alert(1)</script>", "<script>alert(1)</script>"],
    ["שלום", "שלום"],
  ])("shows %j as %j", (token, shown) => expect(visible(token)).toBe(shown));

  it("keeps a family emoji whole", () => expect(visible("👨‍👩‍👧")).toBe("👨‍👩‍👧"));
});

describe("shorten", () => {
  it("cuts between characters as a reader counts them", () => {
    expect(shorten("abcdef", 4)).toBe("abc…");
    expect(shorten("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 2)).toBe("👨‍👩‍👧…");
    expect(shorten("abc", 3)).toBe("abc");
  });
});

it("isolates the direction of a text", () => expect(isolate("שלום")).toBe("\u2068שלום\u2069"));
