/** What follows from the edits: the next token, the features downstream, dose and response; one of them is shown. */

import type { AnyModel } from "@anywidget/types";
import { fill, h } from "../kit/dom";
import { Tabs } from "../kit/tabs";
import { Bars } from "./bars";
import { Changes } from "./changes";
import { CurvePane } from "./curve";
import { type Asked, CLEAN, type Curve, type KnockOn, type Pane, type Result, type State, same } from "./state";

export interface PanesActions {
  show: (pane: Pane) => void;
  /** Draw another control. */
  another: () => void;
  sweep: (slider: string) => void;
  cancel: () => void;
}

export class Panes {
  readonly tabs: HTMLElement;
  readonly elements: HTMLElement[];
  readonly #model: AnyModel<State>;
  readonly #tabs: Tabs;
  readonly #bars: Bars;
  readonly #changes = new Changes();
  readonly #curve: CurvePane;
  readonly #empty = h("p", "sliders-empty wb-muted");

  constructor(model: AnyModel<State>, actions: PanesActions) {
    this.#model = model;
    this.#bars = new Bars(actions.another);
    this.#curve = new CurvePane(actions);
    this.elements = [h("div", {}, this.#empty, this.#bars.element), this.#changes.element, this.#curve.element];
    const keys = ["tokens", "features", "curve"];
    const names = ["Next token", "Knock-on features", "Dose and response"];
    this.#tabs = new Tabs(
      keys.map((key, at) => ({ key, name: names[at]!, element: this.elements[at]! })),
      (pane) => actions.show(pane as Pane),
    );
    this.tabs = this.#tabs.element;
    this.tabs.setAttribute("aria-label", "What follows from the edits");
  }

  /** @param empty is said where there is no result yet; null where something else says why. */
  show(asked: Asked, disabled: boolean, empty: string | null): void {
    const pane = this.#tabs.show(this.#model.get("pane"));
    const result = this.#model.get("result");
    const shown = "tokens" in result;
    this.#bars.element.hidden = !shown;
    if (shown) this.#bars.show(result as Result);
    this.#empty.hidden = shown || empty === null;
    fill(this.#empty, empty);
    if (pane === "features") {
      const changes = this.#model.get("knock_on");
      this.#changes.show("rows" in changes ? (changes as KnockOn) : null, same(changes, asked));
    }
    if (pane === "curve") this.#showCurve(asked, disabled);
  }

  /** Show how long the model took. */
  time(seconds: number): void {
    this.#bars.time(seconds);
  }

  /** Choose a slider for the next sweep. */
  choose(slider: string): void {
    this.#curve.choose(slider);
  }

  #showCurve(asked: Asked, disabled: boolean): void {
    const curve = this.#model.get("curve");
    const swept = "factors" in curve ? (curve as Curve) : null;
    // The slider that was swept may stand anywhere; the curve is of the others' values.
    const own = Object.fromEntries((swept?.linked ?? []).map((id) => [id, asked.values[id] ?? CLEAN]));
    const current = swept !== null && same({ ...swept, values: { ...swept.values, ...own } }, asked);
    this.#curve.show(swept, this.#model.get("nodes"), current, disabled);
  }
}
