import { describe, expect, it, vi } from "vitest";
import { pathsPane } from "../../../src/graph-explorer/panes/paths";
import { setUp, show } from "./shared";

setUp();

const FACTS = {
  kind: 0,
  layer: 1,
  position: 2,
  feature: 99,
  token: " b",
  activation: 1,
  influence: 0.1,
  probability: null,
};
const ANSWER = {
  paths: [
    { ids: ["t/1", "f/0/7/1", "f/1/3/2", "l/5/2"], share: 0.24, edges: [0.8, 0.6, 0.5] },
    { ids: ["t/1", "f/1/99/2", "l/5/2"], share: -0.06, edges: [0.2, -0.3] },
  ],
  nodes: [{ ...FACTS, id: "f/1/99/2", label: "not drawn" }],
};
const chips = (element: Element) =>
  [...element.querySelectorAll<HTMLElement>(".wbx-chain")].map((chain) =>
    [...chain.querySelectorAll<HTMLElement>(".wbx-node-chip")].map(({ dataset }) => dataset.id),
  );

async function answered(options: Parameters<typeof show>[1] = {}) {
  const shown = show(pathsPane, options);
  await shown.model.reply({ result: ANSWER });
  return shown;
}

describe("the question", () => {
  it("goes to Python when the pane comes into sight: from the tokens to the most probable output", () => {
    const { model, find } = show(pathsPane);
    const [request] = model.sent;
    expect(request).toMatchObject({ method: "paths", params: { source: [], target: [], k: 5, sign: null } });
    expect(find("paths-source").textContent).toContain("the tokens");
    expect(find("paths-target").textContent).toContain("the most probable output");
  });

  it("takes its ends from the selection, and gives them back", () => {
    const { model, state, find } = show(pathsPane);
    expect(find<HTMLButtonElement>("paths-source-selected").disabled).toBe(true);
    state.select("t/1");
    find("paths-source-selected").click();
    expect(model.get("path_query")).toEqual({ source: ["t/1"], target: [], k: 5, sign: null });
    expect(model.sent.at(-1)!.params).toMatchObject({ source: ["t/1"] });
    find("paths-source-clear").click();
    expect(model.get("path_query")).toMatchObject({ source: [] });
  });

  it("joins two selected nodes from the lower one to the higher one", () => {
    const { model, state, find } = show(pathsPane);
    expect(find("paths-between")).toBeNull();
    state.set("selected_ids", ["f/1/3/2", "t/1"]);
    find("paths-between").click();
    expect(model.get("path_query")).toMatchObject({ source: ["t/1"], target: ["f/1/3/2"] });
  });

  it("is asked for more paths, or for those of one sign", () => {
    const { model, find } = show(pathsPane);
    const change = (testid: string, value: string) => {
      const select = find<HTMLSelectElement>(testid);
      select.value = value;
      select.dispatchEvent(new Event("change"));
    };
    change("paths-k", "20");
    change("paths-sign", "-");
    expect(model.sent.at(-1)!.params).toEqual({ source: [], target: [], k: 20, sign: "-" });
  });

  it("can be set by Python, and is not asked twice", () => {
    const { model, pane, find } = show(pathsPane);
    model.set("path_query", { source: ["t/0"], target: ["f/1/3/2"], k: 7, sign: "+" });
    expect(model.sent).toHaveLength(2);
    expect(find<HTMLSelectElement>("paths-k").value).toBe("7");
    expect(find<HTMLSelectElement>("paths-sign").value).toBe("+");
    pane.show();
    expect(model.sent).toHaveLength(2);
  });
});

describe("the answer", () => {
  it("is drawn as chains with the share of each path and of each edge", async () => {
    const { find } = await answered();
    const list = find("paths-found");
    expect(chips(list)).toEqual(ANSWER.paths.map(({ ids }) => ids));
    const [first, second] = [...list.querySelectorAll(".wbx-chain")];
    expect(first!.textContent).toContain("+24 %");
    expect(first!.textContent).toContain("+80 %");
    expect(second!.textContent).toContain("−6.0 %");
    expect(second!.textContent).toContain("not drawn");
    expect(second!.querySelector(".wbx-path-negative")!.textContent).toContain("−30 %");
    expect(find("paths-sum").textContent).toContain("these 2 sum to 18 %");
  });

  it("has chips that select, add with Ctrl, and point", async () => {
    const { model, state, go, find } = await answered();
    const chip = (id: string) => find("paths-found").querySelector<HTMLElement>(`[data-id="${id}"]`)!;
    chip("f/1/3/2").click();
    expect(go).toHaveBeenCalledWith("f/1/3/2");
    chip("t/1").dispatchEvent(new MouseEvent("click", { ctrlKey: true }));
    expect(model.get("selected_ids")).toEqual(["f/1/3/2", "t/1"]);
    expect(chip("t/1").getAttribute("aria-pressed")).toBe("true");
    chip("f/0/7/1").dispatchEvent(new PointerEvent("pointerenter"));
    expect(state.hovered).toBe("f/0/7/1");
    state.hover("l/5/2");
    expect(chip("l/5/2").classList.contains("wbx-pointed")).toBe(true);
  });

  it("is shown in the graph by selecting all of its nodes", async () => {
    const { model, find } = await answered();
    find("paths-show").click();
    expect(model.get("selected_ids")).toEqual(ANSWER.paths[0]!.ids);
    expect(model.get("view")).toBe("graph");
  });

  it("may be that there is no path", async () => {
    const { model, find } = show(pathsPane);
    await model.reply({ result: { paths: [], nodes: [] } });
    expect(find("paths-note").textContent).toBe("No path of the graph leads from there to there.");
  });

  it("is forgotten when a newer question was asked meanwhile", async () => {
    const { model, find } = show(pathsPane);
    const [old] = model.sent;
    model.set("path_query", { source: ["t/1"], target: [], k: 5, sign: null });
    model.emit("msg:custom", { kind: "reply", id: old!.id, result: ANSWER }, []);
    await Promise.resolve();
    expect(chips(find("paths-found"))).toEqual([]);
    await model.reply({ result: { ...ANSWER, paths: ANSWER.paths.slice(1) } });
    expect(chips(find("paths-found"))).toEqual([ANSWER.paths[1]!.ids]);
  });
});

describe("without an answer", () => {
  it("says that there is no kernel, and asks again when it is shown again", async () => {
    const { pane, model, find } = show(pathsPane, { alive: false });
    await Promise.resolve();
    await Promise.resolve();
    expect(find("paths-note").textContent).toContain("No kernel to ask");
    expect(model.sent).toHaveLength(0);
    pane.show();
    expect(find("paths-note").textContent).toBe("");
  });

  it("says what was wrong, in Python's words", async () => {
    const { model, pane } = show(pathsPane);
    await model.reply({ error: "The node 't/1' is no feature or logit." });
    expect(pane.element.querySelector('[role="alert"]')!.textContent).toContain("is no feature or logit");
  });

  it("says after a while that it waits", () => {
    vi.useFakeTimers();
    const { find } = show(pathsPane);
    expect(find("paths-note").textContent).toBe("");
    vi.advanceTimersByTime(2000);
    expect(find("paths-note").textContent).toContain("Asking Python");
  });
});
