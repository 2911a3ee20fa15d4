/** The next token's probabilities in the clean and in the edited run. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import { shorten, visible } from "../kit/tokens";
import type { Bar, Control, Result } from "./state";

/** Return a probability with one decimal, so that the columns line up. */
export function share(value: number): string {
  const size = value * 100;
  if (size !== 0 && size < 0.1) return "<0.1 %";
  return `${size.toFixed(1)} %`;
}

/** Return a change of a probability in percentage points, with its sign. */
export function points(change: number): string {
  const text = Math.abs(change * 100).toFixed(1);
  if (text === "0.0") return "0.0";
  return `${change < 0 ? "−" : "+"}${text}`;
}

/** Return the probability at the right end of the bars: the next round number, so that it seldom changes. */
export function fullScale(bars: Bar[], control: number[] = []): number {
  const largest = Math.max(0, ...control, ...bars.flatMap((bar) => [bar.before, bar.after]));
  return [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1].find((round) => largest <= round) ?? 1;
}

/** Return the token that is most probable by one of the two columns. */
export function top(bars: Bar[], column: "before" | "after"): Bar | undefined {
  return bars.reduce<Bar | undefined>((best, bar) => (best && best[column] >= bar[column] ? best : bar), undefined);
}

/** Return the probability of all tokens that are not shown, before and after. */
export function rest(bars: Bar[]): { before: number; after: number } {
  const left = (column: "before" | "after") => Math.max(0, 1 - bars.reduce((sum, bar) => sum + bar[column], 0));
  return { before: left("before"), after: left("after") };
}

/** Return what the edits did to the first place, in words. */
export function summary(bars: Bar[]): string {
  const after = top(bars, "after");
  return after ? `Most probable next token: ${visible(after.token)}, ${share(after.after)}` : "";
}

/** Return a result's control, if it has one that could be run. */
export function controlOf(result: Result): Exclude<Control, { error: string }> | null {
  return result.control && "after" in result.control ? result.control : null;
}

/** Return what a result shows, for who cannot see it. */
export function inWords(result: Result): string {
  const control = controlOf(result);
  const first = summary(result.tokens);
  if (!control?.ids.length) return first;
  const best = control.after.indexOf(Math.max(...control.after));
  return `${first}. Matched control: ${result.tokens[best]!.token}, ${share(control.after[best]!)}`;
}

interface Cells {
  row: HTMLElement;
  before: HTMLElement;
  after: HTMLElement;
  beforeText: HTMLElement;
  afterText: HTMLElement;
  change: HTMLElement;
  control: HTMLElement;
  controlText: HTMLElement;
}

/** The key of the last row, which no token has. */
const REST = -1;

