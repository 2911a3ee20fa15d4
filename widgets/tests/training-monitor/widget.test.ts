import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../../src/training-monitor";
import { Course, type State } from "../../src/training-monitor/state";
import { ABOUT, bytes, history, Model, news, REPORT, row, state, steps } from "./model";

/** One view of a model. */
class View {
  readonly el = document.createElement("div");
  readonly close: () => void;

  constructor(
    readonly model: Model,
    place: HTMLElement = document.body,
  ) {
    place.append(this.el);
    this.close = widget.render({ model, el: this.el } as never);
  }

  find<E extends HTMLElement = HTMLElement>(selector: string): E {
    const found = this.el.querySelector<E>(selector);
    if (!found) throw new Error(`There is no ${selector}.`);
    return found;
  }

  text(testid: string): string {
    return this.find(`[data-testid=${testid}]`).textContent!;
  }

  button(testid: "pause" | "stop"): HTMLButtonElement {
    return this.find(`[data-testid=${testid}]`);
  }

  get notice(): string | null {
    const notice = this.find(".wb-notice");
    return notice.hidden ? null : notice.querySelector(".wb-notice-text")!.textContent;
  }
}

const show = (changes: Partial<State> = {}) => new View(new Model(state(changes)));

/** Let what was scheduled for the next frame be drawn, and what is answered be taken. */
const settle = () => vi.advanceTimersByTimeAsync(50);

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

describe("what a run does", () => {
  it("is told in numbers, charts and words", () => {
    const view = show();
    expect(view.find("h3").textContent).toBe("A CLT of smollm2-135m-instruct");
    expect(view.find(".monitor-facts").textContent).toBe(
      "256 features a layer, window 2 · 20,000 tokens × 4 epochs · runs/first",
    );
    expect(view.text("phase")).toBe("training");
    expect(view.text("progress")).toBe("step 20 of 100");
    expect(view.find<HTMLProgressElement>("progress").value).toBeCloseTo(0.2);
    expect(view.text("fvu")).toContain("0.050");
    expect(view.text("l0")).toContain("16.5");
    expect(view.text("dead")).toContain("3.1 %");
    expect(view.text("speed")).toContain("256");
    expect(view.text("left")).toContain("2 min 40 s");
    expect(view.text("rate")).toBe("learning rate0.002falling");
    expect(view.find(".monitor-plot svg").getAttribute("aria-label")).toBe("FVU over 20 steps: from 1.00 to 0.050");
  });

  it("is told of each layer, with where it began and what it is on held-out text", () => {
    const view = show({ phase: "finished", report: REPORT, history: history([row(1), row(100, 0.4)]) });
    const columns = [...view.el.querySelectorAll<HTMLElement>("[data-layer]")];
    expect(columns.map((column) => column.title)).toEqual([
      "layer 0: 0.200, at first 0.500, 0.300 on held-out text",
      "layer 1: 0.400, at first 1.00, 0.600 on held-out text",
      "layer 2: 0.800, at first 2.00, 0.660 on held-out text",
    ]);
    expect(columns.map((column) => column.querySelector<HTMLElement>(".monitor-bar")!.style.height)).toEqual(
      ["20%", "40%", "80%"].map((height) =>
        expect.stringMatching(new RegExp(`^${Number.parseInt(height, 10)}(\\.\\d+)?%$`)),
      ),
    );
    expect(view.text("result")).toContain("FVU 0.520, L0 16.0 a layer, 1.0 % of the features dead");
    expect(view.find(".monitor-buttons").hidden).toBe(true);
    expect(view.find(".monitor-layers").getAttribute("aria-label")).toBe(
      "FVU by layer: lowest in layer 0 with 0.200, highest in layer 2 with 0.800",
    );
  });

  it("stands in tables, too, once they are opened", () => {
    const view = show();
    expect(view.el.querySelectorAll("tbody tr")).toHaveLength(0);
    const details = view.find<HTMLDetailsElement>("details");
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    const rows = [...view.el.querySelectorAll("tbody tr")].map((line) =>
      [...line.children].map((cell) => cell.textContent),
    );
    expect(rows[0]).toEqual(["1", "1.00", "16.5", "3.1 %", "0.002", "256"]);
    expect(rows.at(-1)).toEqual(["2", "2.00", "0.100", "–"]);
  });

  it("is shown before the first step", () => {
    const view = show({ phase: "harvesting", harvest: [5000, 20000], history: history([]) });
    expect(view.text("phase")).toBe("harvesting activations");
    expect(view.text("progress")).toBe("5,000 of 20,000 tokens");
    expect(view.text("fvu")).toContain("–");
  });

  it("is read out when the phase changes and not at every step", async () => {
    const view = show();
    const first = view.text("live");
    expect(first).toBe("training, step 20 of 100, FVU 0.050");
    view.model.emit("msg:custom", news(19), [bytes(steps(20, 25))]);
    await settle();
    expect(view.text("progress")).toBe("step 25 of 100");
    expect(view.text("live")).toBe(first);
    view.model.receive({ phase: "paused" });
    await settle();
    expect(view.text("live")).toBe("paused, step 25 of 100, FVU 0.040");
  });
});

