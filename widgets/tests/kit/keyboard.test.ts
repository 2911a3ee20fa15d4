import { expect, it, vi } from "vitest";
import { h } from "../../src/kit/dom";
import { claimKeys, onKeys } from "../../src/kit/keyboard";

const press = (target: Element, key: string, init: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init });
  target.dispatchEvent(event);
  return event;
};

it("marks the focused element itself, and keeps its keys from the notebook", () => {
  const input = h("input", { type: "range" });
  const root = h("div", {}, input);
  const notebook = h("div", {}, root);
  document.body.append(notebook);
  const heard = vi.fn();
  notebook.addEventListener("keydown", heard);
  const release = claimKeys(root);
  input.focus();
  expect(input.dataset.lmSuppressShortcuts).toBe("true");
  press(input, "b");
  expect(heard).not.toHaveBeenCalled();
  release();
  press(input, "b");
  expect(heard).toHaveBeenCalledOnce();
  notebook.remove();
});

it("runs the action of a key and leaves the browser's shortcuts alone", () => {
  const pin = vi.fn();
  const canvas = h("canvas", { onkeydown: onKeys({ p: pin }) });
  expect(press(canvas, "p").defaultPrevented).toBe(true);
  expect(press(canvas, "p", { ctrlKey: true }).defaultPrevented).toBe(false);
  expect(press(canvas, "q").defaultPrevented).toBe(false);
  expect(pin).toHaveBeenCalledOnce();
});
