/** A text of the user's own, and where the feature fires on it. */

import { fill, h, uid } from "../kit/dom";
import { count, plain } from "../kit/format";
import { Newest } from "../kit/newest";
import { NoKernel, type Requests, Superseded } from "../kit/requests";
import { largest } from "../kit/strip";
import type { Tip } from "../kit/tip";
import { isolate, visible } from "../kit/tokens";
import { activationStrip } from "./examples";
import type { State, Tried } from "./state";

/** Milliseconds without a key after which the model is asked: not at every letter. */
const REST = 250;

export interface TrialOptions {
  requests: Requests;
  tip: Tip;
  get: <K extends keyof State>(name: K) => State[K];
  write: (text: string) => void;
  /** The value of the full colour. */
  full: () => number;
}

export class Trial {
  readonly element: HTMLElement;
  readonly field: HTMLTextAreaElement;
  readonly #options: TrialOptions;
  readonly #result = h("div", { class: "card-tried", testid: "tried" });
  readonly #status = h("span", { class: "wb-muted", role: "status", testid: "tried-status" });
  readonly #newest = new Newest<string>((text) => this.#ask(text));
  #timer: ReturnType<typeof setTimeout> | undefined;
  #error = "";
  #slow = false;
  #drawn: object | null = null;

  constructor(options: TrialOptions) {
    this.#options = options;
    const id = uid("try");
    this.field = h("textarea", { id, rows: 2, placeholder: "Type a text …", oninput: () => this.#typed() });
    this.field.value = options.get("text");
    this.element = h(
      "section",
      "card-part card-trial",
      h("h4", {}, h("label", { for: id }, "Try a text"), this.#status),
      this.field,
      this.#result,
    );
  }

  /** Ask anew for the text that stands, for another feature. */
  again(): void {
    this.#error = "";
    if (this.field.value !== "") this.#newest.submit(this.field.value);
    this.draw();
  }

  /** Take a text that Python or another view wrote. */
  take(text: string): void {
    if (text === this.field.value) return;
    this.field.value = text;
    this.draw();
    const tried = this.#options.get("tried");
    // The view that was typed into has asked already.
    if (document.activeElement !== this.field && text !== "" && tried.text !== text) this.#later(text);
  }

  /** Show what came of the last text that could be computed. */
  draw(enabled = !this.field.disabled): void {
    this.field.disabled = !enabled;
    const tried = this.#options.get("tried");
    const text = this.field.value;
    const known = tried.text !== undefined && text !== "";
    if (!known) {
      fill(this.#result);
      this.#drawn = null;
    } else if (this.#drawn !== tried) {
      this.#drawn = tried;
      const full = Math.max(this.#options.full(), largest((tried as Tried).activations));
      const strip = activationStrip(tried as Tried, { label: "Your text", full, tip: this.#options.tip });
      fill(this.#result, strip);
    }
    const stale = known && tried.text !== text;
    this.#result.toggleAttribute("data-stale", stale);
    this.#status.toggleAttribute("data-error", this.#error !== "");
    fill(this.#status, this.#error || (stale ? this.#waiting() : known ? summary(tried as Tried) : ""));
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  #waiting(): string {
    return this.#slow ? "The model is running …" : "";
  }

  #typed(): void {
    this.#error = "";
    this.#options.write(this.field.value);
    this.draw();
    if (this.field.value === "") clearTimeout(this.#timer);
    else this.#later(this.field.value);
  }

  #later(text: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#newest.submit(text), REST);
  }

  async #ask(text: string): Promise<void> {
    this.#slow = false;
    let error = "";
    try {
      await this.#options.requests.ask(
        "try_text",
        { text },
        {
          onSlow: () => {
            this.#slow = true;
            this.draw();
          },
        },
      );
    } catch (raised) {
      if (raised instanceof Superseded) return;
      error = raised instanceof NoKernel ? "There is no kernel: run the cell again." : (raised as Error).message;
    }
    // Of a text that is no longer there nobody wants to know what went wrong.
    if (text === this.field.value) this.#error = error;
    this.draw();
  }
}

function summary({ tokens, activations }: Tried): string {
  const top = largest(activations);
  const said = count(tokens.length, "token");
  if (top === 0) return `${said}; the feature does not fire`;
  const at = activations.indexOf(top);
  return `${said}; strongest ${plain(top)} at ${isolate(visible(tokens[at] ?? ""))}`;
}
