/** One text: its tokens as they come, where it leaves the other one, and what else could have stood at a place. */

import { fill, h } from "../kit/dom";
import { percent, plain } from "../kit/format";
import { Strip } from "../kit/strip";
import type { Tip } from "../kit/tip";
import { isolate, shorten, visible } from "../kit/tokens";
import { ending, type Run, type State, type Token } from "./state";

const TITLES: Record<Run, string> = { clean: "Clean", steered: "Steered" };

export class Column {
  readonly element: HTMLElement;
  readonly #run: Run;
  readonly #tip: Tip;
  readonly #strip: Strip;
  readonly #ending = h("span", "wb-muted generation-ending");
  readonly #places: HTMLElement;
  #tokens: Token[] = [];
  #parts: number | null = null;

  /** @param choose is called with the step of the token that was clicked. */
  constructor(run: Run, tip: Tip, choose: (step: number) => void) {
    this.#run = run;
    this.#tip = tip;
    this.#strip = new Strip({
      label: `${TITLES[run]} text`,
      describe: (step) => this.#describe(step),
      point: (step, box) => this.#point(step, box),
      select: choose,
    });
    this.#strip.element.dataset.testid = `${run}-text`;
    this.#places = h("div", { class: "generation-place", testid: `${run}-place`, hidden: true });
    this.element = h(
      "div",
      { class: "generation-column", "data-run": run },
      h("h3", {}, TITLES[run], this.#ending),
      h("div", "generation-text", this.#strip.element),
      this.#places,
    );
  }

  /** @param top is the KL that gets the full colour. */
  show(tokens: Token[], end: State["endings"][Run], parts: number | null, top: number): void {
    const focused = this.#strip.element.contains(document.activeElement);
    this.#parts = parts;
    const texts = tokens.map(({ token }) => token);
    // What a reader points at stays in place when it has not changed.
    if (JSON.stringify(texts) !== JSON.stringify(this.#tokens.map(({ token }) => token))) {
      this.#strip.show(texts);
      if (focused) this.#strip.element.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    }
    this.#tokens = tokens;
    this.#strip.paint([{ name: "KL", values: tokens.map(({ kl }) => kl ?? Number.NaN), top, hue: 0, floor: 0.08 }]);
    for (const element of this.#strip.element.querySelectorAll<HTMLElement>("[data-at]")) {
      const step = Number(element.dataset.at);
      element.removeAttribute("data-none");
      element.toggleAttribute("data-parts", step === parts);
      element.toggleAttribute("data-shared", parts !== null && step < parts);
    }
    this.#strip.element.toggleAttribute("data-grows", end === "");
    fill(this.#ending, ending(end, tokens.length));
  }

  /** Mark a step, and list what could have stood there; the token is this column's where `own`. */
  choose(step: number | null, own: boolean): void {
    this.#strip.select(own ? step : null);
    const token = step === null ? undefined : this.#tokens[step];
    this.#places.hidden = step === null;
    if (step === null) return;
    fill(
      this.#places,
      h("p", "wb-muted", token ? `At step ${step + 1}${this.#moved(token)}` : `No token at step ${step + 1}`),
      token && this.#table(token),
    );
  }

  #table(token: Token): HTMLElement {
    return h(
      "table",
      "generation-alternatives",
      h("caption", "wb-visually-hidden", `${TITLES[this.#run]}: the most probable tokens at this step`),
      h(
        "thead",
        "wb-visually-hidden",
        h("tr", {}, h("th", { scope: "col" }, "token"), h("th", { scope: "col" }, ""), h("th", { scope: "col" }, "p")),
      ),
      h("tbody", {}, ...ranked(token).map((other) => alternativeRow(other, other.id === token.id))),
    );
  }

  #moved(token: Token): string {
    return this.#run === "clean" || token.kl === null ? "" : `, KL(clean ‖ edited) ${plain(token.kl)} nats`;
  }

  #describe(step: number): string {
    const token = this.#tokens[step];
    if (!token) return "";
    const said = [isolate(visible(token.token)), `step ${step + 1}`, `probability ${percent(token.probability)}`];
    if (this.#run === "steered") said.push(`for the clean model ${percent(token.clean)}`);
    if (step === this.#parts) said.push("here the texts part");
    return said.join(", ");
  }

  #point(step: number | null, box: DOMRect | null): void {
    const token = step === null ? undefined : this.#tokens[step];
    if (!token || !box) {
      this.#tip.hide();
      return;
    }
    const clean = `the clean model gives it ${percent(token.clean)}${this.#moved(token)}`;
    this.#tip.show(
      box,
      ...ranked(token).map((other) =>
        h(
          "div",
          { class: "wb-tip-row", "data-chosen": other.id === token.id },
          h("span", "wb-token", shorten(visible(other.token), 24)),
          h("b", {}, percent(other.probability)),
        ),
      ),
      this.#run === "steered" && h("div", "generation-clean wb-muted", clean),
      step === this.#parts && h("div", "generation-clean wb-muted", "Here the texts part."),
    );
  }
}

/** Return the alternatives with the token itself, which may be none of the most probable. */
function ranked(token: Token): { token: string; id: number; probability: number }[] {
  const among = token.alternatives.some(({ id }) => id === token.id);
  return among ? token.alternatives : [...token.alternatives, token];
}

function alternativeRow(other: { token: string; id: number; probability: number }, chosen: boolean): HTMLElement {
  const bar = h("div", "generation-bar");
  bar.style.width = `${100 * other.probability}%`;
  return h(
    "tr",
    { "data-token-id": other.id, "data-chosen": chosen, "aria-current": chosen ? "true" : undefined },
    h("th", { scope: "row", title: visible(other.token) }, h("span", "wb-token", shorten(visible(other.token), 20))),
    h("td", "generation-span", bar),
    h("td", "generation-number", percent(other.probability)),
  );
}
