/** The same as tables: for who cannot see the grids, and for who wants the numbers. */

import { fill, h } from "../kit/dom";
import { plain } from "../kit/format";
import { type Grid, type Grids, nameOf, strongest, valueAt } from "./state";

const CELLS = 20;

export class Tables {
  readonly element = h("details", { class: "grid-tables", testid: "tables" });
  readonly #features = h("tbody");
  readonly #cells = h("tbody");
  readonly #of = h("caption");
  #draw = () => {};

  constructor(choose: (grid: Grid) => void) {
    this.#choose = choose;
    fill(
      this.element,
      h("summary", {}, "As tables"),
      h(
        "div",
        "grid-tables-columns",
        h(
          "div",
          { class: "grid-scroll", tabindex: 0, role: "region", "aria-label": "Features" },
          table(h("caption", {}, "Features"), ["feature", "family", "", "score", "maximum"], this.#features),
        ),
        h(
          "div",
          { class: "grid-scroll", tabindex: 0, role: "region", "aria-label": "Strongest cells" },
          table(this.#of, ["a", "b", "a + b", "activation"], this.#cells),
        ),
      ),
    );
    this.element.addEventListener("toggle", () => this.#draw());
  }

  readonly #choose: (grid: Grid) => void;

  show(grids: Grids, shown: Grid[], selected: Grid | null): void {
    this.#draw = () => {
      // Nobody reads a closed table.
      if (!this.element.open) return;
      fill(
        this.#features,
        ...shown.map((grid) =>
          h(
            "tr",
            { "aria-current": grid === selected },
            h("th", { scope: "row" }, this.#button(grid)),
            ...[grid.family, grid.detail, plain(grid.score), plain(grid.maximum)].map((text) => h("td", {}, text)),
          ),
        ),
      );
      fill(this.#of, selected ? `The strongest cells of ${nameOf(selected)}` : "The strongest cells");
      const cells = selected ? strongest(grids, selected, CELLS) : [];
      fill(
        this.#cells,
        ...cells.map((cell) => {
          const [a, b] = [grids.a[cell.row]!, grids.b[cell.column]!];
          const texts = [String(b), String(a + b), plain(valueAt(grids, selected!, cell))];
          return h("tr", {}, h("th", { scope: "row" }, a), ...texts.map((text) => h("td", {}, text)));
        }),
      );
    };
    this.#draw();
  }

  #button(grid: Grid): HTMLElement {
    return h("button", { onclick: () => this.#choose(grid) }, nameOf(grid));
  }
}

function table(caption: HTMLElement, heads: string[], body: HTMLElement): HTMLElement {
  const cell = (text: string) => (text === "" ? h("td", {}) : h("th", { scope: "col" }, text));
  return h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads.map(cell))), body);
}
