/** The field that finds nodes, and the list of those that it found. */

import { fill, h, uid } from "../kit/dom";
import { onKeys } from "../kit/keyboard";
import { nameOf, sentence, shortLayer, tokenAt } from "./describe";
import { glyph } from "./glyph";
import { matches } from "./search";
import type { State } from "./state";

/** As many as anyone reads; who wants another one types another letter. */
const ROWS = 40;

export interface Found {
  /** Other nodes fit; all of them, in the order of the list. */
  mark(nodes: number[]): void;
  /** The node under the cursor of the list. */
  point(id: string | null): void;
  choose(id: string, add: boolean): void;
}

export function makeSearchBox(state: State, found: Found) {
  const status = h("div", { class: "wbx-search-count wb-muted", role: "status" });
  let ids: string[] = [];
  let at = -1;

  const id = uid("found");
  const list = h("ul", { id, class: "wbx-found", role: "listbox", "aria-label": "Nodes found" });
  const input = h("input", {
    type: "search",
    class: "wbx-search-field",
    placeholder: "Find a node",
    title: "Find nodes by label, token or id (/)",
    role: "combobox",
    "aria-label": "Find nodes by label, token or id",
    "aria-autocomplete": "list",
    "aria-controls": id,
    "aria-expanded": "false",
    autocomplete: "off",
    spellcheck: "false",
    testid: "search",
    oninput: () => search(),
    onfocus: () => search(),
    onblur: () => close(),
    onkeydown: onKeys({
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Enter: (event) => choose(ids[Math.max(at, 0)], event.shiftKey),
      Escape: () => giveUp(),
    }),
  });
  const panel = h(
    "div",
    // A press on the list must not take the focus from the field, which would close the list.
    { class: "wbx-search-panel", hidden: true, onpointerdown: (event) => event.preventDefault() },
    status,
    list,
  );
  const element = h("div", { class: "wbx-search", role: "search" }, input, panel);

  function focus(): void {
    input.focus();
    input.select();
  }

  function search(): void {
    const nodes = matches(state, input.value);
    found.mark(nodes);
    const { graph } = state;
    ids = nodes.slice(0, ROWS).map((node) => graph.ids[node]!);
    at = -1;
    fill(list, ...ids.map((id) => option(id)));
    const some = nodes.length > ROWS ? `The best ${ROWS} of ${nodes.length.toLocaleString("en")} nodes` : null;
    const none = nodes.length === 0 ? "No node has this label, token or id." : null;
    status.textContent = some ?? none ?? `${nodes.length} node${nodes.length === 1 ? "" : "s"}`;
    const open = input.value.trim() !== "";
    panel.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    input.removeAttribute("aria-activedescendant");
  }

  function option(id: string): HTMLElement {
    const facts = state.facts(id)!;
    return h(
      "li",
      {
        id: uid("option"),
        role: "option",
        class: "wbx-option",
        "aria-selected": "false",
        "aria-label": sentence(facts, state.graph.info),
        "data-id": id,
        onpointerenter: () => found.point(id),
        onpointerleave: () => found.point(null),
        onclick: (event) => choose(id, (event as MouseEvent).shiftKey),
      },
      glyph(facts.kind, 10),
      h("span", "wbx-row-name", nameOf(facts)),
      h(
        "span",
        "wbx-row-place",
        `${shortLayer(facts)} `,
        h("span", "wb-token", tokenAt(facts, state.graph.info)),
        h("sub", {}, facts.position),
      ),
    );
  }

  function move(by: number): void {
    if (panel.hidden) search();
    if (ids.length === 0) return;
    const options = list.children;
    options[at]?.setAttribute("aria-selected", "false");
    const from = at < 0 && by < 0 ? 0 : at;
    at = (from + by + ids.length) % ids.length;
    const option = options[at]!;
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView?.({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
    found.point(ids[at]!);
  }

  function choose(id: string | undefined, add: boolean): void {
    if (id === undefined) return;
    found.choose(id, add);
    if (!add) close();
  }

  /** The first Esc closes the list, the next one forgets what was searched for. */
  function giveUp(): void {
    if (panel.hidden) {
      input.value = "";
      found.mark([]);
    }
    close();
  }

  function close(): void {
    if (!panel.hidden) found.point(null);
    panel.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  return { element, focus };
}
