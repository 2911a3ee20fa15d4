import { describe, expect, it, vi } from "vitest";
import { cardPane } from "../../../src/graph-explorer/panes/card";
import { setUp, show } from "./shared";

setUp();

/** Something that shows widgets, as a notebook does. */
function notebook() {
  const render = vi.fn(({ el }: { el: HTMLElement; signal: AbortSignal }) => {
    el.textContent = "the card";
  });
  const host = { getWidget: vi.fn(async () => ({ render })) };
  return { host, render, make: ((state, go) => cardPane(state, go, host as never)) as typeof cardPane };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("the card", () => {
  it("is asked for by the feature that was selected last, and stands there once", async () => {
    const { host, render, make } = notebook();
    const { model, state, find } = show(make);
    expect(find("card-hint").textContent).toBe("Select a feature to see its card.");
    state.select("f/1/3/2");
    expect(model.sent.at(-1)).toMatchObject({ method: "card", params: { layer: 1, feature: 3 } });
    await model.reply({ result: "anywidget:a" });
    await settled();
    expect(host.getWidget).toHaveBeenCalledWith("anywidget:a");
    expect(find("card").textContent).toBe("the card");
    expect(find("card").hidden).toBe(false);
    // Python shows the next feature in the same widget.
    state.select("f/0/7/1");
    await model.reply({ result: "anywidget:a" });
    await settled();
    expect(render).toHaveBeenCalledOnce();
    state.select("t/1");
    expect(find("card").hidden).toBe(true);
  });

  it("says what Python says where there is no atlas", async () => {
    const { make } = notebook();
    const { model, state, find } = show(make);
    state.select("f/1/3/2");
    await model.reply({ error: "There is no atlas: build <b>it</b> with `workbench atlas`." });
    await settled();
    expect(find("card-hint").textContent).toBe("There is no atlas: build <b>it</b> with `workbench atlas`.");
    expect(find("card").hidden).toBe(true);
  });

  it("can be computed where there is no atlas, which is shown and can be stopped", async () => {
    vi.useFakeTimers();
    try {
      const { make } = notebook();
      const { model, state, find } = show(make);
      const answer = async (result: unknown) => {
        const replied = model.reply({ result });
        await vi.advanceTimersByTimeAsync(0);
        await replied;
      };
      state.select("f/1/3/2");
      await answer({ stage: "none" });
      expect(find("card-hint").textContent).toContain("this CLT has none");
      expect(find("card-progress").hidden).toBe(true);
      expect(model.sent).toHaveLength(1);
      find("card-compute").click();
      expect(model.sent.at(-1)).toMatchObject({ params: { layer: 1, feature: 3, atlas: "begin" } });
      await answer({ stage: "text", done: 0.426, seconds_left: 31.2 });
      expect(find("card-percent").textContent).toBe(" 42 %, about 35 s left ");
      expect(find<HTMLProgressElement>("card-progress").hidden).toBe(false);
      // Asked again, but for no longer than somebody looks.
      await vi.advanceTimersByTimeAsync(1000);
      expect(model.sent).toHaveLength(3);
      await answer({ stage: "features", done: 0.5, seconds_left: null });
      expect(find("card-hint").textContent).toBe("Labelling the features …");
      find("card-compute").click();
      expect(model.sent.at(-1)).toMatchObject({ params: { atlas: "stop" } });
      await answer({ stage: "stopped", done: 0.5 });
      expect(find("card-compute").textContent).toBe("Go on");
      await vi.advanceTimersByTimeAsync(5000);
      expect(model.sent).toHaveLength(4);
      find("card-compute").click();
      await answer("anywidget:a");
      expect(find("card").textContent).toBe("the card");
      expect(find("card-compute").parentElement!.hidden).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("says so where nobody answers, and where no notebook shows it", async () => {
    const gone = show(notebook().make, { alive: false });
    gone.state.select("f/1/3/2");
    await settled();
    expect(gone.find("card-hint").textContent).toBe("No kernel to ask for the card: run the cell again.");
    const page = show(cardPane);
    page.state.select("f/1/3/2");
    await page.model.reply({ result: "anywidget:a" });
    await settled();
    expect(page.find("card-hint").textContent).toContain("bench.feature_card(layer, feature)");
  });

  it("leaves with its view", async () => {
    const { render, make } = notebook();
    const { model, state, pane } = show(make);
    state.select("f/1/3/2");
    await model.reply({ result: "anywidget:a" });
    await settled();
    const { signal } = render.mock.calls[0]![0];
    expect(signal.aborted).toBe(false);
    pane.dispose();
    expect(signal.aborted).toBe(true);
  });
});
