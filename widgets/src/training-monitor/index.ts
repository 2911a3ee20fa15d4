/** The TrainingMonitor widget: what a training run does, and the buttons that hold and end it. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { fill, h } from "../kit/dom";
import { count, percent, plain } from "../kit/format";
import { connection, watchConnection } from "../kit/kernel";
import { claimKeys } from "../kit/keyboard";
import { NoKernel, Requests, Superseded } from "../kit/requests";
import { StandingNotice } from "../kit/standing";
import { watchTheme } from "../kit/theme";
import { watchTraits } from "../kit/traits";
import { Chart } from "./chart";
import { Layers } from "./layers";
import {
  ACTIVE,
  Course,
  duration,
  merged,
  PHASES,
  progress,
  type Report,
  type RowsMessage,
  type State,
  type WireHistory,
} from "./state";
import { Tables } from "./table";
import { Tiles } from "./tiles";

const OFFLINE = {
  gone: "There is no kernel: this is how the run stood when the notebook was saved. Run the cell to train again.",
  page: "This is a saved page: this is how the run stood.",
};
/** Milliseconds between two sentences to a screen reader while the run goes on. */
const SAY_EVERY = 20_000;

const WATCHED = ["about", "phase", "harvest", "error", "report", "history"] as const;

class Monitor {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #root: HTMLElement;
  readonly #requests: Requests;
  readonly #title = h("h3");
  readonly #facts = h("p", "wb-muted monitor-facts");
  readonly #badge = h("span", { class: "monitor-badge", testid: "phase" });
  readonly #hold = h("button", { testid: "pause", onclick: () => this.#toggle() });
  readonly #stop = h("button", { testid: "stop", onclick: () => void this.#ask("stop") });
  readonly #bar = h("progress", { max: 1, "aria-label": "Progress" });
  readonly #done = h("span", { class: "wb-muted", testid: "progress" });
  readonly #tiles = new Tiles();
  readonly #chart = new Chart();
  readonly #layers = new Layers();
  readonly #tables = new Tables();
  readonly #result = h("p", { class: "monitor-result", testid: "result", hidden: true });
  readonly #notice = new StandingNotice();
  readonly #live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  readonly #cleanups: (() => void)[] = [];
  #frame = 0;
  #spoken = "";
  #spokenAt = Number.NEGATIVE_INFINITY;
  #asking = "";

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    this.#requests = new Requests(model as AnyModel, () => connection(el) === "live");
    fill(this.#stop, "Stop and save");
    const buttons = h("div", { class: "monitor-buttons", role: "group", "aria-label": "Run" }, this.#hold, this.#stop);
    this.#root = h(
      "section",
      { class: "wb wb-frame monitor", "aria-label": "Training monitor", testid: "training-monitor" },
      h("header", "monitor-header", h("div", {}, this.#title, this.#facts), this.#badge, buttons),
      h("div", "monitor-progress", this.#bar, this.#done),
      this.#notice.element,
      this.#tiles.element,
      h("div", "monitor-columns", this.#chart.element, this.#layers.element),
      this.#result,
      this.#tables.element,
      this.#live,
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    const heard = (message: Partial<RowsMessage>, buffers: DataView[]) => {
      if (message.kind === "rows" && buffers[0]) this.#take(message as RowsMessage, buffers[0]);
    };
    this.#model.on("msg:custom", heard);
    this.#cleanups.push(
      () => this.#model.off("msg:custom", heard),
      watchTraits(this.#model as AnyModel, WATCHED, (name) => this.#changed(name)),
      () => this.#requests.dispose(),
      () => cancelAnimationFrame(this.#frame),
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      watchConnection(this.#model as AnyModel, this.#el, () => {
        if (connection(this.#el) !== "live") this.#requests.lost();
        this.#draw();
      }),
    );
    this.#draw();
    // A view that opens late, in a page that saw no message meanwhile, has the rows of then.
    if (connection(this.#el) === "live") void this.#fetch();
    return () => {
      for (const end of this.#cleanups) end();
    };
  }

  /** Take new rows; the first view that hears of them keeps them in the model, for the others and for saving. */
  #take(message: RowsMessage, rows: DataView): void {
    const history = merged(this.#model.get("history"), message, rows);
    if (history) this.#model.set("history", history);
    else void this.#fetch();
  }

  async #fetch(): Promise<void> {
    try {
      const { result, buffers } = await this.#requests.ask<Omit<WireHistory, "rows">>("history");
      this.#model.set("history", { ...result, rows: { dtype: "float32", data: buffers[0]! } });
    } catch (error) {
      // Without a kernel the stored rows stay; that is said already.
      if (!(error instanceof NoKernel || error instanceof Superseded)) this.#notice.error(String(error));
    }
  }

  #toggle(): void {
    void this.#ask(this.#model.get("phase") === "paused" ? "resume" : "pause");
  }

  async #ask(method: "pause" | "resume" | "stop"): Promise<void> {
    this.#asking = method;
    this.#draw();
    try {
      await this.#requests.ask(method);
    } catch (error) {
      this.#asking = "";
      if (!(error instanceof Superseded)) this.#notice.error((error as Error).message);
      this.#draw();
    }
  }

  #changed(name: string): void {
    if (name === "phase") this.#asking = "";
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    const get = <K extends keyof State>(name: K): State[K] => this.#model.get(name);
    const [about, phase, stored] = [get("about"), get("phase"), get("report")];
    const course = new Course(get("history"));
    const report = "fvu" in stored ? (stored as Report) : null;
    const online = connection(this.#el);
    this.#root.dataset.phase = phase;

    fill(this.#title, "A CLT of ", h("bdi", {}, about.model));
    const shape = `${count(about.n_features, "feature")} a layer, ${about.window === 1 ? "per layer" : `window ${about.window}`}`;
    const data = `${about.tokens.toLocaleString("en")} tokens × ${count(about.epochs, "epoch")}`;
    fill(this.#facts, `${shape}${about.skip ? ", with a skip" : ""} · ${data}`, about.folder && ` · ${about.folder}`);
    fill(this.#badge, PHASES[phase]);
    this.#buttons(phase, online);

    const [part, words] = progress({ phase, harvest: get("harvest"), about }, course);
    this.#bar.value = part;
    fill(this.#done, words);
    this.#tiles.show(course, about, phase);
    this.#chart.show(course, about);
    this.#layers.show(course, report);
    this.#tables.show(course, report);
    this.#result.hidden = report === null;
    if (report) fill(this.#result, ...summary(report, course.layers || report.fvu_by_layer.length));
    this.#notice.say(online === "live" || !ACTIVE.includes(phase) ? "" : OFFLINE[online], get("error"));
    this.#tell(phase, `${PHASES[phase]}, ${words}`, course);
  }

  #buttons(phase: State["phase"], online: "live" | "gone" | "page"): void {
    const buttons = this.#hold.parentElement as HTMLElement;
    buttons.hidden = !ACTIVE.includes(phase);
    const off = online !== "live";
    const paused = phase === "paused";
    fill(this.#hold, this.#asking === "pause" ? "Pausing …" : paused ? "Resume" : "Pause");
    this.#hold.disabled = off || this.#asking !== "" || phase === "stopping" || phase === "exporting";
    this.#stop.disabled = off || this.#asking === "stop" || phase === "stopping" || phase === "exporting";
    const why = off ? "There is no kernel" : "";
    this.#hold.title = why || "Hold the run after the step that it is at";
    this.#stop.title = why || "End the run after the step that it is at; it can be resumed";
  }

  /** Tell a screen reader of every new phase at once, and of the course now and then. */
  #tell(phase: string, words: string, course: Course): void {
    const now = performance.now();
    if (this.#spoken === phase && now - this.#spokenAt < SAY_EVERY) return;
    this.#spoken = phase;
    this.#spokenAt = now;
    const text = course.length ? `${words}, FVU ${plain(course.last("fvu"))}` : words;
    if (this.#live.textContent !== text) this.#live.textContent = text;
  }
}

/** Return what the finished transcoder does on text that it never saw. */
function summary(report: Report, layers: number): (Node | string)[] {
  return [
    h("b", {}, "On held-out text"),
    ` (${report.held_out_tokens.toLocaleString("en")} tokens): FVU ${plain(report.fvu)}, `,
    `L0 ${plain(report.l0 / Math.max(1, layers))} a layer, ${percent(report.dead_fraction)} of the features dead. `,
    `Trained in ${duration(report.training_seconds)}; ${(report.bytes / 1e6).toFixed(1)} MB.`,
  ];
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    return new Monitor(model, el).show();
  },
};
