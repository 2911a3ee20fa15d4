/** Rows of the lists beside the graph: each is a button that walks to a node. */

import { h } from "../kit/dom";
import { carries } from "./carry";
import { type Facts, type Info, LOGIT, TOKEN } from "./data";
import { nameOf, sentence, shortLayer, tokenAt } from "./describe";
import { glyph } from "./glyph";

export interface RowActions {
  /** The pointer or the focus is on a row; null when it left. */
  point(id: string | null): void;
  go(id: string): void;
}

export interface RowOptions {
  /** What stands at the end of the row. */
  value: string;
  /** Length of the bar, from 0 to 1, and its colour. */
  bar?: { size: number; colour: "positive" | "negative" | "feature" };
  /** Whether the graph draws the node at present. */
  drawn: boolean;
  /** What else the row's title says. */
  hint?: string;
}

/** Return the row of a node. */
export function nodeRow(facts: Facts, info: Info, options: RowOptions, actions: RowActions): HTMLLIElement {
  const bar = h("span", { class: `wbx-bar wbx-${options.bar?.colour ?? "feature"}` });
  bar.style.setProperty("--wb-size", String(options.bar?.size ?? 0));
  const ownPlace = facts.kind === TOKEN || facts.kind === LOGIT;
  const button = h(
    "button",
    {
      class: "wbx-row",
      ...carries(facts.id),
      "data-drawn": String(options.drawn),
      "aria-label": `${options.value}: ${sentence(facts, info)}`,
      title: [nameOf(facts), options.hint, !options.drawn && "not drawn at present"].filter(Boolean).join(" · "),
      onpointerenter: () => actions.point(facts.id),
      onpointerleave: () => actions.point(null),
      onfocus: () => actions.point(facts.id),
      onblur: () => actions.point(null),
      onclick: () => actions.go(facts.id),
    },
    glyph(facts.kind, 10),
    h("span", "wbx-row-name", nameOf(facts)),
    h(
      "span",
      "wbx-row-place",
      `${shortLayer(facts)} `,
      !ownPlace && h("span", "wb-token", tokenAt(facts, info)),
      h("sub", {}, facts.position),
    ),
    options.bar && bar,
    h("span", "wbx-row-value", options.value),
  );
  return h("li", {}, button);
}
