/** The InterventionSliders widget: factors of feature activations, and what the model's next token makes of them. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { copy } from "../kit/clipboard";
import { fill, h } from "../kit/dom";
import { type History, makeHistory } from "../kit/history";
import { connection, watchConnection } from "../kit/kernel";
import { claimKeys } from "../kit/keyboard";
import { messageOf, Requests, Superseded } from "../kit/requests";
import { StandingNotice } from "../kit/standing";
import { watchTheme } from "../kit/theme";
import { atOnce, watchTraits } from "../kit/traits";
import { inWords } from "./bars";
import { Header } from "./header";
import { List } from "./list";
import { Panes } from "./panes";
import {
  type Asked,
  CLEAN,
  type Curve,
  editedCount,
  type Pane,
  phase,
  type Result,
  type State,
  same,
  type Took,
  UNDONE,
  type Undone,
  WATCHED,
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
  readonly #list: List;
  readonly #panes: Panes;
  readonly #requests: Requests;
  readonly #notice = new StandingNotice();
  readonly #status = h("span", { class: "sliders-status wb-muted", role: "status", testid: "status" });
  readonly #live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  readonly #cleanups: (() => void)[] = [];
  #history: History;
  #slow = false;
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  #liveTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #drawSoon = atOnce(() => this.#draw());

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    this.#requests = new Requests(model as AnyModel, () => connection(el) === "live");
    const can = model.get("can");
    this.#header = new Header(model.get("prompt"), can.control === true, {
      mode: (mode) => this.#set({ mode }),
      reset: () => this.#set({ values: Object.fromEntries(model.get("nodes").map((node) => [node.id, CLEAN])) }),
      undo: () => this.#history.undo(),
      redo: () => this.#history.redo(),
      control: (on) => this.#set({ control_seed: on ? 0 : null }),
      copy: () => copy((model.get("result") as Result).code ?? ""),
    });
    this.#list = new List(can, {
      set: (change) => this.#set(change),
      hold: (held) => (held ? this.#history.hold() : this.#history.release()),
      sweep: (slider) => {
        this.#panes.choose(slider);
        this.#show("curve");
        this.#sweep(slider);
      },
      remove: (slider) => this.#ask("remove", { slider }),
      add: (what) => this.#ask("add", { ...what }),
      find: async (text) => (await this.#ask<{ id: string; name: string }[]>("find", { text })) ?? [],
    });
    this.#panes = new Panes(model, {
      show: (pane) => this.#show(pane),
      another: () => this.#set({ control_seed: (model.get("control_seed") ?? 0) + 1 }),
      sweep: (slider) => this.#sweep(slider),
      cancel: () => this.#ask("cancel"),
    });
    this.#history = this.#newHistory();
    this.#root = h(
      "section",
      { class: "wb wb-frame sliders", "aria-label": "Intervention sliders", testid: "intervention-sliders" },
      this.#header.element,
      h(
        "div",
        "sliders-columns",
        this.#list.element,
        h(
          "div",
          "sliders-right",
          h("div", "sliders-panes", this.#panes.tabs, this.#status),
          this.#notice.element,
          ...this.#panes.elements,
          this.#live,
        ),
      ),
    );
    this.#root.addEventListener("keydown", (event) => this.#key(event));
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    const heard = (message: Partial<Took>) => {
      if (message.kind === "took" && message.seconds !== undefined) this.#panes.time(message.seconds);
    };
    this.#model.on("msg:custom", heard);
    this.#cleanups.push(
      () => this.#model.off("msg:custom", heard),
      watchTraits(this.#model as AnyModel, WATCHED, (name) => this.#changed(name)),
      () => this.#drawSoon.cancel(),
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      watchConnection(this.#model as AnyModel, this.#el, () => {
        if (connection(this.#el) !== "live") this.#requests.lost();
        this.#draw();
      }),
      () => this.#requests.dispose(),
      () => this.#list.dispose(),
    );
    this.#list.build(this.#model.get("nodes"));
    this.#draw();
    return () => {
      clearTimeout(this.#slowTimer);
      clearTimeout(this.#liveTimer);
      for (const end of this.#cleanups) end();
    };
  }

  get #asked(): Asked {
    return {
      values: this.#model.get("values"),
      mode: this.#model.get("mode"),
      control_seed: this.#model.get("control_seed"),
    };
  }

  #set(change: Undone): void {
    for (const [name, value] of Object.entries(change)) this.#model.set(name as keyof State, value as never);
    this.#model.save_changes();
  }

  #show(pane: Pane): void {
    this.#model.set("pane", pane);
    this.#model.save_changes();
  }

  #sweep(slider: string): void {
    if ((this.#model.get("curve") as Curve).state === "running") this.#ask("cancel");
    this.#ask("sweep", { slider });
  }

  /** Ask Python; what goes wrong is said, and nothing comes back then. */
  async #ask<T>(method: string, params: Record<string, unknown> = {}): Promise<T | undefined> {
    try {
      return (await this.#requests.ask<T>(method, params)).result;
    } catch (error) {
      if (!(error instanceof Superseded)) this.#notice.error(messageOf(error));
      return undefined;
    }
  }

  #newHistory(): History {
    const store = {
      get: (trait: string) => this.#model.get(trait as keyof State),
      put: (values: ReadonlyMap<string, unknown>) => this.#set(Object.fromEntries(values) as Undone),
    };
    return makeHistory(store, UNDONE, () => this.#drawControls());
  }

  #key(event: KeyboardEvent): void {
    const inText = event.target instanceof HTMLInputElement && event.target.type !== "range";
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || inText) return;
    event.preventDefault();
    if (event.shiftKey && this.#history.canRedo) this.#history.redo();
    else if (!event.shiftKey && this.#history.canUndo) this.#history.undo();
  }

  #changed(name: (typeof WATCHED)[number]): void {
    if (name === "answered") {
      // An answer, even to older values, shows that the kernel is at work: only then does the wait begin anew.
      this.#stopWaiting();
      // An error that was dismissed comes back when the next run fails in the same way.
      this.#notice.forget();
    }
    if (name === "nodes") {
      this.#list.build(this.#model.get("nodes"));
      // Values of other sliders cannot be taken back.
      this.#history = this.#newHistory();
    }
    this.#history.note(name);
    if (name === "values" || name === "mode" || name === "links") this.#drawControls();
    this.#drawSoon();
  }

  #draw(): void {
    this.#drawControls();
    const result = this.#model.get("result");
    const shown = "tokens" in result;
    const online = connection(this.#el);
    const error = this.#model.get("error");
    const asked = this.#asked;
    const settled = same(this.#model.get("answered"), asked);
    if (settled || online !== "live") this.#stopWaiting();
    else this.#wait();
    const now = phase({ live: online === "live", settled, slow: this.#slow, error });

    this.#root.dataset.phase = now;
    const empty = now === "offline" ? "No result was saved." : "The model runs for the first time …";
    this.#panes.show(asked, online !== "live", now === "failed" ? null : empty);
    const stale = shown && (now === "failed" || now === "offline") && !same(result, asked);
    fill(this.#status, now === "slow" ? this.#waitingFor() : stale ? "of the last run that worked" : "");
    // While the next run is under way the last error stays: the page would jump at every step of a drag.
    this.#notice.say(online === "live" ? "" : OFFLINE[online], online === "live" ? error : "");
    if (shown && now === "ready") this.#tellSoon(inWords(result as Result));
  }

  #drawControls(): void {
    const values = this.#model.get("values");
    const disabled = connection(this.#el) !== "live";
    this.#list.show(values, this.#model.get("links"), disabled);
    this.#header.show({
      mode: this.#model.get("mode"),
      edited: editedCount(values),
      disabled,
      canUndo: this.#history.canUndo,
      canRedo: this.#history.canRedo,
      control: this.#model.get("control_seed") !== null,
      canCopy: (this.#model.get("result") as Result).code !== undefined,
    });
  }

  #waitingFor(): string {
    return this.#model.get("running") ? "The model is still running …" : "Waiting for the kernel …";
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
