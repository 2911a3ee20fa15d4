import { describe, expect, it, vi } from "vitest";
import { type History, makeHistory } from "../../src/kit/history";

/** Two values that tell the history of every change, as the state does. */
function store() {
  const values = new Map<string, unknown>([
    ["selected", ["a"]],
    ["threshold", 0.8],
  ]);
  const set = (trait: string, value: unknown) => {
    values.set(trait, value);
    history.note(trait);
  };
  const changed = vi.fn();
  const history: History = makeHistory(
    {
      get: (trait) => values.get(trait),
      put: (step) => {
        for (const [trait, value] of step) set(trait, value);
      },
    },
    ["selected", "threshold"],
    changed,
  );
  return { values, set, history, changed };
}

const task = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("the history", () => {
  it("takes steps back and does them again", async () => {
    const { values, set, history } = store();
    set("selected", ["b"]);
    await task();
    set("threshold", 0.5);
    await task();
    history.undo();
    expect([values.get("selected"), values.get("threshold")]).toEqual([["b"], 0.8]);
    history.undo();
    expect(values.get("selected")).toEqual(["a"]);
    expect([history.canUndo, history.canRedo]).toEqual([false, true]);
    history.undo();
    history.redo();
    history.redo();
    history.redo();
    expect([values.get("selected"), values.get("threshold")]).toEqual([["b"], 0.5]);
    expect([history.canUndo, history.canRedo]).toEqual([true, false]);
  });

  it("takes what changed in one go for one step", async () => {
    const { values, set, history } = store();
    set("selected", ["b"]);
    set("threshold", 0.1);
    await task();
    history.undo();
    expect([values.get("selected"), values.get("threshold")]).toEqual([["a"], 0.8]);
    expect(history.canUndo).toBe(false);
  });

  it("takes a slider's way for one step, and what comes after it for another", async () => {
    const { values, set, history } = store();
    for (const value of [0.7, 0.6, 0.5]) {
      history.hold();
      set("threshold", value);
      await task();
    }
    history.release();
    set("selected", []);
    await task();
    history.undo();
    expect([values.get("selected"), values.get("threshold")]).toEqual([["a"], 0.5]);
    history.undo();
    expect(values.get("threshold")).toBe(0.8);
    expect(history.canUndo).toBe(false);
  });

  it("forgets what was taken back when something else is done", async () => {
    const { set, history } = store();
    set("selected", ["b"]);
    await task();
    history.undo();
    set("threshold", 0.3);
    expect(history.canRedo).toBe(false);
  });

  it("keeps out of what it was not told to follow, and says when there is more or less to take back", async () => {
    const { set, history, changed } = store();
    set("hovered", "x");
    expect([history.canUndo, changed.mock.calls.length]).toEqual([false, 0]);
    set("threshold", 0.3);
    await task();
    history.undo();
    expect(changed).toHaveBeenCalledTimes(2);
  });
});
