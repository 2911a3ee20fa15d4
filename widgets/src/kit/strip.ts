/** A text as its tokens, each coloured by one or several series of values. */

import { h } from "./dom";
import { onKeys } from "./keyboard";
import { visible } from "./tokens";

/** How many series colours can tell apart; strip.css has a hue for each. */
export const HUES = 6;

export interface Series {
  name: string;
  values: ArrayLike<number>;
  /** The value of the full colour. */
  top: number;
  /** Which of the hues, from 0. */
  hue: number;
  /** The share of the full colour that the smallest value above 0 gets: to be seen at all. */
  floor?: number;
}

export interface StripOptions {
  /** What the text is, for who cannot see it. */
  label: string;
  /** What a token says of its values, for who cannot see its colour. */
  describe: (index: number) => string;
  /** The pointer or the focus came to a token, or left the text. */
  point?: (index: number | null, box: DOMRect | null) => void;
  /** A token was chosen; without this the tokens can be looked at only. */
  select?: (index: number) => void;
}

/** Return the share of the full colour that a value gets, from −1 to 1; 0 where there is no value. */
export function shareOf(value: number, top: number, floor = 0): number {
  if (!Number.isFinite(value) || value === 0 || !(top > 0)) return 0;
  const share = Math.min(1, Math.abs(value) / top);
  return Math.sign(value) * (floor + (1 - floor) * share);
}

/** Return the largest size of the values that are one. */
export function largest(values: ArrayLike<number>): number {
  let top = 0;
  for (let i = 0; i < values.length; i += 1) if (Math.abs(values[i]!) > top) top = Math.abs(values[i]!);
  return top;
}

export class Strip {
  readonly element: HTMLElement;
  readonly #options: StripOptions;
  #tokens: HTMLElement[] = [];
  #at = 0;

