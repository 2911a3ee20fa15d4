/** The InterventionSliders widget: factors of feature activations, and what the model's next token makes of them. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { fill, h, uid } from "../kit/dom";
import { count } from "../kit/format";
import { connection, watchConnection } from "../kit/kernel";
import { claimKeys } from "../kit/keyboard";
import { Notice } from "../kit/notice";
import { watchTheme } from "../kit/theme";
import { Bars, summary } from "./bars";
import { Header } from "./header";
import { Row } from "./row";
import {
  ABLATED,
  CLEAN,
  editedCount,
  type Mode,
  phase,
  type Result,
  type State,
  same,
  type Took,
  type Values,
} from "./state";

/** Milliseconds without an answer after which the widget says what it waits for. */
const SLOW = 1000;
/** Milliseconds of rest after which a screen reader is told of the result: not at every step of a drag. */
const REST = 600;

const OFFLINE = {
  gone: "These sliders have no kernel. To move them, run this cell.",
  page: "This is a saved page. To move the sliders, open the notebook.",
};

class Sliders {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #root: HTMLElement;
  readonly #header: Header;
  readonly #rows = new Map<string, Row>();
  readonly #bars = new Bars();
  readonly #notice = new Notice();
  readonly #status = h("span", { class: "sliders-status wb-muted", role: "status", testid: "status" });
  readonly #empty = h("p", "sliders-empty wb-muted");
  readonly #live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  readonly #cleanups: (() => void)[] = [];
  #slow = false;
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  #liveTimer: ReturnType<typeof setTimeout> | undefined;
  #said = "";
  #scheduled = false;
  #closed = false;

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    this.#header = new Header(model.get("prompt"), {
      mode: (mode) => this.#set({ mode }),
      reset: () => this.#set({ values: Object.fromEntries(model.get("nodes").map((node) => [node.id, CLEAN])) }),
    });
    const stops = uid("stops");
    for (const node of model.get("nodes")) {
      this.#rows.set(node.id, new Row(node, stops, (factor) => this.#move(node.id, factor)));
    }
    const nodes = count(this.#rows.size, "feature");
    this.#root = h(
      "section",
      { class: "wb sliders", "aria-label": "Intervention sliders", testid: "intervention-sliders" },
      this.#header.element,
      h(
        "div",
        "sliders-columns",
        h(
          "div",
          "sliders-left",
          h("h3", {}, "Features", h("span", "wb-muted", ` ${nodes}, factor of the clean activation`)),
          h(
            "datalist",
            { id: stops },
            h("option", { value: ABLATED, label: "ablate" }),
            h("option", { value: CLEAN, label: "clean" }),
          ),
          h("ul", "sliders-rows", ...[...this.#rows.values()].map((row) => row.element)),
        ),
        h(
          "div",
          "sliders-right",
          h("h3", {}, "Next token", this.#status),
          this.#notice.element,
          this.#empty,
          this.#bars.element,
          this.#live,
        ),
      ),
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    for (const name of ["values", "mode", "result", "answered", "error", "running"]) {
      const changed = () => this.#changed(name);
      this.#model.on(`change:${name}`, changed);
      this.#cleanups.push(() => this.#model.off(`change:${name}`, changed));
    }
    const heard = (message: Partial<Took>) => {
      if (message.kind === "took" && message.seconds !== undefined) this.#bars.time(message.seconds);
    };
    this.#model.on("msg:custom", heard);
    this.#cleanups.push(
      () => this.#model.off("msg:custom", heard),
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      watchConnection(this.#model as AnyModel, this.#el, () => this.#draw()),
    );
    this.#draw();
    return () => {
      this.#closed = true;
      clearTimeout(this.#slowTimer);
      clearTimeout(this.#liveTimer);
      for (const end of this.#cleanups) end();
    };
  }

  #move(id: string, factor: number): void {
    const values = this.#model.get("values");
    if (values[id] !== factor) this.#set({ values: { ...values, [id]: factor } });
  }

  #set(change: { values?: Values; mode?: Mode }): void {
    if (change.values) this.#model.set("values", change.values);
    if (change.mode) this.#model.set("mode", change.mode);
    this.#model.save_changes();
  }

  #changed(name: string): void {
    if (name === "answered") {
      // An answer, even to older values, shows that the kernel is at work: only then does the wait begin anew.
      this.#stopWaiting();
      // An error that was dismissed comes back when the next run fails in the same way.
      this.#said = "";
    }
    if (name === "values" || name === "mode") this.#drawControls();
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Python sets several traits one after the other; what is drawn between them would contradict itself.
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#draw();
    });
  }

  #draw(): void {
    this.#drawControls();
    const result = this.#model.get("result");
    const shown = "tokens" in result;
    const online = connection(this.#el);
    const error = this.#model.get("error");
    const asked = { values: this.#model.get("values"), mode: this.#model.get("mode") };
    const settled = same(this.#model.get("answered"), asked);
    if (settled || online !== "live") this.#stopWaiting();
    else this.#wait();
    const now = phase({ live: online === "live", settled, slow: this.#slow, error });

    this.#root.dataset.phase = now;
    this.#bars.element.hidden = !shown;
    if (shown) this.#bars.show(result as Result);
    this.#empty.hidden = shown || now === "failed";
    fill(this.#empty, now === "offline" ? "No result was saved." : "The model runs for the first time …");
    const stale = shown && (now === "failed" || now === "offline") && !same(result, asked);
    fill(this.#status, now === "slow" ? this.#waitingFor() : stale ? "of the last run that worked" : "");
    // While the next run is under way the last error stays: the page would jump at every step of a drag.
    this.#notify(online === "live" ? "" : OFFLINE[online], online === "live" ? error : "");
    if (shown && now === "ready") this.#tellSoon(summary((result as Result).tokens));
  }

  #drawControls(): void {
    const values = this.#model.get("values");
    const disabled = connection(this.#el) !== "live";
    for (const [id, row] of this.#rows) {
      row.show(values[id] ?? CLEAN);
      row.disabled = disabled;
    }
    this.#header.show(this.#model.get("mode"), editedCount(values), disabled);
  }

  #waitingFor(): string {
    return this.#model.get("running") ? "The model is still running …" : "Waiting for the kernel …";
  }

  /** Show one of the two in the notice, and only when it changes: a dismissed one stays dismissed. */
  #notify(told: string, error: string): void {
    const key = `${told}|${error}`;
    if (this.#said === key) return;
    this.#said = key;
    if (error !== "") this.#notice.error(error);
    else if (told !== "") this.#notice.tell(told);
    else this.#notice.clear();
  }

  #wait(): void {
    this.#slowTimer ??= setTimeout(() => {
      this.#slow = true;
      this.#draw();
    }, SLOW);
  }

  #stopWaiting(): void {
    clearTimeout(this.#slowTimer);
    this.#slowTimer = undefined;
    this.#slow = false;
  }

  #tellSoon(text: string): void {
    clearTimeout(this.#liveTimer);
    this.#liveTimer = setTimeout(() => {
      if (this.#live.textContent !== text) this.#live.textContent = text;
    }, REST);
  }
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    return new Sliders(model, el).show();
  },
};
