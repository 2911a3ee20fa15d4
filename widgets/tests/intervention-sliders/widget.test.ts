import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../../src/intervention-sliders";
import type { State } from "../../src/intervention-sliders/state";
import { answered, CLEAN_VALUES, JOHN, MARY, Model, state } from "./model";

const [FIRST, SECOND] = ["f/12/311/5", "f/3/7/2"] as const;

/** One view of a model, and its parts as a user names them. */
class View {
  readonly el = document.createElement("div");
  readonly close: () => void;

  constructor(readonly model: Model) {
    document.body.append(this.el);
    this.close = widget.render({ model, el: this.el } as never);
  }

  get root(): HTMLElement {
    return this.find("[data-testid=intervention-sliders]");
  }

  find<E extends HTMLElement = HTMLElement>(selector: string): E {
    const found = this.el.querySelector<E>(selector);
    if (!found) throw new Error(`There is no ${selector}.`);
    return found;
  }

  range(id: string): HTMLInputElement {
    return this.find(`[data-node="${id}"] input[type=range]`);
  }

  field(id: string): HTMLInputElement {
    return this.find(`[data-node="${id}"] input[type=number]`);
  }

  button(id: string, text: string): HTMLButtonElement {
    return [...this.el.querySelectorAll<HTMLButtonElement>(`[data-node="${id}"] button`)].find(
      (button) => button.textContent === text,
    )!;
  }

  /** The small button of a slider whose name begins so. */
  tool(id: string, name: string): HTMLButtonElement {
    return this.find(`[data-node="${id}"] .sliders-tool[aria-label^="${name}"]`);
  }

  drag(id: string, ...values: string[]): void {
    const range = this.range(id);
    range.dispatchEvent(new Event("pointerdown", { bubbles: true }));
    for (const value of values) this.input(range, value);
  }

  drop(id: string): void {
    this.range(id).dispatchEvent(new Event("change", { bubbles: true }));
    this.range(id).dispatchEvent(new Event("pointerup", { bubbles: true }));
  }

