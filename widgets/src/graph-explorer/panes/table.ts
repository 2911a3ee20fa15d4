/** The drawn nodes as a table: what the canvas shows, for whoever would rather read, sort and filter. */

import { h } from "../../kit/dom";
import { percent, plain } from "../../kit/format";
import { LOGIT, TOKEN } from "../data";
import { kindOf, nameOf, shortLayer, tokenAt } from "../describe";
import { glyph, pinIcon } from "../glyph";
import type { MakePane, Pane } from "../panes";
import type { Change, State } from "../state";
import { type Column, Grid, PINS } from "./grid";
import { fits, type Row, rowsOf } from "./table-rows";

const n = (value: number) => value.toLocaleString("en");

class TablePane implements Pane {
  readonly key = "table";
  readonly name = "Table";
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #grid: Grid<Row>;
  readonly #filter: HTMLInputElement;
  readonly #count = h("span", { class: "wb-muted", role: "status", testid: "table-count" });

  constructor(state: State, go: (id: string) => void) {
    this.#state = state;
    this.#grid = new Grid<Row>({
      label: `Drawn nodes of the graph of ${state.graph.info.prompt}`,
      columns: this.#columns(),
      sorting: { key: "influence", direction: "descending" },
      id: ({ facts }) => facts.id,
      isSelected: (id) => state.selected.includes(id),
      point: (id) => state.hover(id),
      choose: (id, add) => (add ? state.select(id, true) : go(id)),
      pin: (id) => state.togglePin(id),
    });
    this.#filter = h("input", {
      type: "search",
      class: "wbx-filter",
      placeholder: "Filter by name, token, kind, layer or id",
      "aria-label": "Filter the table",
      testid: "table-filter",
      spellcheck: "false",
      autocomplete: "off",
      oninput: () => this.show(),
      onkeydown: (event) => {
        if ((event as KeyboardEvent).key !== "Escape" || this.#filter.value === "") return;
        this.#filter.value = "";
        this.show();
        event.stopPropagation();
      },
    });
    this.element = h(
      "div",
      { class: "wbx-table", testid: "table" },
      h("div", "wbx-pane-bar", this.#filter, this.#count),
      this.#grid.element,
    );
  }

  show(): void {
    const { graph } = this.#state;
    const all = rowsOf(this.#state, this.#state.shown.nodes);
    const rows = all.filter((row) => fits(row, this.#filter.value, graph.info));
    const drawn = `${n(all.length)} drawn node${all.length === 1 ? "" : "s"}`;
    this.#count.textContent = rows.length === all.length ? drawn : `${n(rows.length)} of ${drawn}`;
    this.#grid.mark(this.#state.hovered);
    this.#grid.setRows(rows);
  }

  follow(change: Change): void {
    if (change === "hovered_id") this.#grid.mark(this.#state.hovered);
    else if (change === "selected_ids") {
      this.show();
      if (this.#state.current !== null) this.#grid.reveal(this.#state.current);
    } else if (change !== "connections" && change !== "history" && change !== "height") this.show();
  }

  dispose(): void {
    this.#grid.dispose();
  }

  #columns(): Column<Row>[] {
    const { info } = this.#state.graph;
    const most = Math.max(...this.#state.graph.influence, 1e-9);
    const number = (value: number) => (Number.isNaN(value) ? "–" : plain(value));
    return [
      { key: "pin", title: "Pin", cell: ({ facts }) => this.#pin(facts.id) },
      {
        key: "node",
        title: "Node",
        cell: ({ facts }) =>
          h(
            "span",
            { class: "wbx-cell-node", title: `${nameOf(facts)} · ${facts.id}` },
            glyph(facts.kind, 10),
            h("span", "wbx-row-name", nameOf(facts)),
          ),
        value: ({ facts }) => nameOf(facts),
      },
      { key: "kind", title: "Kind", cell: ({ facts }) => kindOf(facts), value: ({ facts }) => kindOf(facts) },
      { key: "layer", title: "Layer", cell: ({ facts }) => shortLayer(facts), value: ({ depth }) => depth },
      {
        key: "token",
        title: "Token",
        hint: "The token that the node stands over, and its position",
        cell: ({ facts }) =>
          h("span", "wbx-row-place", h("span", "wb-token", tokenAt(facts, info)), h("sub", {}, facts.position)),
        value: ({ facts }) => facts.position,
      },
      {
        key: "activation",
        title: "Activation",
        cell: ({ facts }) => number(facts.activation ?? Number.NaN),
        value: ({ facts }) => facts.activation ?? Number.NaN,
      },
      {
        key: "influence",
        title: "Influence",
        hint: "Total effect on the logits over all paths; of a logit, its probability",
        cell: ({ facts, worth }) => {
          const bar = h("span", { class: `wbx-bar wbx-${facts.kind === LOGIT ? "logit" : "feature"}` });
          bar.style.setProperty("--wb-size", String(facts.kind === LOGIT ? worth : worth / most));
          const text = facts.kind === LOGIT ? percent(worth) : number(worth);
          return h("span", "wbx-cell-bar", bar, h("span", {}, text));
        },
        value: ({ worth }) => worth,
      },
      {
        key: "edges",
        title: "Edges",
        hint: "How many of the edges that came with the widget end and begin at the node",
        cell: ({ facts, incoming, outgoing }) =>
          `${facts.kind === TOKEN ? "–" : n(incoming)} / ${facts.kind === LOGIT ? "–" : n(outgoing)}`,
        value: ({ incoming, outgoing }) => incoming + outgoing,
      },
    ];
  }

  #pin(id: string): HTMLElement {
    const pinned = this.#state.pinned.includes(id);
    return h(
      "button",
      {
        class: "wbx-pin",
        tabindex: -1,
        "aria-pressed": String(pinned),
        "aria-label": pinned ? "Unpin" : "Pin",
        title: pinned ? "Unpin (P)" : "Pin (P)",
        [PINS]: true,
      },
      pinIcon(),
    );
  }
}

export const tablePane: MakePane = (state, go) => new TablePane(state, go);
