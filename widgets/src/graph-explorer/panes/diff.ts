/** Two graphs beside each other: which nodes are in one alone, and whose influence changed most. */

import { fill, h } from "../../kit/dom";
import { plain, signed } from "../../kit/format";
import { type Facts, LOGIT, type Other, TOKEN } from "../data";
import { kindOf, nameOf, shortLayer, visible } from "../describe";
import { glyph } from "../glyph";
import type { MakePane, Pane } from "../panes";
import type { Change, State } from "../state";
import { type Changed, type Difference, relativeTo, WHERE, type Where } from "./diff-data";
import { Picture, sign } from "./diff-picture";
import { type Column, type Grid, makeGrid } from "./grid";

const n = (value: number) => value.toLocaleString("en");

const WORDS: Record<Where, string> = { a: "only here", b: "only there", both: "in both" };

/** Return a changed node as a node of this graph; one of the other graph alone stands where its token would. */
export function factsOf(row: Changed, labels: Record<string, string>): Facts {
  const { id, kind, layer, feature } = row;
  return {
    id,
    kind,
    layer,
    feature,
    position: row.positionA >= 0 ? row.positionA : row.positionB,
    token: row.tokenA === row.tokenB || row.tokenB === "" ? row.tokenA : row.tokenA || row.tokenB,
    label: labels[id] ?? row.label,
    activation: null,
    influence: null,
    probability: null,
  };
}

class DiffPane implements Pane {
  readonly key = "diff";
  readonly name = "Difference";
  readonly element = h("div", { class: "wbx-diff", testid: "diff" });
  readonly #state: State;
  readonly #grid: Grid<Changed> | null = null;
  readonly #picture: Picture | null = null;
  readonly #shown = new Set<Where>(WHERE);
  readonly #count = h("span", { class: "wb-muted", role: "status", testid: "diff-count" });

