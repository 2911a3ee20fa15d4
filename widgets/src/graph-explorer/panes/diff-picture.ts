/** A small picture of what changed: tokens from left to right, layers from bottom to top, larger for a larger change. */

import { h, on } from "../../kit/dom";
import { svg } from "../../kit/svg";
import { type Info, LOGIT, TOKEN } from "../data";
import { visible } from "../describe";
import { type Changed, type Difference, relativeTo, type Where } from "./diff-data";

const WIDTH = 640;
const HEIGHT = 190;
const MARGIN = { left: 34, right: 8, top: 8, bottom: 20 };
const LARGEST = 7;
const SMALLEST = 1.5;

interface Actions {
  point: (id: string | null) => void;
  choose: (id: string, add: boolean) => void;
}

/** Return a shape around a point: a filled circle is only here, a ring only there, a triangle points to the change. */
function shape(where: Where, x: number, y: number, radius: number, change: number): SVGElement {
  if (where !== "both") return svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: radius.toFixed(1) });
  const up = change < 0 ? -radius : radius;
  const points = [
    [x, y - up],
    [x + radius, y + up],
    [x - radius, y + up],
  ];
  return svg("polygon", { points: points.map((point) => point.map((value) => value.toFixed(1)).join()).join(" ") });
}

/** Return the sign of where a node is, for keys and tables. */
export function sign(where: Where): SVGElement {
  const drawn = shape(where, 6, 6, 4, 1);
  drawn.setAttribute("class", `wbx-diff-${where}`);
  return svg(
    "svg",
    { width: 12, height: 12, viewBox: "0 0 12 12", class: "wbx-diff-sign", "aria-hidden": "true" },
    drawn,
  );
}

/** Return the row of a node in the picture: tokens below the layers, outputs above them. */
const level = ({ kind, layer }: Changed, layers: number) =>
  kind === TOKEN ? 0 : kind === LOGIT ? layers + 1 : layer + 1;

/** Return the column of a node: that of its token here; a token of the other prompt alone stands where it is there. */
const column = ({ positionA, positionB }: Changed) => (positionA >= 0 ? positionA : positionB);

/** Return the places of the nodes; those of one token and layer stand side by side, as far as there is room. */
export function places(rows: Changed[], columns: number, layers: number): { x: number; y: number }[] {
  const width = (WIDTH - MARGIN.left - MARGIN.right) / Math.max(columns, 1);
  const height = (HEIGHT - MARGIN.top - MARGIN.bottom) / (layers + 2);
  const cells = new Map<string, number[]>();
  rows.forEach((row, at) => {
    const cell = `${column(row)}/${level(row, layers)}`;
    cells.set(cell, [...(cells.get(cell) ?? []), at]);
  });
  const found = new Array<{ x: number; y: number }>(rows.length);
  for (const inside of cells.values()) {
    const step = Math.min(6, (width * 0.8) / inside.length);
    inside.forEach((at, place) => {
      const row = rows[at]!;
      found[at] = {
        x: MARGIN.left + width * (column(row) + 0.5) + step * (place - (inside.length - 1) / 2),
        y: HEIGHT - MARGIN.bottom - height * (level(row, layers) + 0.5),
      };
    });
  }
  return found;
}

export class Picture {
  readonly element: HTMLElement;
  readonly #svg: SVGElement;
  readonly #dots = svg("g", {});
  readonly #difference: Difference;
  readonly #layers: number;
  readonly #columns: number;

  constructor(difference: Difference, info: Info, actions: Actions) {
    this.#difference = difference;
    this.#layers = info.n_layers;
    this.#columns = Math.max(info.tokens.length, difference.info.tokens.length);
    this.#svg = svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": "Where the nodes are that changed: tokens from left to right, layers from bottom to top.",
        class: "wbx-diff-svg",
      },
      ...this.#frame(info),
      this.#dots,
    );
    const idOf = ({ target }: Event) => (target as Element).closest<SVGElement>("[data-id]")?.dataset.id ?? null;
    on(this.#svg, {
      pointerover: (event) => actions.point(idOf(event)),
      pointerleave: () => actions.point(null),
      click: (event) => {
        const id = idOf(event);
        if (id !== null) actions.choose(id, event.ctrlKey || event.metaKey || event.shiftKey);
      },
    });
    this.element = h("div", { class: "wbx-diff-picture", testid: "diff-picture" }, this.#svg);
  }

  draw(rows: Changed[]): void {
    const size = relativeTo(this.#difference.rows);
    const at = places(rows, this.#columns, this.#layers);
    // The largest first: a small one that stands on a large one can be met too.
    const dots = rows.map((row, number) => {
      const { x, y } = at[number]!;
      const radius = SMALLEST + (LARGEST - SMALLEST) * Math.sqrt(size(row));
      const dot = shape(row.where, x, y, radius, row.change);
      dot.setAttribute("class", `wbx-diff-${row.where} wbx-diff-${row.change < 0 ? "less" : "more"}`);
      dot.dataset.id = row.id;
      return dot;
    });
    this.#dots.replaceChildren(...dots);
  }

  mark(hovered: string | null, selected: string[]): void {
    for (const dot of this.#dots.children) {
      const { id } = (dot as SVGElement).dataset;
      dot.classList.toggle("wbx-pointed", id === hovered);
      dot.classList.toggle("wbx-diff-selected", selected.includes(id!));
    }
  }

  #frame(info: Info): SVGElement[] {
    const text = (content: string, x: number, y: number, anchor: string) => {
      const element = svg("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor });
      element.textContent = content;
      return element;
    };
    const width = (WIDTH - MARGIN.left - MARGIN.right) / Math.max(this.#columns, 1);
    const height = (HEIGHT - MARGIN.top - MARGIN.bottom) / (this.#layers + 2);
    const y = (row: number) => HEIGHT - MARGIN.bottom - height * (row + 0.5) + 3;
    const last = this.#layers - 1;
    const rows: [string, number][] = [
      ["emb", 0],
      ["L0", 1],
      [`L${last}`, last + 1],
      ["out", this.#layers + 1],
    ];
    // Names that would stand on each other are left out: those of the first and last row say enough.
    const named = height >= 9 ? rows : [rows[0]!, rows[3]!];
    const room = Math.max(Math.floor(width / 6), 1);
    const every = Math.ceil(16 / Math.max(width, 1));
    return [
      svg("path", {
        class: "wbx-diff-axis",
        d: `M${MARGIN.left} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}H${WIDTH - MARGIN.right}`,
      }),
      ...named.map(([name, row]) => text(name, MARGIN.left - 5, y(row), "end")),
      ...info.tokens.flatMap((token, at) =>
        at % every > 0
          ? []
          : [
              text(
                [...visible(token)].slice(0, room * every).join(""),
                MARGIN.left + width * (at + 0.5),
                HEIGHT - 7,
                "middle",
              ),
            ],
      ),
    ];
  }
}
