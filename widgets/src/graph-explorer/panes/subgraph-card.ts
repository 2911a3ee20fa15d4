/** One card of the subgraph: a node, or a supernode with its members. */

import { h, on } from "../../kit/dom";
import { onKeys } from "../../kit/keyboard";
import { carries, carriesGroup } from "../carry";
import { type Facts, LOGIT, TOKEN } from "../data";
import { nameOf, sentence, shortLayer, tokenAt } from "../describe";
import { glyph } from "../glyph";
import { nameField } from "../name-field";
import type { State } from "../state";
import { type Card, MEMBERS } from "./subgraph-cards";

const STEP = 12;
const DRAG = 3;

export interface CardActions {
  go(id: string): void;
  /** Shift a card by some pixels. */
  shift(key: string, dx: number, dy: number): void;
  /** The card was let go. */
  drop(): void;
  point(key: string | null): void;
}

function place(state: State, facts: Facts): HTMLElement {
  const own = facts.kind === TOKEN || facts.kind === LOGIT;
  return h(
    "span",
    "wbx-row-place",
    `${shortLayer(facts)} `,
    !own && h("span", "wb-token", tokenAt(facts, state.graph.info)),
    h("sub", {}, facts.position),
  );
}

function single(state: State, facts: Facts): HTMLElement {
  return h(
    "div",
    "wbx-card-head",
    glyph(facts.kind),
    h("span", { class: "wbx-card-name", title: nameOf(facts) }, nameOf(facts)),
    place(state, facts),
  );
}

function several(state: State, name: string, members: Facts[], go: (id: string) => void): HTMLElement[] {
  const field = nameField(
    name,
    { class: "wbx-card-field", title: name, "aria-label": "Name of this supernode", testid: "supernode-name" },
    (text) => state.renameGroup(name, text),
    (field) => field.closest<HTMLElement>("[data-card]")?.focus(),
  );
  const rows = members.slice(0, MEMBERS).map((facts) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          class: "wbx-card-member",
          ...carries(facts.id),
          "aria-label": sentence(facts, state.graph.info),
          title: nameOf(facts),
          onpointerenter: () => state.hover(facts.id),
          onpointerleave: () => state.hover(null),
          onclick: () => go(facts.id),
        },
        glyph(facts.kind, 9),
        h("span", "wbx-card-name", nameOf(facts)),
        place(state, facts),
      ),
    ),
  );
  const more = members.length - MEMBERS;
  return [
    h(
      "div",
      "wbx-card-head",
      h("span", { class: "wbx-carry", title: "Drag it onto sliders", ...carriesGroup(name) }, "⠿"),
      field,
      h(
        "button",
        {
          class: "wbx-card-close",
          "aria-label": `Ungroup ${name}`,
          title: "Ungroup",
          testid: "ungroup-card",
          onclick: () => state.ungroup(name),
        },
        "×",
      ),
    ),
    h("ul", "wbx-card-members", ...rows, more > 0 && h("li", "wb-muted", `and ${more} more`)),
  ];
}

/** Return a card that can be dragged, walked to and shifted with the arrow keys. */
export function cardElement(state: State, card: Card, actions: CardActions): HTMLElement {
  const { members, group, key } = card;
  const choose = () => {
    if (group === null) actions.go(members[0]!.id);
    else
      state.set(
        "selected_ids",
        members.map(({ id }) => id),
      );
  };
  const shift = (dx: number, dy: number) => (event: KeyboardEvent) => {
    const by = event.shiftKey ? 4 * STEP : STEP;
    actions.shift(key, dx * by, dy * by);
    actions.drop();
  };
  const name =
    group === null
      ? sentence(members[0]!, state.graph.info)
      : `Supernode ${group} of ${members.length} node${members.length === 1 ? "" : "s"}`;
  const keys = onKeys({
    Enter: choose,
    ArrowLeft: shift(-1, 0),
    ArrowRight: shift(1, 0),
    ArrowUp: shift(0, -1),
    ArrowDown: shift(0, 1),
  });
  const element = h(
    "div",
    {
      class: `wbx-card${group === null ? "" : " wbx-card-group"}`,
      role: "group",
      tabindex: 0,
      "aria-label": `${name}. Enter selects, arrow keys shift the card.`,
      "data-card": key,
      "data-kind": group === null ? members[0]!.kind : "group",
      onkeydown: (event) => {
        if (event.target === element) keys(event);
      },
      onpointerenter: () => actions.point(key),
      onpointerleave: () => actions.point(null),
      onfocus: () => actions.point(key),
      onblur: () => actions.point(null),
    },
    ...(group === null ? [single(state, members[0]!)] : several(state, group, members, actions.go)),
  );
  letDrag(element, key, choose, actions);
  return element;
}

function letDrag(element: HTMLElement, key: string, choose: () => void, actions: CardActions): void {
  let from: { x: number; y: number } | null = null;
  let dragged = false;
  on(element, {
    pointerdown: (event) => {
      if (event.button !== 0 || (event.target as Element).closest("button, input, [draggable]")) return;
      from = { x: event.clientX, y: event.clientY };
      dragged = false;
      element.setPointerCapture?.(event.pointerId);
    },
    pointermove: (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (!dragged && Math.hypot(dx, dy) <= DRAG) return;
      dragged = true;
      from = { x: event.clientX, y: event.clientY };
      actions.shift(key, dx, dy);
    },
    pointerup: () => {
      if (!from) return;
      from = null;
      if (dragged) actions.drop();
      else choose();
    },
    pointercancel: () => {
      from = null;
      actions.drop();
    },
  });
}
