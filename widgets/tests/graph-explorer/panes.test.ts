import { afterEach, describe, expect, it, vi } from "vitest";
import { Tabs } from "../../src/kit/tabs";

const panel = () => document.createElement("div");
const press = (element: Element, key: string) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));

afterEach(() => document.body.replaceChildren());

function three() {
  const panels = [panel(), panel(), panel()];
  const chosen = vi.fn();
  const names = ["Graph", "Table", "Paths"];
  const tabs = new Tabs(
    panels.map((element, at) => ({ key: names[at]!.toLowerCase(), name: names[at]!, element })),
    chosen,
  );
  document.body.append(tabs.element, ...panels);
  return { tabs, panels, chosen, buttons: [...tabs.element.querySelectorAll<HTMLElement>('[role="tab"]')] };
}

describe("the strip of tabs", () => {
  it("shows one panel, and names each for a screen reader", () => {
    const { tabs, panels, buttons } = three();
    expect(tabs.show("table")).toBe("table");
    expect(panels.map(({ hidden }) => hidden)).toEqual([true, false, true]);
    expect(buttons.map((button) => button.getAttribute("aria-selected"))).toEqual(["false", "true", "false"]);
    for (const [at, button] of buttons.entries()) {
      expect(panels[at]!.getAttribute("aria-labelledby")).toBe(button.id);
      expect(button.getAttribute("aria-controls")).toBe(panels[at]!.id);
    }
  });

  it("falls back on the first one for a key that it does not know", () => {
    const { tabs, panels } = three();
    expect(tabs.show("nothing")).toBe("graph");
    expect(panels[0]!.hidden).toBe(false);
  });

  it("is one stop for the Tab key, and the arrows move within it", () => {
    const { tabs, buttons, chosen } = three();
    tabs.show("graph");
    expect(buttons.map(({ tabIndex }) => tabIndex)).toEqual([0, -1, -1]);
    buttons[0]!.focus();
    press(buttons[0]!, "ArrowRight");
    expect(document.activeElement).toBe(buttons[1]);
    press(buttons[1]!, "End");
    press(buttons[2]!, "ArrowRight");
    expect(document.activeElement).toBe(buttons[0]);
    expect(chosen).not.toHaveBeenCalled();
    buttons[2]!.click();
    expect(chosen).toHaveBeenCalledWith("paths");
  });

  it("is not there for a single view", () => {
    expect(new Tabs([{ key: "graph", name: "Graph", element: panel() }], () => {}).element.hidden).toBe(true);
  });
});
