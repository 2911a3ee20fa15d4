/** The features downstream that the edits changed, the most changed first. */

import { fill, h } from "../kit/dom";
import { count, plain, signed } from "../kit/format";
import { shorten, visible } from "../kit/tokens";
import type { Changed, KnockOn } from "./state";

export class Changes {
  readonly element: HTMLElement;
  readonly #about = h("p", { class: "wb-muted", testid: "changes-about" });
  readonly #body = h("tbody");

  constructor() {
    const column = (name: string, kind = "") => h("th", { scope: "col", class: kind }, name);
    this.element = h(
      "div",
      { class: "sliders-changes", testid: "changes" },
      this.#about,
      h(
        "div",
        { class: "sliders-scroll", tabindex: 0, role: "group", "aria-label": "Features that changed" },
        h(
          "table",
          "sliders-table",
          h("caption", "wb-visually-hidden", "Features downstream of the edits, the most changed first"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              column("feature"),
              column("at"),
              column("label"),
              column("clean", "sliders-number"),
              column("edited", "sliders-number"),
              column("change", "sliders-number"),
            ),
          ),
          this.#body,
        ),
      ),
    );
  }

  /** Show them; null before the first ones have come. */
  show(changes: KnockOn | null, current: boolean): void {
    this.element.toggleAttribute("data-stale", changes !== null && !current);
    if (!changes) {
      fill(this.#about, "Counting what has changed …");
      fill(this.#body);
      return;
    }
    const { rows, n_changed: all } = changes;
    const which = rows.length < all ? `; the ${rows.length} most changed` : "";
    fill(this.#about, all === 0 ? "No feature downstream has changed." : `${count(all, "feature")} changed${which}:`);
    fill(this.#body, ...rows.map(row));
  }
}

function row(of: Changed): HTMLElement {
  const change = of.after - of.before;
  const label = of.edited ? "(edited) " : "";
  return h(
    "tr",
    { "data-id": of.id, "data-edited": of.edited },
    h("th", { scope: "row" }, h("span", "sliders-feature", `${of.layer}/${of.feature}`)),
    h(
      "td",
      { title: `position ${of.position}` },
      h("span", "wb-token", shorten(visible(of.token), 12)),
      h("span", "wb-muted", ` ${of.position}`),
    ),
    h("td", { class: "sliders-about", title: of.label }, h("bdi", {}, label + visible(of.label || "–"))),
    h("td", "sliders-number", plain(of.before)),
    h("td", "sliders-number", plain(of.after)),
    h("td", { class: "sliders-number sliders-change", "data-change": change > 0 ? "up" : "down" }, signed(change)),
  );
}
