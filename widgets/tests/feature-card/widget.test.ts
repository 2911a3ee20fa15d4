import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../../src/feature-card";
import type { State } from "../../src/feature-card/state";
import { disconnected, Model, View } from "../model";
import { CARD, SILENT, state } from "./card";

const show = (changes: Partial<State> = {}, props: object = {}, place = document.body) =>
  new View<State>(widget, new Model(state(changes)), props, place);

const settle = (time = 50) => vi.advanceTimersByTimeAsync(time);

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

function type(view: View<State>, text: string): void {
  const field = view.find<HTMLTextAreaElement>("textarea");
  field.value = text;
  field.dispatchEvent(new Event("input"));
}

describe("what is known of a feature", () => {
  it("is told in its header", () => {
    const view = show();
    expect(view.id("name").textContent).toBe("12/311");
    expect(view.id<HTMLInputElement>("label").value).toBe("Texas and its cities");
    expect(view.all(".card-badge").map((badge) => badge.textContent)).toEqual(["input-like", "token"]);
    expect(view.id("score").textContent).toBe("label by a rule, score87 % · good");
    expect(view.id("facts").textContent).toBe(
      "fires on 0.4 % of the tokens · 4,213 of 1,000,000 tokens · maximum 8.00smollm2-135m-instruct · default",
    );
  });

  it("is drawn as histograms, which are tables, too", () => {
    const view = show();
    const [activations, positions] = view.all(".card-bars");
    expect(activations!.getAttribute("aria-label")).toBe(
      "Activations: 4,213 tokens from 0 to 8.00, most of them in 0 – 2.00",
    );
    expect(positions!.getAttribute("aria-label")).toContain("most of them in 4 – 7");
    const details = view.find<HTMLDetailsElement>(".card-table");
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    const rows = [...details.querySelectorAll("tbody tr")].map((row) => row.textContent);
    expect(rows).toEqual(["0 – 2.004,000 tokens", "2.00 – 4.00200 tokens", "4.00 – 8.0013 tokens"]);
  });

  it("compares positions by the share of the tokens there, where it is known", () => {
    const positions = { edges: [1, 2, 4, 8], counts: [13, 2000, 2200], n_tokens: [26, 8000, 22000] };
    const view = show({ card: { ...CARD, positions } });
    const bars = view.all(".card-bars")[1]!;
    expect(bars.getAttribute("aria-label")).toContain("most often in 1");
    const heights = [...bars.querySelectorAll("i")].map((bar) => Number.parseFloat(bar.style.height));
    expect(heights).toEqual([100, 50, 20]);
  });

  it("is listed: tokens, logits and neighbours, all as text", () => {
    const view = show();
    const sections = view.all(".card-left section").map((section) => section.textContent);
    expect(sections).toEqual([
      "Fires ontimes, mean activation·Texas4003.50",
      "Logitsdirect effectraised·Austin+1.50שלום+0.500lowered↵−0.750",
      "Upstream featuresTWERA3/7<b>capitals</b>+0.500",
      "Downstream featuresTWERA14/9no label−0.250",
    ]);
    expect(view.el.querySelector("bdi b")).toBeNull();
  });

  it("is shown in examples by group, the strongest first", () => {
    const view = show();
    const groups = view.all<HTMLDetailsElement>(".card-group");
    expect(groups.map((group) => [group.querySelector("summary")!.textContent, group.open])).toEqual([
      ["Strongest7 examples", true],
      ["Quantile 0.75–11 example", false],
    ]);
    expect(groups[0]!.querySelectorAll("li")).toHaveLength(5);
    view.find(".card-more").click();
    expect(groups[0]!.querySelectorAll("li")).toHaveLength(7);
    expect(view.all(".card-more")).toHaveLength(0);
    groups[1]!.open = true;
    groups[1]!.dispatchEvent(new Event("toggle"));
    expect(groups[1]!.textContent).toContain("<script>alert(1)</script>");
    expect(view.el.querySelector("script")).toBeNull();
    const peak = view.find("[data-peak]");
    expect(peak.getAttribute("aria-label")).toBe("Texas 8.00");
    peak.focus();
    expect(view.id("tip").textContent).toBe("Texas8.00");
  });

  it("is little of a silent feature, and the card says so", () => {
    const view = show({ card: SILENT, label: "" });
    expect(view.id("silent").textContent).toContain("This feature is silent: it never fired on the 1,000,000 tokens");
    expect(view.id("facts").textContent).toContain("never fired on 1,000,000 tokens");
    expect(view.all(".card-bars, .card-group")).toHaveLength(0);
    expect(view.id("score").textContent).toBe("");
    expect(view.all(".card-left section")).toHaveLength(3);
  });

  it("is whatever a compact atlas holds", () => {
    const { layer, feature, label, examples } = CARD;
    const { histogram, positions } = SILENT;
    const empty = { top_logits: [], bottom_logits: [], top_tokens: [], upstream: [], downstream: [] };
    const view = show({ card: { layer, feature, label, examples, histogram, positions, ...empty } });
    expect(view.find(".card-left").hidden).toBe(true);
    expect(view.all(".card-group")).toHaveLength(2);
    expect(view.id("facts").textContent).toBe("");
  });

  it("is another feature's when Python shows another", () => {
    const view = show();
    view.model.set("card", { ...CARD, layer: 14, feature: 9, label: "other" });
    view.model.set("label", "other");
    expect(view.id("name").textContent).toBe("14/9");
    expect(view.id<HTMLInputElement>("label").value).toBe("other");
  });
});