  constructor(options: StripOptions) {
    this.#options = options;
    const choose = options.select !== undefined;
    this.element = h("div", { class: "wb-strip", role: choose ? "listbox" : "list", "aria-label": options.label });
    // Tokens of a text follow each other from left to right, whatever the direction of each.
    this.element.dir = "ltr";
    this.element.addEventListener("pointerover", (event) => this.#pointed(event.target));
    this.element.addEventListener("pointerleave", () => options.point?.(null, null));
    this.element.addEventListener("focusin", (event) => this.#pointed(event.target));
    this.element.addEventListener("focusout", () => options.point?.(null, null));
    this.element.addEventListener("click", (event) => this.#clicked(event.target));
    this.element.addEventListener(
      "keydown",
      onKeys({
        ArrowRight: () => this.#focus(this.#at + 1),
        ArrowLeft: () => this.#focus(this.#at - 1),
        ArrowDown: () => this.#focus(this.#onLine(1)),
        ArrowUp: () => this.#focus(this.#onLine(-1)),
        Home: () => this.#focus(0),
        End: () => this.#focus(this.#tokens.length - 1),
        Escape: () => options.point?.(null, null),
        ...(choose && { Enter: () => options.select?.(this.#at), " ": () => options.select?.(this.#at) }),
      }),
    );
  }

  /** Show a text; colours come with {@link paint}. */
  show(tokens: string[], peak = -1): void {
    const role = this.#options.select ? "option" : "listitem";
    this.#at = Math.min(this.#at, Math.max(0, tokens.length - 1));
    const children: Node[] = [];
    this.#tokens = tokens.map((token, index) => {
      const ends = token.includes("\n") ? " wb-strip-end" : "";
      const shown = h("span", { class: `wb-strip-token${ends}`, role, "data-at": index }, ...pieces(token));
      shown.tabIndex = index === this.#at ? 0 : -1;
      if (index === peak) shown.dataset.peak = "true";
      // Lines break where words begin, not inside them.
      if (/^\s/.test(token)) children.push(document.createElement("wbr"));
      children.push(shown);
      return shown;
    });
    this.element.replaceChildren(...children);
  }

  /** Colour the tokens: by one series, or by the strongest of several with a stripe for each below. */
  paint(series: readonly Series[]): void {
    const several = series.length > 1;
    this.element.toggleAttribute("data-several", several);
    this.element.style.setProperty("--stripes", String(several ? series.length : 0));
    for (const [slot, { hue }] of series.entries()) this.element.style.setProperty(`--h${slot}`, `var(--hue-${hue})`);
    for (const [index, token] of this.#tokens.entries()) {
      const shares = series.map(({ values, top, floor }) => shareOf(values[index] ?? Number.NaN, top, floor));
      // Of several series only what is above 0 is coloured: a hue stands for a series, not for a sign.
      const best = several ? shares.indexOf(Math.max(...shares)) : 0;
      const share = shares[best] ?? 0;
      token.style.setProperty("--share", several && share < 0 ? "0" : Math.abs(share).toFixed(3));
      token.dataset.hue = !several && share < 0 ? "negative" : String(series[best]?.hue ?? 0);
      token.toggleAttribute(
        "data-none",
        series.every(({ values }) => !Number.isFinite(values[index] ?? Number.NaN)),
      );
      for (let slot = 0; slot < HUES; slot += 1) {
        if (several && slot < shares.length)
          token.style.setProperty(`--s${slot}`, Math.max(0, shares[slot]!).toFixed(3));
        else token.style.removeProperty(`--s${slot}`);
      }
      token.setAttribute("aria-label", this.#options.describe(index));
    }
  }

  /** Mark the token that is chosen. */
  select(selected: number | null): void {
    for (const [index, token] of this.#tokens.entries())
      token.setAttribute("aria-selected", String(index === selected));
    if (selected !== null && selected !== this.#at && selected < this.#tokens.length) this.#rove(selected);
  }

  #clicked(target: EventTarget | null): void {
    const index = indexOf(target);
    if (index === null) return;
    this.#rove(index);
    this.#options.select?.(index);
  }

  #pointed(target: EventTarget | null): void {
    const index = indexOf(target);
    if (index === null) return;
    if (document.activeElement === target) this.#rove(index);
    // A token that is broken over two lines has two boxes; what is meant stands at its first.
    const box = (target as Element).getClientRects?.()[0] ?? (target as Element).getBoundingClientRect();
    this.#options.point?.(index, box);
  }

  #focus(index: number): void {
    const next = Math.max(0, Math.min(this.#tokens.length - 1, index));
    this.#rove(next);
    this.#tokens[next]?.focus();
  }

  #rove(index: number): void {
    this.#tokens[this.#at]?.setAttribute("tabindex", "-1");
    this.#tokens[index]?.setAttribute("tabindex", "0");
    this.#at = index;
  }

  /** Return the token above or below the present one. */
  #onLine(step: 1 | -1): number {
    const here = this.#tokens[this.#at]?.getBoundingClientRect();
    if (!here) return this.#at;
    let line: number | null = null;
    let [found, distance] = [this.#at, Number.POSITIVE_INFINITY];
    for (let i = this.#at + step; i >= 0 && i < this.#tokens.length; i += step) {
      const box = this.#tokens[i]!.getBoundingClientRect();
      if (Math.abs(box.top - here.top) < here.height / 2) continue;
      line ??= box.top;
      if (Math.abs(box.top - line) > here.height / 2) break;
      const away = Math.abs(box.left + box.width / 2 - here.left - here.width / 2);
      if (away < distance) [found, distance] = [i, away];
    }
    return found;
  }
}

/** Return a token's text as it is shown; the dots that stand for spaces are fainter than what is written. */
function pieces(token: string): (Node | string)[] {
  const text = visible(token);
  const dots = (pattern: RegExp) => pattern.exec(token)?.[0].length ?? 0;
  const before = dots(/^ +/);
  const after = before === text.length ? 0 : dots(/ +$/);
  const space = (shown: string) => h("i", "wb-strip-space", shown);
  const rest = text.slice(before, text.length - after);
  return [
    ...(before > 0 ? [space(text.slice(0, before))] : []),
    ...(rest !== "" ? [rest] : []),
    ...(after > 0 ? [space(text.slice(-after))] : []),
  ];
}

function indexOf(target: EventTarget | null): number | null {
  const at = target instanceof HTMLElement ? target.dataset.at : undefined;
  return at === undefined ? null : Number(at);
}
