/** The drawn nodes as a table: what the canvas shows, for whoever would rather read, sort and filter. */

import { h } from "../../kit/dom";
import { percent, plain } from "../../kit/format";
import { LOGIT, TOKEN } from "../data";
import { kindOf, nameOf, shortLayer, tokenAt } from "../describe";
import { glyph, pinIcon } from "../glyph";
import type { Pane } from "../panes";
import type { Change, State } from "../state";
import { type Column, makeGrid, PINS } from "./grid";
import { fits, type Row, rowsOf } from "./table-rows";

const n = (value: number) => value.toLocaleString("en");

export function tablePane(state: State, go: (id: string) => void): Pane {
  const key = "table";
  const name = "Table";
  const count = h("span", { class: "wb-muted", role: "status", testid: "table-count" });

  const grid = makeGrid<Row>({
    label: `Drawn nodes of the graph of ${state.graph.info.prompt}`,
    columns: columns(),
    sorting: { key: "influence", direction: "descending" },
    id: ({ facts }) => facts.id,
    isSelected: (id) => state.selected.includes(id),
    point: (id) => state.hover(id),
    choose: (id, add) => (add ? state.select(id, true) : go(id)),
    pin: (id) => state.togglePin(id),
  });
  const filter = h("input", {
    type: "search",
    class: "wbx-filter",
    placeholder: "Filter by name, token, kind, layer or id",
    "aria-label": "Filter the table",
    testid: "table-filter",
    spellcheck: "false",
    autocomplete: "off",
    oninput: () => show(),
    onkeydown: (event) => {
      if ((event as KeyboardEvent).key !== "Escape" || filter.value === "") return;
      filter.value = "";
      show();
      event.stopPropagation();
    },
  });
  const element = h(
    "div",
    { class: "wbx-table", testid: "table" },
    h("div", "wbx-pane-bar", filter, count),
    grid.element,
  );

  function show(): void {
    const { graph } = state;
    const all = rowsOf(state, state.shown.nodes);
    const rows = all.filter((row) => fits(row, filter.value, graph.info));
    const drawn = `${n(all.length)} drawn node${all.length === 1 ? "" : "s"}`;
    count.textContent = rows.length === all.length ? drawn : `${n(rows.length)} of ${drawn}`;
    grid.mark(state.hovered);
    grid.setRows(rows);
  }

  function follow(change: Change): void {
    if (change === "hovered_id") grid.mark(state.hovered);
    else if (change === "selected_ids") {
      show();
      if (state.current !== null) grid.reveal(state.current);
    } else if (change !== "connections" && change !== "history" && change !== "height") show();
  }

  function dispose(): void {
    grid.dispose();
  }

  function columns(): Column<Row>[] {
    const { info } = state.graph;
    const most = Math.max(...state.graph.influence, 1e-9);
    const number = (value: number) => (Number.isNaN(value) ? "–" : plain(value));
    return [
      { key: "pin", title: "Pin", cell: ({ facts }) => pin(facts.id) },
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

  function pin(id: string): HTMLElement {
    const pinned = state.pinned.includes(id);
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

  return { key, name, element, show, follow, dispose };
}
