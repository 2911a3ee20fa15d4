/** The OperandGrid widget: features over all pairs of operands, one small heat map each. */

import type { AnyModel, RenderProps } from "@anywidget/types";
import { fill, h } from "../kit/dom";
import { count, plain } from "../kit/format";
import { claimKeys } from "../kit/keyboard";
import { watchTheme } from "../kit/theme";
import { Tip } from "../kit/tip";
import { Large } from "./large";
import { gradient, ramp } from "./ramp";
import { Smalls } from "./small";
import {
  type Cell,
  cellOf,
  families,
  type Grid,
  type Grids,
  nameOf,
  ordered,
  read,
  type Sorting,
  type State,
  valueAt,
} from "./state";
import { Tables } from "./table";

const SORTINGS: Sorting[] = ["family", "score", "layer", "maximum"];

class OperandGrid {
  readonly #model: AnyModel<State>;
  readonly #el: HTMLElement;
  readonly #root: HTMLElement;
  readonly #title = h("span", "grid-title");
  readonly #sort: HTMLSelectElement;
  readonly #family: HTMLSelectElement;
  readonly #scale: HTMLSelectElement;
  readonly #count = h("span", { class: "wb-muted", role: "status", testid: "count" });
  readonly #ramp = h("i", "grid-ramp");
  readonly #top = h("span");
  readonly #tip = new Tip();
  readonly #smalls: Smalls;
  readonly #large: Large;
  readonly #tables: Tables;
  readonly #cleanups: (() => void)[] = [];
  #grids: Grids = { a: [], b: [], all: [], maximum: 0 };
  #colours = ramp(false);