export class Bars {
  readonly element: HTMLElement;
  readonly #headline = h("p", "sliders-headline");
  readonly #body = h("tbody");
  readonly #axis = h("span", "sliders-axis");
  readonly #kl = h("span", { testid: "kl" });
  readonly #head: HTMLElement;
  readonly #controlHead = h(
    "th",
    { scope: "col", class: "sliders-number" },
    h("i", "sliders-swatch control"),
    "control",
  );
  readonly #control = h("p", { class: "sliders-control-facts", testid: "control-facts", hidden: true });
  readonly #another: () => void;
  readonly #time = h("span", { testid: "milliseconds" });
  readonly #rows = new Map<number, Cells>();

  /** @param another is called when another control is to be drawn. */
  constructor(another: () => void) {
    this.#another = another;
    this.#head = h(
      "tr",
      {},
      h("th", { scope: "col" }, "next token"),
      h("th", { scope: "col", class: "sliders-span" }, this.#axis),
      h("th", { scope: "col", class: "sliders-number" }, h("i", "sliders-swatch before"), "clean"),
      h("th", { scope: "col", class: "sliders-number" }, h("i", "sliders-swatch after"), "edited"),
      h("th", { scope: "col", class: "sliders-number", title: "in percentage points" }, "change"),
    );
    const table = h(
      "table",
      "sliders-bars",
      h("caption", "wb-visually-hidden", "Probabilities of the next token in the clean and the edited run"),
      h("thead", {}, this.#head),
      this.#body,
    );
    const facts = h("p", "sliders-facts wb-muted", this.#kl, this.#time);
    this.element = h("div", "sliders-chart", this.#headline, table, facts, this.#control);
  }

  show(result: Result): void {
    const bars = result.tokens;
    const control = controlOf(result);
    const scale = fullScale(bars, control?.after);
    this.element.toggleAttribute("data-control", control !== null);
    if (control) this.#head.append(this.#controlHead);
    else this.#controlHead.remove();
    fill(this.#axis, h("span", {}, "0"), h("span", {}, `${Math.round(scale * 100)} %`));
    const others = { token: "", id: REST, ...rest(bars) };
    const left = control && Math.max(0, 1 - control.after.reduce((sum, share) => sum + share, 0));
    const instead = control && [...control.after, left ?? 0];
    const rows = [...bars, others].map((bar, at) => this.#show(bar, scale, instead?.[at] ?? null));
    // Rows that stay in place keep their elements, so that bars grow instead of being drawn anew.
    if (rows.length !== this.#body.children.length || rows.some((row, i) => row !== this.#body.children[i])) {
      this.#body.replaceChildren(...rows);
    }
    for (const id of this.#rows.keys()) {
      if (id !== REST && !bars.some((bar) => bar.id === id)) this.#rows.delete(id);
    }
    this.#tell(result);
  }

  /** Show how long the model took. */
  time(seconds: number): void {
    this.#time.textContent = `${Math.round(seconds * 1000)} ms`;
  }

  #tell(result: Result): void {
    const before = top(result.tokens, "before");
    const after = top(result.tokens, "after");
    if (before && after) {
      const token = (bar: Bar) => h("span", "wb-token", shorten(visible(bar.token), 24));
      const first = before.id === after.id ? null : token(before);
      fill(
        this.#headline,
        first ?? token(after),
        ` ${share(before.before)} → `,
        first && token(after),
        first && " ",
        h("strong", {}, share(after.after)),
      );
      this.#headline.dataset.flipped = String(before.id !== after.id);
    }
    this.#tellControl(result);
    this.#kl.textContent = result.kl === null ? "" : `KL(clean ‖ edited) ${plain(result.kl)} nats`;
  }

  #tellControl(result: Result): void {
    const { control } = result;
    this.#control.hidden = !control;
    if (!control) return;
    if ("error" in control) {
      fill(this.#control, control.error);
      return;
    }
    const kl = control.kl === null ? "" : `: KL ${plain(control.kl)} nats`;
    fill(
      this.#control,
      h(
        "span",
        {},
        h("i", "sliders-swatch control"),
        control.ids.length ? `Control ${named(control.ids)}${kl}` : NO_EDITS,
      ),
      h("button", { testid: "another", onclick: this.#another, disabled: control.ids.length === 0 }, "Another one"),
    );
  }

  #show(bar: Bar, scale: number, control: number | null): HTMLElement {
    const cells = this.#rows.get(bar.id) ?? makeRow(bar);
    this.#rows.set(bar.id, cells);
    const width = (value: number) => `${Math.min(100, (100 * value) / scale)}%`;
    const change = bar.after - bar.before;
    cells.row.dataset.before = String(bar.before);
    cells.row.dataset.after = String(bar.after);
    cells.before.style.width = bar.id === REST ? "0" : width(bar.before);
    cells.after.style.width = bar.id === REST ? "0" : width(bar.after);
    cells.control.hidden = control === null;
    if (control === null) cells.controlText.remove();
    else {
      cells.control.style.width = bar.id === REST ? "0" : width(control);
      cells.controlText.textContent = share(control);
      cells.row.dataset.control = String(control);
      if (!cells.controlText.isConnected) cells.row.append(cells.controlText);
    }
    cells.beforeText.textContent = share(bar.before);
    cells.afterText.textContent = share(bar.after);
    cells.change.textContent = points(change);
    const sign = Math.abs(change) < 0.0005 ? "none" : change > 0 ? "up" : "down";
    cells.change.dataset.change = sign;
    return cells.row;
  }
}

const NO_EDITS = "A control needs an edit: move a slider.";

/** Return the first ids, and how many more there are. */
function named(ids: string[]): string {
  return ids.slice(0, 2).join(", ") + (ids.length > 2 ? ` and ${ids.length - 2} more` : "");
}

function makeRow(bar: Bar): Cells {
  const others = bar.id === REST;
  const before = h("div", "sliders-bar before");
  const after = h("div", "sliders-bar after");
  const beforeText = h("td", "sliders-number wb-muted");
  const afterText = h("td", "sliders-number");
  const change = h("td", "sliders-number sliders-change");
  const control = h("div", { class: "sliders-bar control", hidden: true });
  const controlText = h("td", "sliders-number wb-muted");
  const text = others ? "all others" : visible(bar.token);
  const row = h(
    "tr",
    others
      ? { class: "sliders-others wb-muted", testid: "others" }
      : { "data-token": bar.token, "data-token-id": bar.id },
    h(
      "th",
      { scope: "row", class: "sliders-token", title: others ? undefined : `${text} (token ${bar.id})` },
      h("span", { class: others ? "" : "wb-token" }, shorten(text, 24)),
    ),
    h("td", "sliders-span", h("div", "sliders-pair", before, after, control)),
    beforeText,
    afterText,
    change,
  );
  return { row, before, after, beforeText, afterText, change, control, controlText };
}
