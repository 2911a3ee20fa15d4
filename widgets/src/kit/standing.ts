/** The notice of a widget whose state says what stands in it: that there is no kernel, or why the last run failed. */

import { Notice } from "./notice";

export class StandingNotice extends Notice {
  #said = "";

  /** Show one of the two, or neither, and only when it changes: a dismissed one stays dismissed. */
  say(told: string, error: string): void {
    const key = `${told}|${error}`;
    if (this.#said === key) return;
    this.#said = key;
    if (error !== "") this.error(error);
    else if (told !== "") this.tell(told);
    else this.clear();
  }

  /** Say the same again when it comes again, dismissed or not. */
  forget(): void {
    this.#said = "";
  }
}
