/** The feature card of the node that was selected last: a widget of its own, which Python makes from the atlas. */

import type { Host } from "@anywidget/types";
import { fill, h } from "../../kit/dom";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import { FEATURE } from "../data";
import type { MakePane, Pane } from "../panes";
import type { Change, State } from "../state";

class CardPane implements Pane {
  readonly key = "card";
  readonly name = "Card";
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #host: Host | undefined;
  readonly #hint = h("p", { class: "wbx-hint", role: "status", testid: "card-hint" });
  readonly #place = h("div", { class: "wbx-card-place", testid: "card" });
  /** The widget that stands here, and what takes it away. */
  #shown = "";
  #child = new AbortController();
  /** The node that was asked for last. */
  #asked = "";

  constructor(state: State, host: Host | undefined) {
    this.#state = state;
    this.#host = host;
    this.element = h("div", {}, this.#hint, this.#place);
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
    this.#child.abort();
  }

  /** Say something in place of the card. */
  #tell(text: string): void {
    fill(this.#hint, text);
    this.#hint.hidden = text === "";
    this.#place.hidden = text !== "";
  }

  async #ask(id: string, layer: number, feature: number): Promise<void> {
    this.#asked = id;
    const onSlow = () => this.#asked === id && this.#tell("Reading the atlas …");
    try {
      const { result } = await this.#state.ask<string>("card", { layer, feature }, { onSlow });
      if (!this.#host)
        throw new Error("Cards are shown in a notebook: bench.feature_card(layer, feature) returns one.");
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
}

export const cardPane: MakePane = (state, _go, host) => new CardPane(state, host);
