/** The GenerationView widget: what the clean and the steered model write, as they write it. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { h } from "../kit/dom";
import { connection, watchConnection } from "../kit/kernel";
import { claimKeys } from "../kit/keyboard";
import { messageOf, Requests, Superseded } from "../kit/requests";
import { StandingNotice } from "../kit/standing";
import { largest } from "../kit/strip";
import { watchTheme } from "../kit/theme";
import { Tip } from "../kit/tip";
import { atOnce, watchTraits } from "../kit/traits";
import { Column } from "./column";
import { Header } from "./header";
import { partsAt, RUNS, type Run, type Settings, type State } from "./state";

const OFFLINE = {
  gone: "This text has no kernel. To generate another one, run this cell.",
  page: "This is a saved page. To generate another text, open the notebook.",
};
const WATCHED = [
  "texts",
  "endings",
  "made",
  "chosen",
  "running",
  "error",
  "seed",
  "temperature",
  "max_new_tokens",
] as const;

class GenerationView {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #root: HTMLElement;
  readonly #header: Header;
  readonly #columns: Map<Run, Column>;
  readonly #tip = new Tip();
  readonly #notice = new StandingNotice();
  readonly #requests: Requests;
  readonly #parts = h("p", { class: "generation-parts wb-muted", testid: "parts" });
  readonly #live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  readonly #cleanups: (() => void)[] = [];
  #ran = false;
  readonly #drawSoon = atOnce(() => this.#draw());

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    this.#requests = new Requests(model as AnyModel, () => connection(el) === "live");
    this.#header = new Header(
      {
        prompt: model.get("prompt"),
        edits: model.get("edits"),
        mode: model.get("mode"),
        chat: model.get("chat"),
        can_start: model.get("can_start"),
      },
      {
        set: (setting, value) => this.#set(setting, value),
        start: () => this.#ask("start"),
        stop: () => this.#ask("stop"),
      },
    );
    const runs = RUNS.filter((run) => run in model.get("texts"));
    this.#columns = new Map(runs.map((run) => [run, new Column(run, this.#tip, (step) => this.#choose(run, step))]));
    this.#root = h(
      "section",
      { class: "wb wb-frame generation-view", "aria-label": "Clean and steered text", testid: "generation-view" },
      this.#header.element,
      this.#notice.element,
      h("div", "generation-columns", ...[...this.#columns.values()].map((column) => column.element)),
      h(
        "footer",
        "generation-footer",
        this.#parts,
        model.get("edits").length > 0 &&
          h("p", "wb-muted generation-key", h("i", "generation-ramp"), "KL(clean ‖ edited) at the place"),
      ),
      this.#live,
      this.#tip.element,
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    this.#cleanups.push(
      watchTraits(this.#model as AnyModel, WATCHED, () => this.#drawSoon()),
      () => this.#drawSoon.cancel(),
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      watchConnection(this.#model as AnyModel, this.#el, () => {
        if (connection(this.#el) !== "live") this.#requests.lost();
        this.#draw();
      }),
      () => this.#requests.dispose(),
      () => this.#tip.hide(),
    );
    this.#draw();
    return () => {
      for (const end of this.#cleanups) end();
    };
  }

  #set(setting: keyof Settings, value: number): void {
    this.#model.set(setting, value);
    this.#model.save_changes();
  }

  #choose(run: Run, step: number): void {
    const [chosenRun, chosenStep] = this.#model.get("chosen") ?? [];
    // A second click takes the choice back.
    this.#model.set("chosen", run === chosenRun && step === chosenStep ? null : [run, step]);
    this.#model.save_changes();
  }

  #ask(method: "start" | "stop"): void {
    this.#requests.ask(method).catch((error: unknown) => {
      if (!(error instanceof Superseded)) this.#notice.error(messageOf(error));
    });
  }

  #draw(): void {
    const get = <K extends keyof State>(name: K): State[K] => this.#model.get(name);
    const online = connection(this.#el);
    const running = online === "live" && get("running");
    const texts = get("texts");
    const parts = partsAt(texts, running);
    const top = largest((texts.steered ?? []).map(({ kl }) => kl ?? 0));
    const chosen = get("chosen");
    for (const [run, column] of this.#columns) {
      const end = get("endings")[run];
      column.show(texts[run] ?? [], running || end !== "" ? end : "cancelled", parts, top);
      column.choose(chosen?.[1] ?? null, chosen?.[0] === run);
    }
    const settings = { seed: get("seed"), temperature: get("temperature"), max_new_tokens: get("max_new_tokens") };
    this.#header.show(settings, get("made"), running, online !== "live");
    this.#root.dataset.phase = running ? "running" : get("error") === "" ? "ready" : "failed";
    this.#parts.textContent = this.#parting(parts, running);
    this.#notice.say(online === "live" || !get("can_start") ? "" : OFFLINE[online], get("error"));
    if (this.#ran && !running) this.#live.textContent = this.#parting(parts, false) || "The text is complete.";
    this.#ran = running;
  }

  #parting(parts: number | null, running: boolean): string {
    if (this.#columns.size < 2) return "";
    if (parts !== null) return `The texts part at step ${parts + 1}.`;
    return running ? "" : "The edits change no token of this text.";
  }
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    return new GenerationView(model, el).show();
  },
};
