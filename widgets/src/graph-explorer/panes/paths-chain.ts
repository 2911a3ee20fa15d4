/** One path as a chain of chips, with the share of each edge between them. */

import { h } from "../../kit/dom";
import { percent } from "../../kit/format";
import { carries } from "../carry";
import { type Facts, LOGIT, TOKEN } from "../data";
import { nameOf, sentence, shortLayer, tokenAt } from "../describe";
import { glyph } from "../glyph";
import type { State } from "../state";

export interface Path {
  ids: string[];
  /** The signed product of the edges' shares. */
  share: number;
  edges: number[];
}

export interface ChainActions {
  point: (id: string | null) => void;
  choose: (id: string, add: boolean) => void;
  showInGraph: (ids: string[]) => void;
}

const signed = (share: number) => `${share < 0 ? "" : "+"}${percent(share)}`;

/** Return the button of a node: its shape, its name, and where it is. */
export function chip(facts: Facts, state: State, actions: ChainActions): HTMLButtonElement {
  const { info } = state.graph;
  const own = facts.kind === TOKEN || facts.kind === LOGIT;
  return h(
    "button",
    {
      class: "wbx-node-chip",
      ...carries(facts.id),
      "aria-pressed": "false",
      "aria-label": sentence(facts, info),
      title: `${nameOf(facts)} · ${shortLayer(facts)}, at ${tokenAt(facts, info)} (position ${facts.position})`,
      onpointerenter: () => actions.point(facts.id),
      onpointerleave: () => actions.point(null),
      onfocus: () => actions.point(facts.id),
      onblur: () => actions.point(null),
      onclick: (event) => {
        const { ctrlKey, metaKey, shiftKey } = event as MouseEvent;
        actions.choose(facts.id, ctrlKey || metaKey || shiftKey);
      },
    },
    glyph(facts.kind, 9),
    h("span", { class: own ? "wb-token" : undefined }, nameOf(facts)),
    h("small", "wb-muted", own ? facts.position : `${shortLayer(facts)}·${facts.position}`),
  );
}

/** Return a path as a row: its share, its nodes from source to target, and the button that shows it in the graph. */
export function chain(path: Path, most: number, state: State, actions: ChainActions): HTMLLIElement {
  const colour = path.share < 0 ? "negative" : "positive";
  const bar = h("span", { class: `wbx-bar wbx-${colour}` });
  bar.style.setProperty("--wb-size", String(most > 0 ? Math.abs(path.share) / most : 0));
  const parts = path.ids.flatMap((id, at) => {
    const facts = state.facts(id);
    const node = facts ? chip(facts, state, actions) : h("code", {}, id);
    if (at === 0) return [node];
    const share = path.edges[at - 1]!;
    const edge = h(
      "span",
      { class: `wbx-path-edge wbx-path-${share < 0 ? "negative" : "positive"}` },
      h("small", { title: "Share of the next node’s input" }, signed(share)),
      h("span", { "aria-hidden": "true" }, "→"),
    );
    return [edge, node];
  });
  return h(
    "li",
    "wbx-chain",
    h("div", "wbx-chain-share", h("b", {}, signed(path.share)), bar),
    h("div", "wbx-chain-nodes", ...parts),
    h(
      "button",
      {
        class: "wbx-button",
        title: "Select the nodes of this path and show the graph",
        testid: "paths-show",
        onclick: () => actions.showInGraph(path.ids),
      },
      "In the graph",
    ),
  );
}
