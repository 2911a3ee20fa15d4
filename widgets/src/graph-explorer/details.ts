/** The pane beside the graph: the node that was selected last, what feeds it and what it feeds. */

import { copy } from "../kit/clipboard";
import { fill, h } from "../kit/dom";
import { count, percent, plain, signed } from "../kit/format";
import { Notice } from "../kit/notice";
import type { End, Known } from "./answers";
import { carries, carriesGroup } from "./carry";
import { type Facts, FEATURE, LOGIT, TOKEN } from "./data";
import { kindOf, layerOf, meaningOf, nameOf, numbersOf, tokenAt, visible } from "./describe";
import { localEnd, mostInfluential } from "./ends";
import { glyph, pinIcon } from "./glyph";
import { groupOf } from "./groups";
import { nameField } from "./name-field";
import { nodeRow, type RowActions, type RowOptions } from "./rows";
import type { State } from "./state";

const n = (value: number) => value.toLocaleString("en");

/** @param drawn tells which nodes the graph draws at present. */
export function makeDetails(state: State, actions: RowActions, drawn: () => Uint8Array) {
  const element = h("section", { class: "wbx-details", "aria-label": "Details", testid: "details" });
  const notice = new Notice();
  let resting: ReturnType<typeof setTimeout> | undefined;

  function dispose(): void {
    clearTimeout(resting);
  }

  function update(): void {
    clearTimeout(resting);
    const id = state.current;
    const lists = element.querySelectorAll(".wbx-list");
    const kept = element.dataset.node === (id ?? "") ? [...lists].map((list) => list.scrollTop) : [];
    const focused = focusedPart();
    if (id === null) showOverview();
    else showNode(id);
    element.dataset.node = id ?? "";
    element.querySelectorAll(".wbx-list").forEach((list, at) => {
      // Setting it, even to nothing, costs a layout of all rows.
      if (kept[at]) list.scrollTop = kept[at];
    });
    if (focused) element.querySelector<HTMLElement>(focused)?.focus();
  }

  /** Other nodes are drawn: nothing is asked or built anew for the node that is shown. */
  function markDrawn(): void {
    clearTimeout(resting);
    if (state.current === null) {
      // The overview lists what is drawn; while the slider moves it would be built anew for every step.
      resting = setTimeout(() => update(), 120);
      return;
    }
    const nodes = drawn();
    for (const row of element.querySelectorAll<HTMLElement>(".wbx-row")) {
      const node = state.graph.index.get(row.dataset.id!);
      row.dataset.drawn = String(node !== undefined && nodes[node] === 1);
    }
  }

  /** Mark the rows of the node under the pointer. */
  function mark(id: string | null): void {
    for (const row of element.querySelectorAll<HTMLElement>(".wbx-row")) {
      row.classList.toggle("wbx-pointed", id !== null && row.dataset.id === id);
    }
  }

  /** Rebuilding the pane must not take the focus from the element that has it. */
  function focusedPart(): string | null {
    const active = document.activeElement;
    if (!(active instanceof HTMLElement) || !element.contains(active)) return null;
    if (active.dataset.testid) return `[data-testid="${active.dataset.testid}"]`;
    const list = active.closest<HTMLElement>("[data-testid]")?.dataset.testid;
    const id = active.dataset.id;
    return list && id ? `[data-testid="${list}"] [data-id="${CSS.escape(id)}"]` : null;
  }

  function showOverview(): void {
    const { graph } = state;
    const { info } = graph;
    const best = mostInfluential(graph, drawn(), 40);
    const most = Math.max(...best.map((node) => graph.influence[node]!), 1e-9);
    const score = (name: string, value: number | null, title: string) =>
      value !== null && h("span", { title }, `${name} `, h("b", {}, plain(value)));
    fill(
      element,
      h(
        "header",
        "wbx-header",
        h("div", "wbx-kind", info.model),
        h("div", "wbx-prompt", visible(info.prompt)),
        h(
          "div",
          "wbx-numbers",
          score("Replacement", info.replacement, "Share of the influence that begins at tokens, not at errors"),
          score("Completeness", info.completeness, "Influence-weighted share of the nodes’ input that is not error"),
        ),
      ),
      choice("Pinned", state.pinned, "pinned"),
      h(
        "p",
        "wbx-hint",
        "Click a node to see what feeds it and what it feeds. Shift-click adds one, a drag selects many, ",
        h("kbd", {}, "P"),
        " pins.",
      ),
      best.length > 0
        ? section(
            "Most influential",
            null,
            best.map((node) => {
              const value = graph.influence[node]!;
              return {
                id: graph.ids[node]!,
                value: plain(value),
                bar: { size: value / most, colour: "feature" as const },
              };
            }),
            "influential",
          )
        : h("p", "wbx-hint", "No node is drawn: draw more of the influence with the slider above."),
    );
  }

  function showNode(id: string): void {
    const known = state.connections(id);
    const facts = state.facts(id);
    if (known.kind === "failed") notice.error(`The connections of ${id} could not be had: ${known.message}`);
    else notice.clear();
    if (!facts) {
      const waiting = known.kind === "asking";
      fill(
        element,
        notice.element,
        h("p", "wbx-hint", waiting ? `Asking Python for ${id} …` : `The node ${id} is not drawn.`),
      );
      return;
    }
    const node = state.graph.index.get(id);
    const end = (direction: "incoming" | "outgoing"): End | null => {
      if (known.kind === "whole") return known.connections[direction];
      return node === undefined ? null : localEnd(state.graph, node, direction);
    };
    fill(
      element,
      choice("Selected", state.selected.length > 1 ? state.selected : [], "selected"),
      choice("Pinned", state.pinned, "pinned"),
      header(facts),
      notice.element,
      sourceNote(known),
      h(
        "div",
        "wbx-ends",
        edges("Incoming", facts, end("incoming"), known),
        edges("Outgoing", facts, end("outgoing"), known),
      ),
    );
  }

  function header(facts: Facts): HTMLElement {
    const { info } = state.graph;
    const pinned = state.pinned.includes(facts.id);
    const ownName = facts.kind === TOKEN || facts.kind === LOGIT;
    const label = nameField(
      visible(facts.label) === "∅" ? "" : facts.label,
      {
        class: `wbx-label${ownName ? " wbx-own-name" : ""}`,
        placeholder: ownName ? visible(facts.token) : facts.kind === FEATURE ? "Name this feature" : kindOf(facts),
        title: facts.label === "" ? "Click to name this node" : facts.label,
        "aria-label": "Label of this node",
        testid: "label",
      },
      (text) => state.setLabel(facts.id, text.trim()),
    );
    return h(
      "header",
      "wbx-header",
      h(
        "div",
        { class: "wbx-kind", title: "Drag it onto sliders", ...carries(facts.id) },
        glyph(facts.kind),
        `${kindOf(facts)} · ${layerOf(facts)}`,
        h(
          "button",
          {
            class: "wbx-pin",
            "aria-pressed": String(pinned),
            "aria-label": pinned ? "Unpin" : "Pin",
            title: pinned ? "Unpin (P)" : "Pin (P)",
            testid: "pin-node",
            onclick: () => state.togglePin(facts.id),
          },
          pinIcon(),
        ),
      ),
      label,
      supernode(facts.id),
      h(
        "div",
        "wbx-numbers",
        h("span", {}, "At ", h("span", "wb-token wbx-chip", tokenAt(facts, info)), ` position ${facts.position}`),
        ...numbersOf(facts).map(([name, value]) => h("span", {}, `${name} `, h("b", {}, value))),
        h(
          "button",
          {
            class: "wbx-id",
            title: "The node’s id in graph.nodes: click to copy it (C)",
            testid: "copy-id",
            onclick: () => void copy(facts.id),
          },
          facts.id,
        ),
      ),
      meaningOf(facts.kind) !== "" && h("p", "wbx-meaning", meaningOf(facts.kind)),
    );
  }

  /** The supernode of a node, to be renamed or left. */
  function supernode(id: string): HTMLElement | null {
    const group = groupOf(state.groups, id);
    if (!group) return null;
    const field = nameField(
      group.name,
      { class: "wbx-card-field", "aria-label": "Name of the supernode", testid: "group-name" },
      (text) => state.renameGroup(group.name, text),
    );
    const button = (text: string, title: string, testid: string, act: () => void) =>
      h("button", { class: "wbx-small", title, "aria-label": title, testid: testid, onclick: act }, text);
    return h(
      "div",
      { class: "wbx-supernode", role: "group", "aria-label": "Supernode" },
      h(
        "span",
        { class: "wb-muted wbx-carry", title: "Drag it onto sliders", ...carriesGroup(group.name) },
        `In (${group.ids.length})`,
      ),
      field,
      button("Leave", "Take this node out of the supernode", "leave-group", () => state.leave([id])),
      button("Ungroup", "Give the supernode up", "ungroup", () => state.ungroup(group.name)),
    );
  }

  /** Say where the lists come from when they are not the whole answer. */
  function sourceNote(known: Known): HTMLElement | null {
    const carried = `the ${n(state.graph.edges.size)} strongest edges, which came with the widget`;
    const note = (text: string) => h("p", { class: "wbx-note", testid: "source" }, text);
    if (known.kind === "no kernel") return note(`No kernel to ask: these are among ${carried}.`);
    if (known.kind === "failed") return note(`These are among ${carried}.`);
    if (known.kind === "asking" && known.slow) return note("Asking Python for all edges …");
    return null;
  }

  function edges(title: string, facts: Facts, end: End | null, known: Known): HTMLElement {
    if (!end || end.total === 0) {
      const reasons: Record<string, string> = {
        Incoming:
          facts.kind === FEATURE || facts.kind === LOGIT
            ? "No edge of the graph ends here."
            : "Nothing feeds this node: it is where influence begins.",
        Outgoing:
          facts.kind === LOGIT
            ? "Logits feed nothing: they are what is explained."
            : "No edge of the graph begins here.",
      };
      const whole = known.kind === "whole" || known.kind === "complete" || facts.kind === LOGIT;
      const text = whole || title === "Incoming" ? reasons[title]! : "None of the edges at hand begins here.";
      return h("section", "wbx-end wbx-empty", h("h4", {}, title), h("p", "wbx-hint", text));
    }
    const most = Math.max(...end.share.map(Math.abs), 1e-9);
    const rows = end.ids.map((id, at) => {
      const share = end.share[at]!;
      return {
        id,
        value: `${share < 0 ? "" : "+"}${percent(share)}`,
        hint: `weight ${signed(end.weight[at]!)}`,
        bar: { size: Math.abs(share) / most, colour: share < 0 ? ("negative" as const) : ("positive" as const) },
      };
    });
    const some =
      end.ids.length < end.total ? `${n(end.ids.length)} of ${count(end.total, "edge")}` : count(end.total, "edge");
    const sums = [
      some,
      title === "Incoming" && end.positive > 0 && `+${percent(end.positive)}`,
      title === "Incoming" && end.negative < 0 && percent(end.negative),
    ].filter(Boolean);
    return section(title, sums.join(" · "), rows, title.toLowerCase());
  }

  function section(
    title: string,
    note: string | null,
    rows: ({ id: string } & Omit<RowOptions, "drawn">)[],
    testid: string,
  ): HTMLElement {
    const { graph } = state;
    const nodes = drawn();
    const items = rows.flatMap(({ id, ...options }) => {
      const facts = state.facts(id);
      const node = graph.index.get(id);
      if (!facts) return [];
      return [nodeRow(facts, graph.info, { ...options, drawn: node !== undefined && nodes[node] === 1 }, actions)];
    });
    const explained =
      title === "Incoming"
        ? "Each source’s share of this node’s input; the sums are over all edges of the graph"
        : title === "Outgoing"
          ? "This node’s share of each target’s input"
          : "Total effect on the logits over all paths";
    return h(
      "section",
      "wbx-end",
      h("h4", { title: explained }, title, note !== null && h("span", "wb-muted", note)),
      h("ul", { class: "wbx-list", testid: testid, "aria-label": title }, ...items),
    );
  }

  /** Some nodes side by side, to choose whose details are shown. */
  function choice(title: string, ids: string[], testid: "selected" | "pinned"): HTMLElement | null {
    if (ids.length === 0) return null;
    const { current } = state;
    const chips = ids.slice(0, 60).flatMap((id) => {
      const facts = state.facts(id);
      if (!facts) return [];
      return [
        h(
          "button",
          {
            class: "wbx-node-chip",
            ...carries(id),
            "aria-current": id === current ? "true" : undefined,
            title: `${nameOf(facts)} · ${kindOf(facts)}, ${layerOf(facts)}, position ${facts.position}`,
            onpointerenter: () => actions.point(id),
            onpointerleave: () => actions.point(null),
            onfocus: () => actions.point(id),
            onblur: () => actions.point(null),
            onclick: () => (testid === "selected" ? state.bringForward(id) : actions.go(id)),
          },
          glyph(facts.kind, 9),
          h("span", {}, nameOf(facts)),
        ),
      ];
    });
    return h(
      "div",
      { class: "wbx-choice", role: "group", "aria-label": title, testid: testid },
      h("span", "wb-muted", `${title} (${ids.length})`),
      ...chips,
      ids.length > 60 && h("span", "wb-muted", `and ${n(ids.length - 60)} more`),
    );
  }

  return { element, dispose, update, markDrawn, mark };
}
