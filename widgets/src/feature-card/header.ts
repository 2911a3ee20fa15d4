/** Which feature it is, its label, and how far the label can be trusted. */

import { fill, h } from "../kit/dom";
import { percent } from "../kit/format";
import { type Card, facts, nameOf, verdict } from "./state";

export interface HeaderActions {
  label: (label: string) => void;
  steer: () => void;
}

const KINDS: Record<string, string> = {
  "input-like": "follows what is read: the tokens on which it fires",
  "output-like": "follows what is written: the tokens that it raises",
  abstract: "neither token nor output explains where it fires",
  silent: "never fired where the atlas looked",
};

export class Header {
  readonly element: HTMLElement;
  readonly #name = h("span", { class: "card-feature", testid: "name" });
  readonly #label: HTMLInputElement;
  readonly #badges = h("span", "card-badges");
  readonly #facts = h("p", { class: "wb-muted card-facts", testid: "facts" });
  readonly #score = h("span", { class: "card-score", testid: "score" });
  readonly #steer: HTMLButtonElement;
  #given = "";

  constructor(actions: HeaderActions) {
    this.#label = h("input", {
      type: "text",
      class: "card-label",
      "aria-label": "Label",
      placeholder: "no label",
      spellcheck: "false",
      testid: "label",
      onchange: () => actions.label(this.#label.value.trim()),
      onkeydown: (event: Event) => this.#key(event as KeyboardEvent),
    });
    this.#label.dir = "auto";
    this.#steer = h(
      "button",
      { class: "card-steer", testid: "steer", onclick: () => actions.steer() },
      "Steer this feature",
    );
    this.element = h(
      "header",
      "card-header",
      h("div", "card-title", this.#name, this.#label, this.#steer),
      h("div", "card-subtitle", this.#badges, this.#score),
      this.#facts,
    );
  }

  show(card: Card, label: string, state: { online: boolean; canSteer: boolean; steering: boolean }): void {
    fill(this.#name, nameOf(card));
    this.#name.title = `Feature ${card.feature} of layer ${card.layer}`;
    this.#given = label;
    // What is being typed is not taken away.
    if (document.activeElement !== this.#label || this.#label.value.trim() === "") this.#label.value = label;
    this.#label.readOnly = !state.online;
    const badge = (text: string, title: string, kind = "") =>
      h("span", { class: "card-badge", title, "data-kind": kind }, text);
    fill(
      this.#badges,
      card.kind !== undefined && badge(card.kind, KINDS[card.kind] ?? "", card.kind),
      card.family && card.family !== card.kind ? badge(card.family, "family") : null,
    );
    this.#badges.hidden = this.#badges.childElementCount === 0;
    this.#drawScore(card, label);
    // A CLT that ships has the name of its model.
    const of = [...new Set([card.model, card.clt])].filter((text) => text).join(" · ");
    fill(this.#facts, h("span", {}, facts(card).join(" · ")), of && h("bdi", {}, of));
    this.#steer.hidden = !state.canSteer;
    this.#steer.disabled = !state.online || state.steering;
    this.#steer.title = state.online ? "Opens what changes the feature's activation" : "There is no kernel";
    fill(this.#steer, state.steering ? "Opening …" : "Steer this feature");
  }

  #drawScore(card: Card, label: string): void {
    const score = card.label_score;
    const edited = label !== card.label;
    const source = edited ? "human" : card.label_source;
    const by = source === undefined ? "" : `label by ${source === "callable" ? "a callable" : `a ${source}`}`;
    if (edited || score === null || score === undefined) {
      delete this.#score.dataset.verdict;
      const why = !edited && card.label_reason ? `: ${card.label_reason}` : "";
      fill(this.#score, label === "" ? "" : `${[by, "not scored"].filter((text) => text).join(", ")}${why}`);
      this.#score.title = "";
      return;
    }
    const said = verdict(score);
    this.#score.dataset.verdict = said;
    const meter = h("i");
    meter.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
    fill(
      this.#score,
      by && `${by}, `,
      "score",
      h("span", { class: "card-meter", "aria-hidden": "true" }, meter),
      h("b", {}, `${percent(score)} · ${said}`),
    );
    this.#score.title =
      "How well the label predicts where the feature fires, on text that it was not made from; 50 % is chance";
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Enter") this.#label.blur();
    if (event.key === "Escape") {
      this.#label.value = this.#given;
      this.#label.blur();
    }
  }
}
