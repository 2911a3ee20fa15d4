import { afterEach, describe, expect, it, vi } from "vitest";
import widget from "../../src/generation-view";
import { choice, ending, partsAt, type State, type Token } from "../../src/generation-view/state";
import { disconnected, key, Model, View } from "../model";

const token = (text: string, id: number, kl = 0): Token => ({
  token: text,
  id,
  probability: 0.5,
  clean: 0.25,
  kl,
  alternatives: [
    { token: text, id, probability: 0.5 },
    { token: " <b>x</b>", id: 99, probability: 0.2 },
  ],
});
const CLEAN = [token(" The", 1), token(" sun", 2), token(" rose", 3)];
const STEERED = [token(" The", 1, 0.1), token(" moon", 4, 0.8), token(" rose", 3, 0.2)];

function state(changes: Partial<State> = {}): State {
  return {
    prompt: ["<|im_start|>", "Hello"],
    edits: ["feature 12/311 at every position (add 4)"],
    mode: "propagated",
    chat: true,
    seed: 3,
    temperature: 0.8,
    max_new_tokens: 3,
    texts: { clean: CLEAN, steered: STEERED },
    endings: { clean: "length", steered: "end" },
    made: { seed: 3, temperature: 0.8, max_new_tokens: 3 },
    chosen: null,
    running: false,
    error: "",
    can_start: true,
    ...changes,
  };
}

const shown = (changes: Partial<State> = {}, place?: HTMLElement) =>
  new View<State>(widget as never, new Model(state(changes)), {}, place);

async function receive(view: View<State>, changes: Partial<State>): Promise<void> {
  for (const [name, value] of Object.entries(changes)) view.model.set(name as keyof State, value as never);
  await Promise.resolve();
}

const at = (view: View<State>, run: string, step: number) =>
  view.id(`${run}-text`).querySelector<HTMLElement>(`[data-at="${step}"]`)!;

afterEach(() => document.body.replaceChildren());

describe("two texts part", () => {
  const texts = (clean: Token[], steered: Token[]) => ({ clean, steered });

  it("at the first token that differs", () => {
    expect(partsAt(texts(CLEAN, STEERED), true)).toBe(1);
    expect(partsAt(texts(CLEAN, CLEAN), false)).toBeNull();
    expect(partsAt({ clean: CLEAN }, false)).toBeNull();
  });

  it("where one has ended, once both are complete", () => {
    expect(partsAt(texts(CLEAN, CLEAN.slice(0, 2)), true)).toBeNull();
    expect(partsAt(texts(CLEAN, CLEAN.slice(0, 2)), false)).toBe(2);
  });
});

it("endings and the choice of tokens are said in words", () => {
  expect([ending("end", 1), ending("cancelled", 2), ending("", 3), ending("length", 4)]).toEqual([
    "1 token, ended by the model",
    "2 tokens, stopped",
    "3 tokens …",
    "4 tokens",
  ]);
  expect(choice({ seed: 3, temperature: 0, max_new_tokens: 1 })).toBe("the most probable token each time");
  expect(choice({ seed: 3, temperature: 0.8, max_new_tokens: 1 })).toBe("drawn at temperature 0.8, seed 3");
  expect(choice({})).toBe("");
});

describe("the texts", () => {
  it("stand side by side, the place where they part marked, what they share muted", () => {
    const view = shown();
    expect(view.id("clean-text").textContent).toBe("·The·sun·rose");
    expect(view.id("steered-text").textContent).toBe("·The·moon·rose");
    for (const run of ["clean", "steered"]) {
      expect(at(view, run, 0).hasAttribute("data-shared")).toBe(true);
      expect(at(view, run, 1).hasAttribute("data-parts")).toBe(true);
      expect(at(view, run, 2).hasAttribute("data-shared")).toBe(false);
    }
    expect(view.id("parts").textContent).toBe("The texts part at step 2.");
    expect(view.find("[data-run=steered] h3").textContent).toBe("Steered3 tokens, ended by the model");
  });

  it("tell prompt, template, mode, edits and seed", () => {
    const view = shown();
    expect(view.find(".generation-header").textContent).toContain("<|im_start|>Hello");
    expect(view.find(".generation-about").textContent).toBe("2 tokens, in the model’s chat template, mode propagated");
    expect(view.find(".generation-edits li").textContent).toBe("feature 12/311 at every position (add 4)");
    expect(view.id("facts").textContent).toBe("drawn at temperature 0.8, seed 3");
  });

  it("grow while they are produced, and a focus in them stays", async () => {
    const view = shown({ texts: { clean: [], steered: [] }, endings: { clean: "", steered: "" }, running: true });
    expect(view.find(".generation-view").dataset.phase).toBe("running");
    await receive(view, { texts: { clean: CLEAN.slice(0, 1), steered: [] } });
    at(view, "clean", 0).focus();
    await receive(view, { texts: { clean: CLEAN.slice(0, 2), steered: STEERED.slice(0, 1) } });
    expect(document.activeElement).toBe(at(view, "clean", 0));
    expect(view.id("parts").textContent).toBe("");
    expect(view.id("live").textContent).toBe("");
    await receive(view, { ...state(), texts: { clean: CLEAN, steered: STEERED } });
    expect(view.id("live").textContent).toBe("The texts part at step 2.");
    expect(view.find(".generation-view").dataset.phase).toBe("ready");
  });

  it("of which there is one without edits", () => {
    const view = shown({ texts: { clean: CLEAN }, endings: { clean: "length" }, edits: [] });
    expect(view.all(".generation-column")).toHaveLength(1);
    expect(view.find(".generation-header").textContent).toContain("No edits");
    expect(view.id("parts").textContent).toBe("");
  });
});

