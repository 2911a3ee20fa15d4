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

export class SearchBox {
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #found: Found;
  readonly #input: HTMLInputElement;
  readonly #list: HTMLUListElement;
  readonly #status = h("div", { class: "wbx-search-count wb-muted", role: "status" });
  readonly #panel: HTMLElement;
  #ids: string[] = [];
  #at = -1;

  constructor(state: State, found: Found) {
    this.#state = state;
    this.#found = found;
    const id = uid("found");
    this.#list = h("ul", { id, class: "wbx-found", role: "listbox", "aria-label": "Nodes found" });
    this.#input = h("input", {
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
      oninput: () => this.#search(),
      onfocus: () => this.#search(),
      onblur: () => this.#close(),
      onkeydown: onKeys({
        ArrowDown: () => this.#move(1),
        ArrowUp: () => this.#move(-1),
        Enter: (event) => this.#choose(this.#ids[Math.max(this.#at, 0)], event.shiftKey),
        Escape: () => this.#escape(),
      }),
    });
    this.#panel = h(
      "div",
      // A press on the list must not take the focus from the field, which would close the list.
      { class: "wbx-search-panel", hidden: true, onpointerdown: (event) => event.preventDefault() },
      this.#status,
      this.#list,
    );
    this.element = h("div", { class: "wbx-search", role: "search" }, this.#input, this.#panel);
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  #search(): void {
    const nodes = matches(this.#state, this.#input.value);
    this.#found.mark(nodes);
    const { graph } = this.#state;
    this.#ids = nodes.slice(0, ROWS).map((node) => graph.ids[node]!);
    this.#at = -1;
    fill(this.#list, ...this.#ids.map((id) => this.#option(id)));
    const some = nodes.length > ROWS ? `The best ${ROWS} of ${nodes.length.toLocaleString("en")} nodes` : null;
    const none = nodes.length === 0 ? "No node has this label, token or id." : null;
    this.#status.textContent = some ?? none ?? `${nodes.length} node${nodes.length === 1 ? "" : "s"}`;
    const open = this.#input.value.trim() !== "";
    this.#panel.hidden = !open;
    this.#input.setAttribute("aria-expanded", String(open));
    this.#input.removeAttribute("aria-activedescendant");
  }

  #option(id: string): HTMLElement {
    const facts = this.#state.facts(id)!;
    return h(
      "li",
      {
        id: uid("option"),
        role: "option",
        class: "wbx-option",
        "aria-selected": "false",
        "aria-label": sentence(facts, this.#state.graph.info),
        "data-id": id,
        onpointerenter: () => this.#found.point(id),
        onpointerleave: () => this.#found.point(null),
        onclick: (event) => this.#choose(id, (event as MouseEvent).shiftKey),
      },
      glyph(facts.kind, 10),
      h("span", "wbx-row-name", nameOf(facts)),
      h(
        "span",
        "wbx-row-place",
        `${shortLayer(facts)} `,
        h("span", "wb-token", tokenAt(facts, this.#state.graph.info)),
        h("sub", {}, facts.position),
      ),
    );
  }

  #move(by: number): void {
    if (this.#panel.hidden) this.#search();
    if (this.#ids.length === 0) return;
    const options = this.#list.children;
    options[this.#at]?.setAttribute("aria-selected", "false");
    const from = this.#at < 0 && by < 0 ? 0 : this.#at;
    this.#at = (from + by + this.#ids.length) % this.#ids.length;
    const option = options[this.#at]!;
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView?.({ block: "nearest" });
    this.#input.setAttribute("aria-activedescendant", option.id);
    this.#found.point(this.#ids[this.#at]!);
  }

  #choose(id: string | undefined, add: boolean): void {
    if (id === undefined) return;
    this.#found.choose(id, add);
    if (!add) this.#close();
  }

  /** The first Esc closes the list, the next one forgets what was searched for. */
  #escape(): void {
    if (this.#panel.hidden) {
      this.#input.value = "";
      this.#found.mark([]);
    }
    this.#close();
  }

  #close(): void {
    if (!this.#panel.hidden) this.#found.point(null);
    this.#panel.hidden = true;
    this.#at = -1;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }
}
