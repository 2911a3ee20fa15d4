/** The FeatureCard widget: what one feature is. */

import type { AnyModel, Host, RenderProps } from "@anywidget/types";
import { fill, h } from "../kit/dom";
import { connection, watchConnection } from "../kit/kernel";
import { claimKeys } from "../kit/keyboard";
import { Notice } from "../kit/notice";
import { Requests, Superseded } from "../kit/requests";
import { watchTheme } from "../kit/theme";
import { Tip } from "../kit/tip";
import { examples } from "./examples";
import { Header } from "./header";
import { histogram } from "./histogram";
import { firesOn, logits, neighbours } from "./lists";
import { fullColour, nameOf, quantileLine, type State, silent } from "./state";
import { Trial } from "./trial";

class FeatureCard {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #host: Host | undefined;
  readonly #root: HTMLElement;
  readonly #requests: Requests;
  readonly #header: Header;
  readonly #trial: Trial;
  readonly #tip = new Tip();
  readonly #notice = new Notice();
  readonly #left = h("div", "card-left");
  readonly #examples = h("div", { class: "card-part", testid: "examples" });
  readonly #steering = h("div", { class: "card-steering", testid: "steering", hidden: true });
  readonly #cleanups: (() => void)[] = [];
  #child = new AbortController();
  #steers = false;