describe("new rows", () => {
  it("are drawn by every view and kept in the model, once", async () => {
    const model = new Model(state());
    const views = [new View(model), new View(model)];
    model.emit("msg:custom", news(19), [bytes(steps(20, 30))]);
    await settle();
    for (const view of views) expect(view.text("progress")).toBe("step 30 of 100");
    expect(new Course(model.get("history")).length).toBe(30);
  });

  it("are asked for where some are missing", async () => {
    const view = show();
    view.model.asked.length = 0;
    view.model.emit("msg:custom", news(40), [bytes(steps(41, 42))]);
    expect(view.model.asked.map(({ method }) => method)).toEqual(["history"]);
    view.model.answerTo("history", { result: { generation: 0, layers: 3 } }, [bytes(steps(1, 42))]);
    await settle();
    expect(view.text("progress")).toBe("step 42 of 100");
  });

  it("are asked for by a view that opens late", async () => {
    const view = show();
    view.model.answerTo("history", { result: { generation: 2, layers: 3 } }, [bytes(steps(1, 77))]);
    await settle();
    expect(view.text("progress")).toBe("step 77 of 100");
  });
});

describe("the buttons", () => {
  it("pause and resume", async () => {
    const view = show();
    view.button("pause").click();
    expect(view.button("pause").textContent).toBe("Pausing …");
    expect(view.button("pause").disabled).toBe(true);
    view.model.answerTo("pause", { result: null });
    view.model.receive({ phase: "paused" });
    await settle();
    expect(view.button("pause").textContent).toBe("Resume");
    view.button("pause").click();
    expect(view.model.asked.at(-1)!.method).toBe("resume");
  });

  it("stop and save, once", async () => {
    const view = show();
    view.button("stop").click();
    expect(view.model.asked.at(-1)!.method).toBe("stop");
    expect(view.button("stop").disabled).toBe(true);
    view.model.receive({ phase: "stopping" });
    await settle();
    expect(view.button("stop").disabled).toBe(true);
    view.model.receive({ phase: "stopped" });
    await settle();
    expect(view.find(".monitor-buttons").hidden).toBe(true);
    expect(view.text("phase")).toBe("stopped and saved");
  });

  it("say what went wrong", async () => {
    const view = show();
    view.button("stop").click();
    view.model.answerTo("stop", { error: "This training run is over." });
    await settle();
    expect(view.notice).toBe("This training run is over.");
    expect(view.button("stop").disabled).toBe(false);
  });

  it("say that there is no kernel, and the stored course stays", () => {
    const dead = document.createElement("div");
    dead.className = "jupyter-widgets-disconnected";
    document.body.append(dead);
    const view = new View(new Model(state()), dead);
    expect(view.button("pause").disabled).toBe(true);
    expect(view.button("stop").title).toBe("There is no kernel");
    expect(view.notice).toContain("no kernel");
    expect(view.text("progress")).toBe("step 20 of 100");
    expect(view.model.asked).toEqual([]);
  });

  it("are not there for a run of another process", () => {
    const view = show({ phase: "elsewhere" });
    expect(view.find(".monitor-buttons").hidden).toBe(true);
    expect(view.text("phase")).toBe("done by another process");
  });
});

it("shows why a run failed, as text", () => {
  const view = show({ phase: "failed", error: "Training <b>diverged</b>: lower lr." });
  expect(view.notice).toBe("Training <b>diverged</b>: lower lr.");
  expect(view.el.querySelector("b b")).toBeNull();
});

it("leaves nothing behind when it is closed", () => {
  const view = show({ about: { ...ABOUT, window: 1 } });
  expect(view.find(".monitor-facts").textContent).toContain("per layer");
  view.close();
  expect(view.model.listenerCount).toBe(0);
});
