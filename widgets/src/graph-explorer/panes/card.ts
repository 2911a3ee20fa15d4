/**
 * The feature card of the node that was selected last: a widget of its own, which Python makes from the atlas. Where
 * there is no atlas it can be computed: what comes instead of a card is how far that is.
 */

import type { Host } from "@anywidget/types";
import { fill, h } from "../../kit/dom";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import { FEATURE } from "../data";
import type { MakePane, Pane } from "../panes";
import type { Change, State } from "../state";

/** How far the atlas is that cards are made from. */
interface Build {
  stage: "none" | "text" | "features" | "done" | "stopped";
  done?: number;
  seconds_left?: number | null;
}

/** How often to ask how far a build is, in milliseconds. */
const PERIOD = 1000;

class CardPane implements Pane {
  readonly key = "card";
  readonly name = "Card";
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #host: Host | undefined;
  readonly #hint = h("p", { class: "wbx-hint", role: "status", testid: "card-hint" });
  readonly #bar = h("progress", { max: "1", "aria-label": "Texts read", testid: "card-progress" });
  readonly #button = h("button", { testid: "card-compute" });
  // Beside the hint, which is read out whenever it changes.
  readonly #percent = h("span", { testid: "card-percent" });
  readonly #build = h("p", { class: "wbx-hint", hidden: true }, this.#bar, this.#percent, this.#button);
  readonly #place = h("div", { class: "wbx-card-place", testid: "card" });
  /** The widget that stands here, and what takes it away. */
  #shown = "";
  #child = new AbortController();
  /** The node that was asked for last. */
  #asked = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(state: State, host: Host | undefined) {
    this.#state = state;
    this.#host = host;
    this.element = h("div", {}, this.#hint, this.#build, this.#place);
  }

  show(): void {
    const { current } = this.#state;
    const facts = current === null ? null : this.#state.facts(current);
    if (facts?.kind === FEATURE) void this.#ask(facts.id, facts.layer, facts.feature);
    else {
      this.#asked = "";
      this.#tell("Select a feature to see its card.");
    }
  }

  follow(change: Change): void {
    if (change === "selected_ids") this.show();
  }

  dispose(): void {
    this.#asked = "";
    clearTimeout(this.#timer);
    this.#child.abort();
  }

  /** Say something in place of the card. */
  #tell(text: string): void {
    if (this.#hint.textContent !== text) fill(this.#hint, text);
    this.#hint.hidden = text === "";
    this.#place.hidden = text !== "";
    this.#build.hidden = true;
  }

  async #ask(id: string, layer: number, feature: number, atlas?: "begin" | "stop"): Promise<void> {
    this.#asked = id;
    clearTimeout(this.#timer);
    const onSlow = () => this.#asked === id && this.#tell("Reading the atlas …");
    try {
      const { result } = await this.#state.ask<string | Build>("card", { layer, feature, atlas }, { onSlow });
      if (!this.#host)
        throw new Error("Cards are shown in a notebook: bench.feature_card(layer, feature) returns one.");
      if (typeof result !== "string") {
        if (this.#asked === id) this.#follow(result, (wish) => void this.#ask(id, layer, feature, wish));
        return;
      }
      if (result !== this.#shown) {
        this.#child.abort();
        this.#child = new AbortController();
        const el = h("div");
        fill(this.#place, el);
        await (await this.#host.getWidget(result)).render({ el, signal: this.#child.signal });
        this.#shown = result;
      }
      if (this.#asked === id) this.#tell("");
    } catch (error) {
      if (error instanceof Superseded || this.#asked !== id) return;
      this.#tell(error instanceof NoKernel ? "No kernel to ask for the card: run the cell again." : messageOf(error));
    }
  }

  /** Show how far the build of an atlas is, and ask again while it runs and somebody looks. */
  #follow({ stage, done = 0, seconds_left: left }: Build, again: (wish?: "begin" | "stop") => void): void {
    const runs = stage === "text" || stage === "features" || stage === "done";
    if (runs) {
      const time = left ? `, about ${Math.ceil(left / 5) * 5} s left` : "";
      this.#tell(stage === "text" ? "Reading texts for the cards …" : "Labelling the features …");
      this.#percent.textContent = ` ${Math.floor(100 * done)} %${time} `;
      this.#timer = setTimeout(() => this.element.closest("[hidden]") ?? again(), PERIOD);
    } else {
      this.#percent.textContent = "";
      this.#tell(
        stage === "none"
          ? "Cards are made from an atlas, and this CLT has none. A small one of 20,000 tokens takes two or three minutes."
          : "Stopped; what was read is kept.",
      );
    }
    this.#build.hidden = false;
    this.#bar.hidden = !runs;
    this.#bar.value = done;
    this.#button.textContent = runs ? "Stop" : stage === "none" ? "Compute the cards" : "Go on";
    this.#button.onclick = () => again(runs ? "stop" : "begin");
  }
}

export const cardPane: MakePane = (state, _go, host) => new CardPane(state, host);