describe("a token", () => {
  it("shows its alternatives beside the pointer and the focus, as text", () => {
    const view = shown();
    at(view, "steered", 1).focus();
    const tip = view.id("tip");
    expect(tip.hidden).toBe(false);
    expect([...tip.querySelectorAll(".wb-tip-row")].map((row) => row.textContent)).toEqual([
      "·moon50 %",
      "·<b>x</b>20 %",
    ]);
    expect(tip.textContent).toContain("the clean model gives it 25 %, KL(clean ‖ edited) 0.800 nats");
    expect(tip.textContent).toContain("Here the texts part.");
    expect(view.el.querySelector("b b")).toBeNull();
    at(view, "steered", 1).blur();
    expect(tip.hidden).toBe(true);
  });

  it("says in words what its colour and its mark show", () => {
    const said = at(shown(), "steered", 1).getAttribute("aria-label");
    expect(said).toContain("step 2, probability 50 %, for the clean model 25 %, here the texts part");
  });

  it("that is chosen lists what could have stood there, in both texts", async () => {
    const view = shown();
    at(view, "steered", 1).click();
    expect(view.model.get("chosen")).toEqual(["steered", 1]);
    await Promise.resolve();
    expect(at(view, "steered", 1).getAttribute("aria-selected")).toBe("true");
    expect(at(view, "clean", 1).getAttribute("aria-selected")).toBe("false");
    for (const [run, chosen] of [
      ["clean", "·sun"],
      ["steered", "·moon"],
    ] as const) {
      expect(view.id(`${run}-place`).querySelector("tr[aria-current] th")!.textContent).toBe(chosen);
    }
    key(at(view, "steered", 1), "Enter");
    expect(view.model.get("chosen")).toBeNull();
  });

  it("that is none of the most probable is listed after them", async () => {
    const rare = { ...token(" rare", 7), probability: 0.01, alternatives: [token(" sun", 2)] };
    const view = shown({ texts: { clean: [rare], steered: [rare] }, chosen: ["clean", 0] });
    const rows = [...view.id("clean-place").querySelectorAll("tbody tr")].map((row) => row.textContent);
    expect(rows).toEqual(["·sun50 %", "·rare1.0 %"]);
  });
});

describe("the settings", () => {
  it("are saved when they are numbers, and nothing else is", () => {
    const view = shown();
    const write = (name: string, value: string) => {
      const field = view.id<HTMLInputElement>(name);
      field.value = value;
      field.dispatchEvent(new Event("change"));
      return field.getAttribute("aria-invalid");
    };
    expect(write("seed", "7")).toBeNull();
    expect(write("temperature", "1.5")).toBeNull();
    expect(write("max_new_tokens", "")).toBe("true");
    expect(write("seed", "1.5")).toBe("true");
    expect([view.model.get("seed"), view.model.get("temperature"), view.model.get("max_new_tokens")]).toEqual([
      7, 1.5, 3,
    ]);
  });

  it("start another text, and stop one", async () => {
    const view = shown();
    expect(view.id<HTMLButtonElement>("stop").disabled).toBe(true);
    view.id("start").click();
    await receive(view, { running: true });
    view.id("stop").click();
    expect(view.model.asked.map(({ method }) => method)).toEqual(["start", "stop"]);
    view.model.answer({ error: "This view cannot generate." });
    await vi.waitFor(() => expect(view.find(".wb-notice-text").textContent).toBe("This view cannot generate."));
  });

  it("are not there where the text was made elsewhere", () => {
    const view = shown({ can_start: false, chat: null });
    expect(view.all("input, [data-testid=start]")).toHaveLength(0);
    expect(view.find(".generation-about").textContent).toBe("2 tokens, mode propagated");
  });
});

it("what went wrong is said as text, and the last text stays", async () => {
  const view = shown();
  await receive(view, { error: "Not <b>this</b> way." });
  expect(view.find(".wb-notice-text").textContent).toBe("Not <b>this</b> way.");
  expect(view.find(".generation-view").dataset.phase).toBe("failed");
  expect(view.id("clean-text").textContent).toBe("·The·sun·rose");
});

it("without a kernel the texts can be read, and nothing can be started", () => {
  const view = shown({ running: true, endings: { clean: "", steered: "" } }, disconnected());
  expect(view.find(".wb-notice-text").textContent).toContain("no kernel");
  expect(view.id<HTMLButtonElement>("start").disabled).toBe(true);
  expect(view.id<HTMLInputElement>("seed").disabled).toBe(true);
  expect(view.find("[data-run=clean] h3").textContent).toBe("Clean3 tokens, stopped");
  at(view, "clean", 0).focus();
  expect(view.id("tip").hidden).toBe(false);
});

it("a view that is closed leaves nothing behind that listens", () => {
  const view = shown();
  view.close();
  expect(view.model.listenerCount).toBe(0);
});