  constructor(model: AnyModel<State>, el: HTMLElement) {
    this.#model = model;
    this.#el = el;
    const select = (name: string, trait: "sort" | "family" | "scale") => {
      const element = h("select", {
        "aria-label": name,
        testid: trait,
        onchange: () => this.#set({ [trait]: element.value }),
      });
      return element;
    };
    this.#sort = select("Sort by", "sort");
    this.#family = select("Family", "family");
    this.#scale = select("Scale", "scale");
    fill(this.#sort, ...SORTINGS.map((name) => h("option", { value: name }, name)));
    fill(this.#scale, h("option", { value: "own" }, "own maximum"), h("option", { value: "shared" }, "shared maximum"));
    const point = (grid: Grid, cell: Cell, box: DOMRect) => this.#point(grid, cell, box);
    const leave = () => this.#tip.hide();
    this.#smalls = new Smalls({ choose: (grid, cell) => this.#choose(grid, cell), point, leave });
    this.#large = new Large({ choose: (cell) => this.#choose(this.#selected, cell), point, leave });
    this.#tables = new Tables((grid) => this.#choose(grid, null));
    const field = (label: string, element: Node) => h("label", "grid-field", h("span", {}, label), element);
    this.#root = h(
      "section",
      { class: "wb wb-frame operand-grid", "aria-label": "Operand grids", testid: "operand-grid" },
      h(
        "header",
        "grid-header",
        this.#title,
        this.#count,
        h(
          "div",
          "grid-tools",
          field("Sort by", this.#sort),
          field("Family", this.#family),
          field("Scale", this.#scale),
          h("span", { class: "grid-legend wb-muted", testid: "legend" }, "0", this.#ramp, this.#top),
        ),
      ),
      h("div", "grid-body", this.#smalls.element, this.#large.element),
      this.#tables.element,
      this.#tip.element,
    );
  }

  show(): () => void {
    this.#el.replaceChildren(this.#root);
    const listeners: Partial<Record<keyof State, () => void>> = {
      values: () => this.#load(),
      sort: () => this.#list(),
      family: () => this.#list(),
      scale: () => this.#paint(),
      selected: () => this.#mark(),
      cell: () => this.#mark(),
    };
    for (const [name, changed] of Object.entries(listeners)) {
      this.#model.on(`change:${name}`, changed);
      this.#cleanups.push(() => this.#model.off(`change:${name}` as never, changed));
    }
    this.#load();
    this.#cleanups.push(
      () => this.#tip.hide(),
      claimKeys(this.#root),
      watchTheme(this.#root, ({ dark }) => {
        this.#colours = ramp(dark);
        this.#ramp.style.background = gradient(dark);
        this.#paint();
      }),
    );
    return () => {
      for (const end of this.#cleanups) end();
    };
  }

  /** The grid that is enlarged: the selected one, or the first. */
  get #selected(): Grid {
    const selected = this.#model.get("selected");
    const chosen = selected && this.#grids.all.find((grid) => nameOf(grid) === `${selected[0]}/${selected[1]}`);
    return chosen ?? this.#shown[0] ?? this.#grids.all[0]!;
  }

  get #shown(): Grid[] {
    return ordered(this.#grids.all, this.#model.get("sort"), this.#model.get("family"));
  }

  #set(changes: Partial<State>): void {
    for (const [name, value] of Object.entries(changes)) this.#model.set(name as keyof State, value as never);
    this.#model.save_changes();
  }

  #choose(grid: Grid, cell: Cell | null): void {
    const chosen: [number, number] = [grid.layer, grid.feature];
    const old = this.#model.get("selected");
    const changes: Partial<State> = old?.[0] === chosen[0] && old?.[1] === chosen[1] ? {} : { selected: chosen };
    if (cell) changes.cell = [this.#grids.a[cell.row]!, this.#grids.b[cell.column]!];
    this.#set(changes);
  }

  #load(): void {
    const get = <K extends keyof State>(name: K): State[K] => this.#model.get(name);
    this.#grids = read({ axes: get("axes"), features: get("features"), values: get("values") });
    fill(
      this.#title,
      h("b", {}, "Operands of "),
      h("code", "wb-token", get("template")),
      h("span", "wb-muted", " at "),
      h("bdi", {}, get("role")),
    );
    fill(
      this.#family,
      h("option", { value: "" }, "all families"),
      ...families(this.#grids.all).map(([name, members]) => h("option", { value: name }, `${name} (${members})`)),
    );
    this.#list();
  }

  #list(): void {
    const shown = this.#shown;
    this.#sort.value = this.#model.get("sort");
    this.#family.value = this.#model.get("family");
    fill(this.#count, count(shown.length, "feature"));
    this.#smalls.show(this.#grids, shown, this.#model.get("sort"));
    this.#mark();
  }

  #mark(): void {
    const selected = this.#selected;
    this.#root.dataset.selected = nameOf(selected);
    this.#smalls.select(selected);
    this.#large.show(this.#grids, selected, this.#model.get("template"));
    this.#large.select(cellOf(this.#grids, this.#model.get("cell")));
    this.#tables.show(this.#grids, this.#shown, selected);
    this.#paint();
  }

  #paint(): void {
    const shared = this.#model.get("scale") === "shared";
    this.#scale.value = this.#model.get("scale");
    this.#smalls.paint(this.#colours, shared);
    this.#large.paint(this.#colours, shared);
    fill(this.#top, shared ? plain(this.#grids.maximum) : "maximum of each");
  }

  #point(grid: Grid, cell: Cell, box: DOMRect): void {
    const [a, b] = [this.#grids.a[cell.row]!, this.#grids.b[cell.column]!];
    this.#tip.show(
      box,
      h("div", "wb-tip-row", h("span", {}, `a ${a}, b ${b}`), h("span", "wb-muted", `sum ${a + b}`)),
      h("div", "wb-tip-row", `feature ${nameOf(grid)}`, h("b", {}, plain(valueAt(this.#grids, grid, cell)))),
    );
  }
}

export default {
  render({ model, el }: RenderProps<State>): () => void {
    return new OperandGrid(model, el).show();
  },
};
