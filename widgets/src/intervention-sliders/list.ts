/** The sliders one below the other, which of them move together, and the field that adds another one. */

import { fill, h, on, uid } from "../kit/dom";
import { count } from "../kit/format";
import { type Dropped, dropped, takes } from "./drops";
import { Row } from "./row";
import { ABLATED, CLEAN, linked, moved, type Slider, type State, unlinked, type Values } from "./state";

/** Milliseconds of rest after which the graph is asked for what fits the text that was written. */
const REST = 150;

export interface ListActions {
  /** Set values, links or both in one go. */
  set: (change: { values?: Values; links?: string[][] }) => void;
  hold: (held: boolean) => void;
  sweep: (id: string) => void;
  remove: (id: string) => void;
  add: (what: Dropped) => void;
  find: (text: string) => Promise<{ id: string; name: string }[]>;
}

export class List {
  readonly element: HTMLElement;
  readonly #rows = new Map<string, Row>();
  readonly #actions: ListActions;
  readonly #stops = uid("stops");
  readonly #title = h("span", "wb-muted");
  readonly #body = h("ul", "sliders-rows");
  readonly #add: HTMLElement;
  readonly #field: HTMLInputElement;
  readonly #offered = h("datalist", { id: uid("offered") });
  readonly #button: HTMLButtonElement;
  #values: Values = {};
  #links: string[][] = [];
  /** The slider that waits for another one to be linked with. */
  #linking: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(can: State["can"], actions: ListActions) {
    this.#actions = actions;
    this.#field = h("input", {
      type: "text",
      list: this.#offered.id,
      placeholder: "f/12/311/5, a token, a label …",
      "aria-label": "Add a slider: a node’s id, its token, its label, or a supernode",
      testid: "add",
      autocomplete: "off",
      oninput: () => this.#offer(),
      onfocus: () => this.#offer(),
      onkeydown: (event) => {
        if ((event as KeyboardEvent).key === "Enter") this.#take();
      },
    });
    this.#button = h("button", { onclick: () => this.#take() }, "Add");
    this.#add = h("div", { class: "sliders-add", hidden: !can.add }, this.#field, this.#offered, this.#button);
    this.element = h(
      "div",
      "sliders-left",
      h("h3", {}, "Features", this.#title),
      h(
        "datalist",
        { id: this.#stops },
        h("option", { value: ABLATED, label: "ablate" }),
        h("option", { value: CLEAN, label: "clean" }),
      ),
      this.#body,
      this.#add,
    );
    if (can.add) this.#takeDrops();
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#linking !== null) this.#showLinking(null);
    });
  }

  /** Show which sliders there are. */
  build(nodes: Slider[]): void {
    for (const id of this.#rows.keys()) if (!nodes.some((node) => node.id === id)) this.#rows.delete(id);
    for (const node of nodes) if (!this.#rows.has(node.id)) this.#rows.set(node.id, this.#row(node));
    this.#body.replaceChildren(...nodes.map((node) => this.#rows.get(node.id)!.element));
    for (const row of this.#rows.values()) row.alone = nodes.length === 1;
    this.#linking = null;
  }

  show(values: Values, links: string[][], disabled: boolean): void {
    this.#values = values;
    this.#links = links;
    for (const [id, row] of this.#rows) {
      row.show(values[id] ?? CLEAN);
      row.disabled = disabled;
    }
    this.#field.disabled = disabled;
    this.#button.disabled = disabled;
    this.#showLinking(disabled ? null : this.#linking);
  }

  #row(node: Slider): Row {
    const { id } = node;
    return new Row(node, this.#stops, {
      move: (factor) => {
        if (this.#values[id] !== factor) this.#actions.set({ values: moved(this.#values, this.#links, id, factor) });
      },
      hold: this.#actions.hold,
      link: () => this.#link(id),
      sweep: () => this.#actions.sweep(id),
      remove: () => this.#actions.remove(id),
    });
  }

  #link(id: string): void {
    const first = this.#linking;
    if (first === null) {
      if (this.#links.some((group) => group.includes(id))) this.#actions.set({ links: unlinked(this.#links, id) });
      else this.#showLinking(id);
      return;
    }
    this.#showLinking(null);
    if (first === id) return;
    const links = linked(this.#links, first, id);
    // What is linked takes the factor of the first.
    this.#actions.set({ links, values: moved(this.#values, links, first, this.#values[first] ?? CLEAN) });
  }

  #showLinking(id: string | null): void {
    this.#linking = id;
    for (const [other, row] of this.#rows) {
      const group = this.#links.findIndex((ids) => ids.includes(other));
      const chosen = id === null ? "none" : id === other ? "this" : "other";
      row.showLink(group < 0 ? "" : String.fromCharCode(65 + (group % 26)), chosen);
    }
    fill(
      this.#title,
      id === null
        ? ` ${count(this.#rows.size, "slider")}, factor of the clean activation`
        : " Choose the slider to link it with (Esc cancels)",
    );
  }

  #offer(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const found = await this.#actions.find(this.#field.value);
      fill(this.#offered, ...found.map(({ id, name }) => h("option", { value: id, label: `${id} ${name}` })));
    }, REST);
  }

  #take(): void {
    const ids = this.#field.value.split(/[\s,]+(?=[fs]\/)/).map((id) => id.trim());
    if (ids[0] === "") return;
    this.#actions.add({ sliders: ids, supernodes: [] });
    this.#field.value = "";
  }

  /** Nodes and supernodes that are dragged here get sliders. */
  #takeDrops(): void {
    const mark = (over: boolean) => this.element.toggleAttribute("data-drop", over);
    on(this.element, {
      dragover: (event) => {
        if (!takes(event.dataTransfer)) return;
        event.preventDefault();
        event.dataTransfer!.dropEffect = "copy";
        mark(true);
      },
      dragleave: () => mark(false),
      drop: (event) => {
        event.preventDefault();
        event.stopPropagation();
        mark(false);
        const what = event.dataTransfer && dropped(event.dataTransfer);
        if (what && what.sliders.length + what.supernodes.length > 0) this.#actions.add(what);
      },
    });
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }
}