describe("the label", () => {
  it("is changed in its field and is a human's then", () => {
    const view = show();
    const field = view.id<HTMLInputElement>("label");
    field.value = "  the state of Texas ";
    field.dispatchEvent(new Event("change"));
    expect(view.model.get("label")).toBe("the state of Texas");
    expect(view.model.saves).toBe(1);
    expect(view.id("score").textContent).toBe("label by a human, not scored");
  });

  it("names the tokens of a compact atlas, which does not count them", () => {
    const view = show({ card: { ...CARD, top_tokens: [{ token: " Texas", count: null, mean_activation: null }] } });
    expect(view.el.textContent).toContain("Fires on·Texas");
  });

  it("that could not be scored says why", () => {
    const view = show({ card: { ...CARD, label_score: null, label_reason: "it fires on no held-out token" } });
    expect(view.id("score").textContent).toBe("label by a rule, not scored: it fires on no held-out token");
  });

  it("that predicts nothing is marked", () => {
    const view = show({ card: { ...CARD, label_score: 0.52 } });
    expect(view.id("score").dataset.verdict).toBe("poor");
  });
});

it("hands a neighbour that is clicked to Python", () => {
  const view = show();
  const [first, second] = view.all(".card-neighbour");
  second!.click();
  expect(view.model.get("selected_feature")).toEqual([14, 9]);
  expect([first, second].map((button) => button!.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
});

describe("a text of one's own", () => {
  it("is asked for once the typing rests, and shown when it comes", async () => {
    const view = show();
    type(view, "In T");
    await settle(100);
    type(view, "In Texas");
    expect(view.model.asked).toEqual([]);
    await settle(300);
    expect(view.model.asked.map(({ method, params }) => [method, params])).toEqual([
      ["try_text", { text: "In Texas" }],
    ]);
    view.model.set("tried", { text: "In Texas", tokens: ["In", " Texas"], activations: [0, 6] });
    view.model.answer({ result: null });
    await settle();
    expect(view.id("tried").textContent).toBe("In·Texas");
    expect(view.id("tried-status").textContent).toBe("2 tokens; strongest 6.00 at \u2068·Texas\u2069");
    expect(view.model.get("text")).toBe("In Texas");
  });

  it("that came while another was typed is pale, and the newest wins", async () => {
    const view = show();
    type(view, "one");
    await settle(300);
    type(view, "two");
    await settle(300);
    type(view, "three");
    await settle(300);
    // While the first is under way only the latest waits.
    expect(view.model.asked.map(({ params }) => params.text)).toEqual(["one"]);
    view.model.set("tried", { text: "one", tokens: ["one"], activations: [0] });
    view.model.answer({ result: null });
    await settle();
    expect(view.id("tried").hasAttribute("data-stale")).toBe(true);
    expect(view.model.asked.map(({ params }) => params.text)).toEqual(["three"]);
    view.model.set("tried", { text: "three", tokens: ["three"], activations: [0] });
    view.model.answer({ result: null });
    await settle();
    expect(view.id("tried").hasAttribute("data-stale")).toBe(false);
    expect(view.id("tried-status").textContent).toBe("1 token; the feature does not fire");
  });

  it("that cannot be computed is said in a sentence, and gone with the next letter", async () => {
    const view = show();
    type(view, "x");
    await settle(300);
    view.model.answer({ error: "The prompt is <b>too long</b>: shorten it." });
    await settle();
    expect(view.id("tried-status").textContent).toBe("The prompt is <b>too long</b>: shorten it.");
    expect(view.id("tried-status").hasAttribute("data-error")).toBe(true);
    type(view, "");
    expect(view.id("tried-status").textContent).toBe("");
    await settle(300);
    expect(view.model.asked).toEqual([]);
  });

  it("is asked again for another feature", async () => {
    const view = show({ text: "In Texas" });
    view.model.set("card", { ...CARD, feature: 9 });
    await settle();
    expect(view.model.asked.map(({ params }) => params.text)).toEqual(["In Texas"]);
  });

  it("is not there where nothing can be asked", () => {
    const view = show({ can_try: false, can_steer: false });
    expect(view.find(".card-trial").hidden).toBe(true);
    expect(view.id("steer").hidden).toBe(true);
  });
});

describe("steering", () => {
  it("asks with the text, and shows below what it opened", async () => {
    const render = vi.fn(async ({ el }: { el: HTMLElement }) => el.append("sliders"));
    const host = { getWidget: vi.fn(async () => ({ render })) };
    const view = show({ text: "In Texas" }, { host });
    view.id("steer").click();
    expect(view.model.asked.at(-1)).toMatchObject({ method: "steer", params: { text: "In Texas" } });
    expect(view.id<HTMLButtonElement>("steer").disabled).toBe(true);
    view.model.set("steering", "anywidget:abc");
    view.model.answer({ result: null });
    await settle();
    expect(host.getWidget).toHaveBeenCalledWith("anywidget:abc");
    expect(view.id("steering").textContent).toBe("sliders");
    expect(view.id<HTMLButtonElement>("steer").disabled).toBe(false);
    view.model.set("steering", null);
    await settle();
    expect(view.id("steering").hidden).toBe(true);
  });

  it("says what went wrong", async () => {
    const view = show();
    view.id("steer").click();
    view.model.answer({ error: "The prompt is empty: give at least one character of text." });
    await settle();
    expect(view.find(".wb-notice-text").textContent).toBe("The prompt is empty: give at least one character of text.");
  });
});

it("stays readable without a kernel", () => {
  const tried = { text: "In Texas", tokens: ["In", " Texas"], activations: [0, 6] };
  const view = show({ text: "In Texas", tried }, {}, disconnected());
  expect(view.id("tried").textContent).toBe("In·Texas");
  expect(view.find<HTMLTextAreaElement>("textarea").disabled).toBe(true);
  expect(view.id<HTMLInputElement>("label").readOnly).toBe(true);
  expect(view.id<HTMLButtonElement>("steer").disabled).toBe(true);
  expect(view.id("steer").title).toBe("There is no kernel");
});

it("leaves nothing behind when it is closed", () => {
  const view = show();
  view.close();
  expect(view.model.listenerCount).toBe(0);
});