  constructor(state: State, go: (id: string) => void) {
    this.#state = state;
    const { difference } = state;
    if (difference === null) {
      fill(this.element, ...this.#explanation());
      return;
    }
    const choose = (id: string, add: boolean) => (add ? state.select(id, true) : go(id));
    this.#picture = new Picture(difference, state.graph.info, {
      point: (id) => state.hover(id !== null && state.graph.index.has(id) ? id : null),
      choose: (id, add) => state.graph.index.has(id) && choose(id, add),
    });
    this.#grid = makeGrid<Changed>({
      label: "Nodes that differ, the largest change first",
      columns: this.#columns(difference),
      sorting: { key: "size", direction: "descending" },
      id: ({ id }) => id,
      selectable: ({ id }) => state.graph.index.has(id),
      isSelected: (id) => state.selected.includes(id),
      point: (id) => state.hover(id !== null && state.graph.index.has(id) ? id : null),
      choose,
      pin: (id) => state.graph.index.has(id) && state.togglePin(id),
    });
    fill(
      this.element,
      this.#prompts(difference.info),
      h("div", "wbx-pane-bar", ...WHERE.map((where) => this.#toggle(where, difference)), this.#signs(), this.#count),
      !difference.info.same_features &&
        h(
          "p",
          "wbx-note",
          "The graphs are of different transcoders, whose features cannot be matched: the others are compared.",
        ),
      this.#picture.element,
      this.#grid.element,
    );
  }

  show(): void {
    const { difference } = this.#state;
    if (difference === null) return;
    const rows = difference.rows.filter(({ where }) => this.#shown.has(where));
    const all = Object.values(difference.info.counts).reduce((sum, count) => sum + count, 0);
    this.#count.textContent = `${n(rows.length)} of ${n(all)} nodes, those that changed most`;
    this.#picture?.draw(rows);
    this.#picture?.mark(this.#state.hovered, this.#state.selected);
    this.#grid?.mark(this.#state.hovered);
    this.#grid?.setRows(rows);
  }

  follow(change: Change): void {
    const { hovered, selected } = this.#state;
    if (change === "hovered_id" || change === "selected_ids") this.#picture?.mark(hovered, selected);
    if (change === "hovered_id") this.#grid?.mark(hovered);
    else if (change === "selected_ids" || change === "labels") this.#grid?.refresh();
  }

  dispose(): void {
    this.#grid?.dispose();
  }

  #explanation(): HTMLElement[] {
    return [
      h("p", "wbx-hint", "There is no other graph to compare with. In Python:"),
      h("pre", "wbx-code", 'bench.explore(graph, other=bench.attribute("…"), view="diff")'),
    ];
  }

  /** Both prompts, with the tokens that are not the same. */
  #prompts(other: Other): HTMLElement {
    const { info } = this.#state.graph;
    const line = (name: string, tokens: string[], against: string[]) =>
      h(
        "div",
        "wbx-diff-prompt",
        h("b", {}, name),
        h(
          "span",
          {},
          ...tokens.map((token, at) =>
            h(
              "span",
              { class: `wb-token${token === against[at] ? "" : " wbx-diff-token"}`, dir: "auto" },
              visible(token),
            ),
          ),
        ),
      );
    return h(
      "div",
      { class: "wbx-diff-prompts", testid: "diff-prompts" },
      line("Here", info.tokens, other.tokens),
      line("There", other.tokens, info.tokens),
    );
  }

  #signs(): HTMLElement {
    const line = (colour: string) => h("i", `wbx-line wbx-${colour}`);
    return h("span", "wbx-key", line("positive"), "more there", line("negative"), "less there");
  }

  #toggle(where: Where, difference: Difference): HTMLElement {
    const input = h("input", {
      type: "checkbox",
      checked: true,
      testid: `diff-${where}`,
      onchange: () => {
        if (input.checked) this.#shown.add(where);
        else this.#shown.delete(where);
        this.show();
      },
    });
    return h(
      "label",
      "wbx-key wbx-toggle",
      input,
      sign(where),
      `${WORDS[where]} (${n(difference.info.counts[where])})`,
    );
  }

  #columns(difference: Difference): Column<Changed>[] {
    const { info } = this.#state.graph;
    const size = relativeTo(difference.rows);
    const facts = (row: Changed) => factsOf(row, this.#state.labels);
    const number = (value: number) => (Number.isNaN(value) ? "–" : plain(value));
    const unknown = "Cut off by pruning there, or nothing";
    const value = (amount: number) =>
      Number.isNaN(amount) ? h("span", { title: unknown }, "–") : h("span", {}, number(amount));
    return [
      {
        key: "where",
        title: "Where",
        cell: ({ where }) => h("span", "wbx-cell-node", sign(where), WORDS[where]),
        value: ({ where }) => WORDS[where],
      },
      {
        key: "node",
        title: "Node",
        cell: (row) => {
          const own = facts(row);
          const swapped = row.tokenA !== "" && row.tokenB !== "" && row.tokenA !== row.tokenB && row.kind === TOKEN;
          const name = swapped ? `${visible(row.tokenA)} → ${visible(row.tokenB)}` : nameOf(own);
          return h(
            "span",
            { class: "wbx-cell-node", title: `${name} · ${kindOf(own)} · ${row.id}` },
            glyph(row.kind, 10),
            h("span", "wbx-row-name", name),
          );
        },
        value: (row) => nameOf(facts(row)),
      },
      {
        key: "layer",
        title: "Layer",
        cell: (row) => shortLayer(facts(row)),
        value: ({ kind, layer }) => (kind === TOKEN ? -1 : layer),
      },
      {
        key: "token",
        title: "Token",
        cell: (row) => {
          const text = row.positionA >= 0 ? info.tokens[row.positionA] : difference.info.tokens[row.positionB];
          return h(
            "span",
            "wbx-row-place",
            h("span", "wb-token", visible(text ?? "")),
            h("sub", {}, facts(row).position),
          );
        },
        value: (row) => facts(row).position,
      },
      { key: "here", title: "Here", hint: "Influence here", cell: ({ a }) => value(a), value: ({ a }) => a },
      { key: "there", title: "There", hint: "Influence there", cell: ({ b }) => value(b), value: ({ b }) => b },
      {
        key: "size",
        title: "Change",
        hint: "Influence there minus influence here; of an output, of its probability. Sorted by size.",
        cell: (row) => {
          const { change, kind, a, b } = row;
          const bar = h("span", { class: `wbx-bar wbx-${change < 0 ? "negative" : "positive"}` });
          bar.style.setProperty("--wb-size", String(size(row)));
          const title = kind === LOGIT ? "of the probability" : "of the influence";
          return h(
            "span",
            { class: "wbx-cell-bar", title },
            bar,
            h("span", {}, `${Number.isNaN(a + b) ? "≈" : ""}${signed(change)}`),
          );
        },
        value: ({ change }) => Math.abs(change),
      },
    ];
  }
}

export const diffPane: MakePane = (state, go) => new DiffPane(state, go);
