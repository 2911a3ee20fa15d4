/** What a node is, beside the pointer. */

import { fill, h } from "../kit/dom";
import { type Facts, type Info, LOGIT, TOKEN } from "./data";
import { kindOf, layerOf, meaningOf, nameOf, numbersOf, tokenAt } from "./describe";
import { glyph } from "./glyph";

const GAP = 14;

export class Tooltip {
  readonly element = h("div", {
    class: "wbx-tooltip",
    testid: "tooltip",
    "aria-hidden": true,
    hidden: true,
  });

  hide(): void {
    this.element.hidden = true;
  }

  /** Show a node's facts beside a point of the stage, on the side where there is room. */
  show(facts: Facts, info: Info, at: { x: number; y: number }, stage: { width: number; height: number }): void {
    const kind = kindOf(facts);
    const name = nameOf(facts);
    const ownPlace = facts.kind === TOKEN || facts.kind === LOGIT;
    fill(
      this.element,
      h(
        "div",
        "wbx-tooltip-kind",
        glyph(facts.kind),
        `${kind} · ${layerOf(facts)}`,
        !ownPlace && " · ",
        !ownPlace && h("span", "wb-token", tokenAt(facts, info)),
        ` · position ${facts.position}`,
      ),
      name !== kind && h("div", { class: `wbx-tooltip-name${ownPlace ? " wb-token" : ""}` }, name),
      h(
        "div",
        "wbx-tooltip-numbers",
        ...numbersOf(facts).map(([what, value]) => h("span", {}, `${what} `, h("b", {}, value))),
      ),
      meaningOf(facts.kind) !== "" && h("div", "wb-muted", meaningOf(facts.kind)),
    );
    this.element.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const right = at.x + GAP + width <= stage.width - 4;
    const left = right ? at.x + GAP : Math.max(at.x - GAP - width, 4);
    const below = at.y + GAP + height <= stage.height - 4;
    const top = below ? at.y + GAP : Math.max(at.y - GAP - height, 4);
    this.element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}