  input(element: HTMLInputElement, value: string): void {
    element.value = value;
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  bars(): [string, number, number][] {
    return [...this.el.querySelectorAll<HTMLElement>("tr[data-token]")].map(({ dataset }) => [
      dataset.token!,
      Number(dataset.before),
      Number(dataset.after),
    ]);
  }

  text(selector: string): string {
    return this.find(selector).textContent!;
  }

  get notice(): string | null {
    const notice = this.find(".wb-notice");
    return notice.hidden ? null : notice.querySelector(".wb-notice-text")!.textContent;
  }
}

/** Show a model's state, and let what it schedules for the end of the turn be done. */
async function view(state: State): Promise<View> {
  const shown = new View(new Model(state));
  await Promise.resolve();
  return shown;
}

async function receive(view: View, changes: Partial<State>): Promise<void> {
  view.model.receive(changes);
  await Promise.resolve();
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

describe("a slider", () => {
  it("has a row for every node with its feature, token, position and label", async () => {
    const { el } = await view(answered());
    const rows = [...el.querySelectorAll(".sliders-row")];
    expect(rows.map((row) => row.querySelector(".sliders-name")!.textContent)).toEqual([
      "12/311·went5→ ' store'activation 4.00",
      "3/7↵2no label",
    ]);
  });

  it("is a native range with a name, and says its factor in words", async () => {
    const range = (await view(answered({ values: { ...CLEAN_VALUES, [FIRST]: 0 } }))).range(FIRST);
    expect([range.min, range.max, range.step, range.value]).toEqual(["-5", "5", "0.1", "0"]);
    expect(range.getAttribute("aria-label")).toBe("Factor of feature 12/311 at position 5, went, → ' store'");
    expect(range.getAttribute("aria-valuetext")).toBe("0, ablated");
  });

  it("sends all values at every step, the other nodes' as they were", async () => {
    const shown = await view(answered());
    shown.drag(FIRST, "0.5", "-0.3");
    shown.drag(SECOND, "2");
    expect(shown.model.saved.map(({ values }) => values)).toEqual([
      { [FIRST]: 0.5, [SECOND]: 1 },
      { [FIRST]: -0.3, [SECOND]: 1 },
      { [FIRST]: -0.3, [SECOND]: 2 },
    ]);
    expect(shown.field(FIRST).value).toBe("-0.3");
    expect(shown.text(`[data-node="${FIRST}"] .sliders-activation`)).toBe("activation 4.00 → −1.20");
  });

  it("has buttons for ablate, invert and clean", async () => {
    const shown = await view(answered());
    for (const [text, factor] of [
      ["ablate", 0],
      ["invert", -1],
      ["clean", 1],
    ] as const) {
      shown.button(FIRST, text).click();
      expect(shown.model.get("values")[FIRST]).toBe(factor);
      expect(shown.range(FIRST).value).toBe(String(factor));
      expect(shown.button(FIRST, text).getAttribute("aria-pressed")).toBe("true");
    }
  });

  it("sends nothing when it is set to where it stands", async () => {
    const shown = await view(answered());
    shown.button(FIRST, "clean").click();
    expect(shown.model.save_changes).not.toHaveBeenCalled();
  });

  it("follows values that Python sets", async () => {
    const shown = await view(answered());
    await receive(shown, { values: { [FIRST]: -2.5, [SECOND]: 5 } });
    expect([shown.range(FIRST).value, shown.field(FIRST).value]).toEqual(["-2.5", "-2.5"]);
    expect(shown.range(SECOND).value).toBe("5");
  });

  it("does not jump from under the pointer, and takes the true value when it is let go", async () => {
    const shown = await view(answered());
    shown.drag(FIRST, "3");
    await receive(shown, { values: { [FIRST]: 1, [SECOND]: -1 } });
    expect([shown.range(FIRST).value, shown.range(SECOND).value]).toEqual(["3", "-1"]);
    shown.drop(FIRST);
    expect(shown.range(FIRST).value).toBe("1");
  });

  it("moves in every view of the widget", async () => {
    const shown = await view(answered());
    const other = new View(shown.model);
    shown.drag(FIRST, "2.5");
    expect([other.range(FIRST).value, other.field(FIRST).value]).toEqual(["2.5", "2.5"]);
  });
});

describe("the number field", () => {
  it("sends a number while it is written", async () => {
    const shown = await view(answered());
    shown.input(shown.field(FIRST), "-1.25");
    expect(shown.model.get("values")[FIRST]).toBe(-1.25);
  });

  it("is not written over while the user writes in it", async () => {
    const shown = await view(answered());
    const field = shown.field(FIRST);
    shown.input(field, "");
    await receive(shown, { running: true });
    expect(field.value).toBe("");
    field.dispatchEvent(new Event("blur"));
    expect(field.value).toBe("1");
    expect(shown.model.save_changes).not.toHaveBeenCalled();
  });

  it("brings a number out of range into it when the user has finished", async () => {
    const shown = await view(answered());
    const field = shown.field(FIRST);
    shown.input(field, "70");
    expect(shown.model.save_changes).not.toHaveBeenCalled();
    field.dispatchEvent(new Event("change"));
    expect(shown.model.get("values")[FIRST]).toBe(5);
    expect(field.value).toBe("5");
  });
});

describe("the header", () => {
  it("switches the mode and says what it shows", async () => {
    const shown = await view(answered());
    expect(shown.text(".sliders-explanation")).toContain("whole model responds");
    shown.find<HTMLInputElement>("[data-mode=direct]").click();
    expect(shown.model.saved.map(({ mode }) => mode)).toEqual(["direct"]);
    expect(shown.text(".sliders-explanation")).toContain("clean run");
    await receive(shown, { mode: "propagated" });
    expect(shown.find<HTMLInputElement>("[data-mode=propagated]").checked).toBe(true);
  });

  it("keeps the modes of two views apart from each other's radio group", async () => {
    const shown = await view(answered());
    const other = new View(shown.model);
    const names = [shown, other].map((each) => each.find<HTMLInputElement>("[data-mode=direct]").name);
    expect(names[0]).not.toBe(names[1]);
  });

  it("resets every slider, and offers it only where there is something to reset", async () => {
    const shown = await view(answered());
    const reset = shown.find<HTMLButtonElement>("[data-testid=reset]");
    expect(reset.disabled).toBe(true);
    shown.drag(FIRST, "0");
    shown.drag(SECOND, "-1");
    expect(reset.textContent).toBe("Reset all (2)");
    // The pointer has left both sliders by now.
    shown.drop(FIRST);
    shown.drop(SECOND);
    reset.click();
    expect(shown.model.get("values")).toEqual(CLEAN_VALUES);
    expect(shown.range(SECOND).value).toBe("1");
  });
});

describe("the bars", () => {
  it("show every token with its probability before and after, in the order of the result", async () => {
    const shown = await view(answered());
    expect(shown.bars()).toEqual([
      [" Mary", 0.6, 0.2],
      [" John", 0.3, 0.7],
    ]);
    const cells = [...shown.find("tr[data-token=' Mary']").children].map((cell) => cell.textContent);
    expect(cells).toEqual(["·Mary", "", "60.0 %", "20.0 %", "−40.0"]);
    expect(shown.find("tr[data-token=' Mary'] .before").style.width).toBe("75%");
    expect(shown.text(".sliders-headline")).toBe("·Mary 60.0 % → ·John 70.0 %");
    expect(shown.text("[data-testid=others]")).toContain("10.0 %");
    expect(shown.text("[data-testid=kl]")).toBe("KL(clean ‖ edited) 0.250 nats");
  });

  it("keep the element of a token that stays, so that its bar grows", async () => {
    const shown = await view(answered());
    const mary = shown.find("tr[data-token=' Mary']");
    const sarah = { token: " Sarah", id: 12, before: 0.01, after: 0.3 };
    const result = { ...shown.model.get("result"), tokens: [{ ...MARY, after: 0.5 }, sarah] } as State["result"];
    await receive(shown, { result });
    expect(shown.find("tr[data-token=' Mary']")).toBe(mary);
    expect(shown.bars().map(([token]) => token)).toEqual([" Mary", " Sarah"]);
  });

  it("insert what a token or label holds as text, never as HTML", async () => {
    const nasty = "<img src=x onerror=alert(1)>";
    const base = answered();
    const nodes = [{ ...base.nodes[0]!, token: nasty, label: nasty }];
    const result = { ...base.result, tokens: [{ ...MARY, token: nasty }] } as State["result"];
    const shown = await view({ ...base, nodes, result, prompt: nasty, error: nasty });
    expect(shown.el.querySelector("img")).toBeNull();
    expect(shown.text("tr[data-token-id] th")).toContain("<img");
  });

  it("write out what cannot be seen", async () => {
    const base = answered();
    const result = { ...base.result, tokens: [{ ...MARY, token: "\u202e\n" }] } as State["result"];
    const shown = await view({ ...base, result });
    expect(shown.text("tr[data-token-id] th")).toBe("[U+202E]↵");
  });

  it("tell how long the model took", async () => {
    const shown = await view(answered());
    shown.model.emit("msg:custom", { kind: "took", seconds: 0.0463 }, []);
    expect(shown.text("[data-testid=milliseconds]")).toBe("46 ms");
    shown.model.emit("msg:custom", { kind: "reply", id: "1" }, []);
    expect(shown.text("[data-testid=milliseconds]")).toBe("46 ms");
  });

  it("leave out the divergence where there is none", async () => {
    const base = answered();
    expect(
      (await view({ ...base, result: { ...base.result, kl: null } as State["result"] })).text("[data-testid=kl]"),
    ).toBe("");
  });

  it("read the first place out once the sliders rest, not at every step", async () => {
    const shown = await view(answered());
    expect(shown.find("[data-testid=live]").getAttribute("aria-live")).toBe("polite");
    vi.advanceTimersByTime(300);
    expect(shown.text("[data-testid=live]")).toBe("");
    vi.advanceTimersByTime(400);
    expect(shown.text("[data-testid=live]")).toBe("Most probable next token: ·John, 70.0 %");
  });
});

describe("waiting", () => {
  it("says at the start that the model runs for the first time", async () => {
    const shown = await view(state());
    expect(shown.root.dataset.phase).toBe("pending");
    expect(shown.text(".sliders-empty")).toContain("first time");
    expect(shown.find(".sliders-chart").hidden).toBe(true);
  });

  it("says after a second that it waits for the kernel, and stops when the answer is there", async () => {
    const shown = await view(answered());
    shown.drag(FIRST, "2");
    await Promise.resolve();
    expect(shown.root.dataset.phase).toBe("pending");
    vi.advanceTimersByTime(900);
    expect(shown.text("[data-testid=status]")).toBe("");
    vi.advanceTimersByTime(200);
    expect(shown.root.dataset.phase).toBe("slow");
    expect(shown.text("[data-testid=status]")).toBe("Waiting for the kernel …");
    expect(shown.range(FIRST).disabled).toBe(false);

    await receive(shown, { running: true });
    expect(shown.text("[data-testid=status]")).toBe("The model is still running …");
    const asked = { values: shown.model.get("values"), mode: "propagated" as const };
    await receive(shown, { answered: asked, running: false });
    expect(shown.root.dataset.phase).toBe("ready");
    expect(shown.text("[data-testid=status]")).toBe("");
  });

  it("does not call a kernel slow that answers to older values all the time", async () => {
    const shown = await view(answered());
    for (const value of ["2", "3", "4"]) {
      const older = { values: shown.model.get("values"), mode: "propagated" as const };
      shown.drag(FIRST, value);
      vi.advanceTimersByTime(800);
      await receive(shown, { answered: older });
    }
    expect(shown.root.dataset.phase).toBe("pending");
  });

  it("is not over before the answer to the last values is there", async () => {
    const shown = await view(answered());
    shown.drag(FIRST, "2", "3");
    await receive(shown, { answered: { values: { ...CLEAN_VALUES, [FIRST]: 2 }, mode: "propagated" } });
    expect(shown.root.dataset.phase).toBe("pending");
    await receive(shown, { answered: { values: { ...CLEAN_VALUES, [FIRST]: 3 }, mode: "propagated" } });
    expect(shown.root.dataset.phase).toBe("ready");
  });
});

describe("an error", () => {
  it("is shown with the bars of the last run that worked, and goes with the next success", async () => {
    const shown = await view(answered());
    const asked = { values: { ...CLEAN_VALUES, [SECOND]: 2 }, mode: "propagated" as const };
    await receive(shown, { ...asked, error: "Feature 3/7 is inactive.", answered: asked });
    expect(shown.root.dataset.phase).toBe("failed");
    expect(shown.notice).toBe("Feature 3/7 is inactive.");
    expect(shown.find(".wb-notice").getAttribute("role")).toBe("alert");
    expect(shown.bars()).toHaveLength(2);
    expect(shown.text("[data-testid=status]")).toBe("of the last run that worked");
    expect(shown.range(FIRST).disabled).toBe(false);
    await receive(shown, { error: "" });
    expect(shown.notice).toBeNull();
  });

  it("that was dismissed comes back when the next run fails in the same way", async () => {
    const shown = await view(answered({ error: "No." }));
    shown.find(".wb-notice-close").click();
    await receive(shown, { running: true });
    expect(shown.notice).toBeNull();
    await receive(shown, { answered: { values: { ...CLEAN_VALUES, [FIRST]: 2 }, mode: "propagated" } });
    expect(shown.notice).toBe("No.");
  });
});

describe("without a kernel", () => {
  it("the sliders stand still, the bars stay, and the widget says what to do", async () => {
    const shown = await view(answered());
    vi.useRealTimers();
    // What the model of a restarted kernel says.
    shown.model.emit("comm_live_update");
    await vi.waitFor(() => expect(shown.root.dataset.phase).toBe("offline"));
    expect(shown.notice).toContain("have no kernel");
    const controls = [...shown.el.querySelectorAll<HTMLInputElement>("li input, li button, [data-mode]")];
    expect(controls.length).toBeGreaterThan(0);
    expect(controls.every((control) => control.disabled)).toBe(true);
    expect(shown.find<HTMLButtonElement>("[data-testid=reset]").disabled).toBe(true);
    expect(shown.bars()).toHaveLength(2);
  });

  it("a view that JupyterLab marked before it was drawn is as still", () => {
    const el = document.createElement("div");
    el.className = "jupyter-widgets-disconnected";
    document.body.append(el);
    widget.render({ model: new Model(answered()), el } as never);
    expect(el.querySelector<HTMLElement>(".sliders")!.dataset.phase).toBe("offline");
    expect(el.querySelector<HTMLInputElement>("input[type=range]")!.disabled).toBe(true);
  });

  it("a stand-alone page says that it is one", () => {
    const page = document.createElement("div");
    page.id = "workbench-widget";
    document.body.append(page);
    widget.render({ model: new Model(answered()), el: page } as never);
    expect(page.querySelector(".wb-notice-text")!.textContent).toContain("saved page");
  });

  it("a page that was saved before the first result says so", async () => {
    const el = document.createElement("div");
    el.className = "jupyter-widgets-disconnected";
    document.body.append(el);
    widget.render({ model: new Model(state()), el } as never);
    expect(el.querySelector(".sliders-empty")!.textContent).toBe("No result was saved.");
    vi.advanceTimersByTime(5000);
    expect(el.querySelector("[data-testid=status]")!.textContent).toBe("");
  });
});

it("a view that is closed leaves nothing behind that listens or ticks", async () => {
  const shown = await view(answered());
  shown.drag(FIRST, "2");
  await Promise.resolve();
  shown.close();
  expect(shown.model.listenerCount).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

it("keys that are pressed in it do not reach the notebook", async () => {
  const shown = await view(answered());
  const heard = vi.fn();
  document.body.addEventListener("keydown", heard);
  shown.range(FIRST).dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true }));
  shown.range(FIRST).dispatchEvent(new FocusEvent("focusin", { bubbles: true }));
  document.body.removeEventListener("keydown", heard);
  expect(heard).not.toHaveBeenCalled();
  expect(shown.range(FIRST).dataset.lmSuppressShortcuts).toBe("true");
});

it("bars take the order of the newest result", async () => {
  const shown = await view(answered());
  const result = { ...shown.model.get("result"), tokens: [JOHN, MARY] } as State["result"];
  await receive(shown, { result });
  expect(shown.bars().map(([token]) => token)).toEqual([" John", " Mary"]);
});

describe("linked sliders", () => {
  it("move together, and take the first one's factor when they are linked", async () => {
    const shown = await view(answered({ values: { [FIRST]: 2, [SECOND]: 1 } }));
    shown.tool(FIRST, "Link").click();
    expect(shown.text(".sliders-left h3")).toContain("Choose the slider to link it with");
    shown.tool(SECOND, "Link").click();
    expect(shown.model.saved.at(-1)).toMatchObject({
      links: [[FIRST, SECOND]],
      values: { [FIRST]: 2, [SECOND]: 2 },
    });
    shown.drag(SECOND, "-1");
    expect(shown.model.get("values")).toEqual({ [FIRST]: -1, [SECOND]: -1 });
    expect(shown.range(FIRST).value).toBe("-1");
    shown.drop(SECOND);
    shown.tool(FIRST, "Unlink").click();
    expect(shown.model.get("links")).toEqual([]);
    shown.drag(SECOND, "3");
    expect(shown.model.get("values")).toEqual({ [FIRST]: -1, [SECOND]: 3 });
  });

  it("are not made when the same slider is chosen again, or with Escape", async () => {
    const shown = await view(answered());
    shown.tool(FIRST, "Link").click();
    shown.tool(FIRST, "Cancel").click();
    shown.tool(SECOND, "Link").click();
    shown.range(FIRST).dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(shown.text(".sliders-left h3")).toContain("2 sliders");
    expect(shown.model.save_changes).not.toHaveBeenCalled();
  });
});

describe("undo", () => {
  const press = (shown: View, shift = false) =>
    shown
      .range(FIRST)
      .dispatchEvent(new KeyboardEvent("keydown", { key: "z", ctrlKey: true, shiftKey: shift, bubbles: true }));

  it("takes a whole drag back, and redo brings it again", async () => {
    const shown = await view(answered());
    const [undo, redo] = ["undo", "redo"].map((id) => shown.find<HTMLButtonElement>(`[data-testid=${id}]`));
    expect(undo!.disabled).toBe(true);
    shown.drag(FIRST, "2", "3", "4");
    shown.drop(FIRST);
    await Promise.resolve();
    shown.find<HTMLInputElement>("[data-mode=direct]").click();
    await Promise.resolve();
    undo!.click();
    expect([shown.model.get("mode"), shown.model.get("values")[FIRST]]).toEqual(["propagated", 4]);
    press(shown);
    expect(shown.model.get("values")).toEqual(CLEAN_VALUES);
    expect(shown.range(FIRST).value).toBe("1");
    expect(undo!.disabled).toBe(true);
    press(shown, true);
    redo!.click();
    expect([shown.model.get("mode"), shown.model.get("values")[FIRST]]).toEqual(["direct", 4]);
    expect(redo!.disabled).toBe(true);
  });

  it("takes back what Python set", async () => {
    const shown = await view(answered());
    await receive(shown, { values: { [FIRST]: 0, [SECOND]: 0 } });
    press(shown);
    expect(shown.model.get("values")).toEqual(CLEAN_VALUES);
  });

  it("leaves a text field its own undo", async () => {
    const shown = await view(answered());
    shown.drag(FIRST, "2");
    shown
      .field(FIRST)
      .dispatchEvent(new KeyboardEvent("keydown", { key: "z", ctrlKey: true, bubbles: true, cancelable: true }));
    expect(shown.model.get("values")[FIRST]).toBe(2);
  });
});

describe("a matched control", () => {
  it("is asked for by one click, and another one by another", async () => {
    const shown = await view(answered());
    shown.find<HTMLInputElement>("[data-testid=control]").click();
    expect(shown.model.get("control_seed")).toBe(0);
    const base = shown.model.get("result") as object;
    const control = { ids: ["f/12/9/5"], after: [0.59, 0.31], kl: 0.001 };
    await receive(shown, { result: { ...base, control_seed: 0, control } as State["result"] });
    const cells = [...shown.find("tr[data-token=' John']").children].map((cell) => cell.textContent);
    expect(cells).toEqual(["·John", "", "30.0 %", "70.0 %", "+40.0", "31.0 %"]);
    expect(shown.text("[data-testid=control-facts]")).toContain("Control f/12/9/5: KL 0.001 nats");
    shown.find("[data-testid=another]").click();
    expect(shown.model.get("control_seed")).toBe(1);
    await receive(shown, { result: { ...base, control: null } as State["result"] });
    expect(shown.find("tr[data-token=' John']").children).toHaveLength(5);
    expect(shown.find("[data-testid=control-facts]").hidden).toBe(true);
  });

  it("that cannot be drawn says why", async () => {
    const base = answered();
    const shown = await view({
      ...base,
      result: { ...base.result, control: { error: "Too few." } } as State["result"],
    });
    expect(shown.text("[data-testid=control-facts]")).toBe("Too few.");
  });

  it("is not offered where there is none", async () => {
    const shown = await view(answered({ can: {} }));
    expect(shown.find(".sliders-compare").hidden).toBe(true);
    expect(shown.find(".sliders-add").hidden).toBe(true);
  });
});

describe("the pane of knock-on features", () => {
  it("is asked for, waits, and lists what changed as text", async () => {
    const shown = await view(answered());
    shown.find("[data-testid=tab-features]").click();
    expect(shown.model.get("pane")).toBe("features");
    await Promise.resolve();
    expect(shown.text("[data-testid=changes-about]")).toBe("Counting what has changed …");
    const row = { id: "f/14/2/5", layer: 14, feature: 2, position: 5, token: " to", label: "<b>x</b>" };
    const asked = { values: CLEAN_VALUES, mode: "propagated" as const };
    const rows = [{ ...row, before: 2, after: 0.5, edited: false }];
    await receive(shown, { knock_on: { rows, n_changed: 300, ...asked } });
    expect(shown.text("[data-testid=changes-about]")).toBe("300 features changed; the 1 most changed:");
    const cells = [...shown.find("tr[data-id='f/14/2/5']").children].map((cell) => cell.textContent);
    expect(cells).toEqual(["14/2", "·to 5", "<b>x</b>", "2.00", "0.500", "−1.50"]);
    shown.drag(FIRST, "2");
    await Promise.resolve();
    expect(shown.find("[data-testid=changes]").hasAttribute("data-stale")).toBe(true);
  });
});

describe("dose and response", () => {
  const curve = {
    slider: FIRST,
    linked: [FIRST],
    factors: [-5, 0, 5],
    low: -5,
    high: 5,
    tokens: [{ token: " Mary", id: 10 }],
    after: [[0.1, 0.2, 0.6]],
    control: [[0.5, 0.5, 0.5]],
    kl: [1, 0.5, 0.1],
    control_kl: [0, 0, 0],
    total: 3,
    values: CLEAN_VALUES,
    mode: "propagated" as const,
    control_seed: null,
  };

  it("is swept from a slider's button, shows how far it is, and can be cancelled", async () => {
    const shown = await view(answered());
    shown.tool(SECOND, "Sweep").click();
    expect(shown.model.get("pane")).toBe("curve");
    expect(shown.model.asked.map(({ method, params }) => [method, params])).toEqual([["sweep", { slider: SECOND }]]);
    const growing = { ...curve, factors: [-5], after: [[0.1]], control: [[0.5]], kl: [1], state: "running" as const };
    await receive(shown, { curve: growing });
    expect(shown.text("[data-testid=sweep-status]")).toBe("1 of 3");
    expect(shown.find<HTMLProgressElement>("[data-testid=progress]").value).toBe(1);
    shown.find("[data-testid=cancel]").click();
    expect(shown.model.asked.at(-1)!.method).toBe("cancel");
    await receive(shown, { curve: { ...growing, state: "cancelled" } });
    expect(shown.text("[data-testid=sweep-status]")).toBe("stopped after 1 of 3");
    expect(shown.find("[data-testid=cancel]").hidden).toBe(true);
  });

  it("is drawn with labelled axes, the control dashed, and the same as a table", async () => {
    const shown = await view(answered({ pane: "curve", curve: { ...curve, state: "done" } }));
    expect(shown.el.querySelectorAll("path.curve-line, path.curve-control")).toHaveLength(2);
    expect(shown.find("path.curve-line").getAttribute("d")).toBe("M0.0 833.3L500.0 666.7L1000.0 0.0");
    expect(shown.text(".curve-axis")).toBe("factor of 12/311 at 5");
    expect(shown.text(".curve-x")).toBe("−50 ablate1 clean5");
    expect(shown.text(".curve-y")).toBe("0 %15 %30 %45 %60 %");
    expect(shown.find(".curve-plot svg").getAttribute("aria-label")).toContain("·Mary from 10.0 % to 60.0 %");
    const rows = [...shown.el.querySelectorAll(".sliders-curve tbody tr")].map((row) =>
      [...row.children].map((cell) => cell.textContent),
    );
    expect(rows[0]).toEqual(["−5", "10.0 %", "1.00", "50.0 %"]);
    shown.drag(FIRST, "2");
    await Promise.resolve();
    expect(shown.text("[data-testid=sweep-status]")).toBe("");
    shown.drag(SECOND, "2");
    await Promise.resolve();
    expect(shown.text("[data-testid=sweep-status]")).toBe("of earlier values of the other sliders");
  });

  it("says what went wrong, and the sliders stay usable", async () => {
    const shown = await view(answered());
    shown.tool(FIRST, "Sweep").click();
    shown.model.answer({ error: "Another sweep is running." });
    await vi.waitFor(() => expect(shown.notice).toBe("Another sweep is running."));
    shown.drag(FIRST, "2");
    expect(shown.model.get("values")[FIRST]).toBe(2);
  });
});

describe("sliders that come and go", () => {
  it("are asked for by what is written, taken away by their button, and built when Python has them", async () => {
    const shown = await view(answered());
    const field = shown.find<HTMLInputElement>("[data-testid=add]");
    shown.input(field, "went");
    vi.advanceTimersByTime(200);
    expect(shown.model.asked[0]).toMatchObject({ method: "find", params: { text: "went" } });
    shown.model.answer({ result: [{ id: "s/Store", name: "2 nodes" }] });
    await vi.waitFor(() => expect(shown.find<HTMLOptionElement>(".sliders-add option").value).toBe("s/Store"));
    field.value = "s/Store of all, f/1/2/3";
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(shown.model.asked[0]).toMatchObject({
      method: "add",
      params: { sliders: ["s/Store of all", "f/1/2/3"], supernodes: [] },
    });
    expect(field.value).toBe("");
    const store = { id: "s/Store", members: [FIRST, SECOND], label: "Store", token: "", activation: null };
    const nodes = [...answered().nodes, { ...store, layer: null, feature: null, position: null }];
    await receive(shown, { nodes, values: { ...CLEAN_VALUES, "s/Store": 1 } });
    expect(shown.text('[data-node="s/Store"] .sliders-name')).toBe("2 featuresStore");
    expect(shown.range("s/Store").getAttribute("aria-label")).toBe("Factor of supernode Store of 2 features");
    shown.tool("s/Store", "Remove").click();
    expect(shown.model.asked.at(-1)).toMatchObject({ method: "remove", params: { slider: "s/Store" } });
    await receive(shown, { nodes: nodes.slice(0, 1), values: { [FIRST]: 1 } });
    expect(shown.tool(FIRST, "Remove").hidden).toBe(true);
  });

  /** Drag something over the sliders, or drop it there; return whether they took the event. */
  const drag = (shown: Awaited<ReturnType<typeof view>>, type: "dragover" | "drop", data: Record<string, string>) => {
    const event = new Event(type, { bubbles: true, cancelable: true });
    const dataTransfer = { types: Object.keys(data), dropEffect: "none", getData: (of: string) => data[of] ?? "" };
    Object.assign(event, { dataTransfer });
    shown.find(".sliders-left").dispatchEvent(event);
    return { taken: event.defaultPrevented, effect: dataTransfer.dropEffect };
  };

  it("are taken from node ids that are dropped", async () => {
    const shown = await view(answered());
    drag(shown, "drop", { "text/plain": "f/1/2/3 <b>x</b> e/1/2 f/1/2/3, f/4/5/6" });
    expect(shown.model.asked[0]!.params).toEqual({ sliders: ["f/1/2/3", "f/4/5/6"], supernodes: [] });
  });

  it("show that they would take what is dragged over them, and take it as a copy", async () => {
    const shown = await view(answered());
    const mark = () => shown.find(".sliders-left").hasAttribute("data-drop");
    expect(drag(shown, "dragover", { Files: "" })).toEqual({ taken: false, effect: "none" });
    expect(mark()).toBe(false);
    expect(drag(shown, "dragover", { "text/plain": "" })).toEqual({ taken: true, effect: "copy" });
    expect(mark()).toBe(true);
    shown.find(".sliders-left").dispatchEvent(new Event("dragleave"));
    expect(mark()).toBe(false);
  });

  it("are taken from a supernode that is dropped, whatever stands beside it as text", async () => {
    const shown = await view(answered());
    const supernode = { name: "<i>went</i>", node_ids: ["f/1/2/3", "e/1/2"] };
    const type = "application/x-workbench-supernode";
    drag(shown, "drop", { [type]: JSON.stringify({ ...supernode, more: 1 }), "text/plain": "f/4/5/6" });
    expect(shown.model.asked.at(-1)!.params).toEqual({ sliders: [], supernodes: [supernode] });
    for (const wrong of ["{", "null", "3", '{"name": 3, "node_ids": []}', '{"name": "x", "node_ids": "f/1/2/3"}']) {
      drag(shown, "drop", { [type]: wrong, "text/plain": "f/4/5/6" });
      expect(shown.model.asked.at(-1)!.params).toEqual({ sliders: ["f/4/5/6"], supernodes: [] });
    }
  });

  it("leave it to Python to say why a node that is no feature gets none", async () => {
    const shown = await view(answered());
    drag(shown, "drop", { "text/plain": "" });
    expect(shown.model.asked).toEqual([]);
    drag(shown, "drop", { "text/plain": "t/1" });
    expect(shown.model.asked[0]!.params).toEqual({ sliders: ["t/1"], supernodes: [] });
    shown.model.answer({ error: "Only features have an activation that can be scaled." });
    await vi.waitFor(() => expect(shown.text(".wb-notice")).toContain("Only features"));
  });
});

it("the call that gives the result is copied as it is", async () => {
  const written = vi.fn(async () => {});
  vi.stubGlobal("navigator", { clipboard: { writeText: written } });
  const base = answered();
  const shown = await view({ ...base, result: { ...base.result, code: "bench.intervene(…)" } as State["result"] });
  const button = shown.find<HTMLButtonElement>("[data-testid=copy]");
  button.click();
  await vi.waitFor(() => expect(button.textContent).toBe("Copied"));
  expect(written).toHaveBeenCalledWith("bench.intervene(…)");
  vi.advanceTimersByTime(2000);
  expect(button.textContent).toBe("Copy as Python");
  vi.unstubAllGlobals();
});