  constructor(model: AnyModel<State>, el: HTMLElement, host: Host | undefined) {
    this.#model = model;
    this.#el = el;
    this.#host = host;
    this.#requests = new Requests(model as AnyModel, () => connection(el) === "live");
    this.#header = new Header({ label: (label) => this.#set("label", label), steer: () => void this.#steer() });
    this.#trial = new Trial({
      requests: this.#requests,
      tip: this.#tip,
      get: (name) => model.get(name),
      write: (text) => this.#set("text", text),
      full: () => fullColour(model.get("card")),
    });
    this.#root = h(
      "section",
      { class: "wb wb-frame feature-card", "aria-label": "Feature card", testid: "feature-card" },
      this.#header.element,
      this.#notice.element,
      h("div", "card-body", this.#left, h("div", "card-right", this.#trial.element, this.#examples)),
      this.#steering,
      this.#tip.element,
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    const listeners: Partial<Record<keyof State, () => void>> = {
      card: () => {
        this.#draw();
        this.#trial.again();
      },
      label: () => this.#drawHeader(),
      selected_feature: () => this.#mark(),
      text: () => this.#trial.take(this.#model.get("text")),
      tried: () => this.#trial.draw(),
      can_try: () => this.#drawAbilities(),
      can_steer: () => this.#drawAbilities(),
      steering: () => void this.#open(),
    };
    for (const [name, changed] of Object.entries(listeners)) {
      this.#model.on(`change:${name}`, changed);
      this.#cleanups.push(() => this.#model.off(`change:${name}` as never, changed));
    }
    this.#cleanups.push(
      () => this.#child.abort(),
      () => this.#trial.dispose(),
      () => this.#requests.dispose(),
      () => this.#tip.hide(),
      claimKeys(this.#root),
      watchTheme(this.#root, () => {}),
      watchConnection(this.#model as AnyModel, this.#el, () => {
        if (!this.#online) this.#requests.lost();
        this.#drawAbilities();
      }),
    );
    this.#draw();
    void this.#open();
    return () => {
      for (const end of this.#cleanups) end();
    };
  }

  get #online(): boolean {
    return connection(this.#el) === "live";
  }

  #set<K extends keyof State>(name: K, value: State[K]): void {
    this.#model.set(name, value);
    this.#model.save_changes();
  }

  #draw(): void {
    const card = this.#model.get("card");
    this.#tip.hide();
    this.#root.dataset.feature = nameOf(card);
    this.#root.toggleAttribute("data-silent", silent(card));
    const choose = (feature: [number, number]) => this.#set("selected_feature", feature);
    const { histogram: activations, positions } = card;
    fill(
      this.#left,
      activations.counts.length > 0 &&
        histogram(activations, {
          title: "Activations",
          noun: "token",
          axis: "activation",
          note: quantileLine(card.quantiles),
        }),
      positions.counts.length > 0 &&
        histogram(positions, {
          title: "Positions",
          noun: "token",
          axis: "position in the text",
          note: positions.n_tokens ? "share of the tokens there" : "",
          whole: true,
        }),
      firesOn(card.top_tokens),
      logits(card.top_logits, card.bottom_logits),
      neighbours("Upstream features", card.upstream, choose),
      neighbours("Downstream features", card.downstream, choose),
    );
    this.#left.hidden = this.#left.childElementCount === 0;
    fill(this.#examples, h("h4", {}, "Examples"), this.#drawExamples());
    this.#drawAbilities();
    this.#mark();
  }

  #drawExamples(): Node {
    const card = this.#model.get("card");
    if (silent(card)) {
      const where = card.n_tokens ? `on the ${card.n_tokens.toLocaleString("en")} tokens of the atlas` : "in the atlas";
      const rest = card.top_logits.length > 0 ? " What it would write is known from its decoder." : "";
      return h(
        "p",
        { class: "card-empty", testid: "silent" },
        h("b", {}, "This feature is silent: "),
        `it never fired ${where}, so that it has no examples, no positions and no label that could be tested.${rest}`,
      );
    }
    if (card.examples.length === 0) {
      return h("p", "card-empty", "This atlas holds no examples of the feature: build the full one.");
    }
    return examples(card.examples, fullColour(card), this.#tip);
  }

  #drawHeader(): void {
    this.#header.show(this.#model.get("card"), this.#model.get("label"), {
      online: this.#online,
      canSteer: this.#model.get("can_steer"),
      steering: this.#steers,
    });
  }

  #drawAbilities(): void {
    this.#drawHeader();
    // A text that was tried is shown in a saved notebook, too.
    this.#trial.element.hidden = !this.#model.get("can_try");
    this.#trial.field.title = this.#online ? "" : "There is no kernel: run the cell again to try a text";
    this.#trial.draw(this.#online);
  }

  #mark(): void {
    const selected = this.#model.get("selected_feature");
    const name = selected && `${selected[0]}/${selected[1]}`;
    for (const button of this.#root.querySelectorAll<HTMLElement>(".card-neighbour")) {
      button.setAttribute("aria-pressed", String(button.dataset.feature === name));
    }
  }

  async #steer(): Promise<void> {
    this.#steers = true;
    this.#notice.clear();
    this.#drawHeader();
    try {
      await this.#requests.ask("steer", { text: this.#model.get("text") });
    } catch (error) {
      if (!(error instanceof Superseded)) this.#notice.error((error as Error).message);
    }
    this.#steers = false;
    this.#drawHeader();
  }

  /** Show the widget that steering opened below the card. */
  async #open(): Promise<void> {
    const ref = this.#model.get("steering");
    this.#child.abort();
    this.#child = new AbortController();
    const { signal } = this.#child;
    fill(this.#steering);
    this.#steering.hidden = ref === null || this.#host === undefined;
    if (ref === null) return;
    if (this.#host === undefined) {
      if (this.#online) this.#notice.tell("What was opened is the card's .steering in Python: show it in a cell.");
      return;
    }
    const place = h("div");
    fill(this.#steering, place);
    try {
      const child = await this.#host.getWidget(ref);
      if (!signal.aborted) await child.render({ el: place, signal });
    } catch (error) {
      if (signal.aborted) return;
      this.#steering.hidden = true;
      if (this.#online) this.#notice.error(`What was opened cannot be shown here: ${(error as Error).message}`);
    }
  }
}

export default {
  render({ model, el, host }: RenderProps<State>): () => void {
    return new FeatureCard(model, el, host).show();
  },
};
