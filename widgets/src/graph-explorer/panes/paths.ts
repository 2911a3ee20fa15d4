/** The best paths between nodes: Python finds them in the whole graph, and each is a chain of chips. */

import { fill, h, uid } from "../../kit/dom";
import { percent } from "../../kit/format";
import { Notice } from "../../kit/notice";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import type { Facts } from "../data";
import type { MakePane, Pane } from "../panes";
import type { Change, PathQuery, State } from "../state";
import { type ChainActions, chain, chip, type Path } from "./paths-chain";

interface Answer {
  paths: Path[];
  nodes: Facts[];
}

/** What is known of the paths that are asked for. */
type Found =
  | { kind: "asking"; slow: boolean }
  | { kind: "found"; paths: Path[] }
  | { kind: "no kernel" }
  | { kind: "failed" };

const SIGNS: [value: string, text: string][] = [
  ["", "of either sign"],
  ["+", "that push up"],
  ["-", "that hold back"],
];

class PathsPane implements Pane {
  readonly key = "paths";
  readonly name = "Paths";
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #actions: ChainActions;
  readonly #notice = new Notice();
  readonly #ends = h("div", "wbx-path-ends");
  readonly #list = h("div", { class: "wbx-path-list", testid: "paths-found" });
  readonly #count: HTMLSelectElement;
  readonly #sign: HTMLSelectElement;
  /** The question that the answer belongs to, as JSON. */
  #asked = "";
  #found: Found = { kind: "asking", slow: false };

  constructor(state: State, go: (id: string) => void) {
    this.#state = state;
    this.#actions = {
      point: (id) => state.hover(id),
      choose: (id, add) => (add ? state.select(id, true) : go(id)),
      showInGraph: (ids) => {
        state.set("selected_ids", ids);
        state.set("view", "graph");
      },
    };
    const choice = (testid: string, label: string, options: [string, string][], change: (value: string) => void) => {
      const select = h(
        "select",
        { id: uid(testid), "aria-label": label, testid: testid, onchange: () => change(select.value) },
        ...options.map(([value, text]) => h("option", { value }, text)),
      );
      return select;
    };
    this.#count = choice(
      "paths-k",
      "How many paths",
      ["3", "5", "10", "20", "50"].map((k) => [k, `${k} best paths`]),
      (value) => this.#ask({ k: Number(value) }),
    );
    this.#sign = choice("paths-sign", "Of which sign", SIGNS, (value) =>
      this.#ask({ sign: value === "" ? null : (value as "+" | "-") }),
    );
    this.element = h(
      "div",
      { class: "wbx-paths", testid: "paths" },
      h("div", "wbx-pane-bar", this.#ends, this.#count, this.#sign),
      this.#notice.element,
      this.#list,
    );
  }

  show(): void {
    const query = this.#state.pathQuery;
    const asked = JSON.stringify(query);
    if (asked !== this.#asked || this.#found.kind === "no kernel" || this.#found.kind === "failed") {
      this.#asked = asked;
      void this.#find(query, asked);
    }
    this.#update();
  }

  follow(change: Change): void {
    if (change === "hovered_id") this.#mark();
    else if (change === "path_query") this.show();
    else if (change === "selected_ids" || change === "labels") this.#update();
  }

  dispose(): void {
    this.#asked = "";
  }

  #ask(change: Partial<PathQuery>): void {
    this.#state.set("path_query", { ...this.#state.pathQuery, ...change });
  }

  async #find(query: PathQuery, asked: string): Promise<void> {
    const asking: Found = { kind: "asking", slow: false };
    this.#found = asking;
    this.#notice.clear();
    const onSlow = () => {
      asking.slow = true;
      if (this.#asked === asked) this.#update();
    };
    let found: Found;
    try {
      const { result } = await this.#state.ask<Answer>("paths", { ...query }, { onSlow });
      this.#state.learn(result.nodes);
      found = { kind: "found", paths: result.paths };
    } catch (error) {
      // A newer question took this one's place, or the view is gone.
      if (error instanceof Superseded || this.#asked !== asked) return;
      found = { kind: error instanceof NoKernel ? "no kernel" : "failed" };
      if (found.kind === "failed") this.#notice.error(messageOf(error));
    }
    if (this.#asked !== asked) return;
    this.#found = found;
    this.#update();
  }

  #update(): void {
    const { source, target, k, sign } = this.#state.pathQuery;
    this.#count.value = String(k);
    if (this.#count.value !== String(k)) {
      this.#count.append(h("option", { value: k }, `${k} best paths`));
      this.#count.value = String(k);
    }
    this.#sign.value = sign ?? "";
    fill(
      this.#ends,
      this.#end("source", "From", source, "the tokens"),
      h("span", { class: "wbx-path-arrow", "aria-hidden": "true" }, "→"),
      this.#end("target", "To", target, "the most probable output"),
      this.#between(),
    );
    this.#element();
    this.#mark();
  }

  /** One end of the paths: which nodes it is, and the button that takes the selected ones. */
  #end(end: "source" | "target", title: string, ids: string[], none: string): HTMLElement {
    const { selected } = this.#state;
    const name = (id: string) => {
      const facts = this.#state.facts(id);
      return facts ? chip(facts, this.#state, this.#actions) : h("code", {}, id);
    };
    return h(
      "div",
      { class: "wbx-path-end", role: "group", "aria-label": title, testid: `paths-${end}` },
      h("b", {}, title),
      ...(ids.length === 0 ? [h("span", {}, none)] : ids.slice(0, 3).map(name)),
      ids.length > 3 && h("span", "wb-muted", `and ${ids.length - 3} more`),
      h(
        "button",
        {
          class: "wbx-button",
          disabled: selected.length === 0,
          title: selected.length === 0 ? "Select nodes first" : "Take the selected nodes",
          testid: `paths-${end}-selected`,
          onclick: () => this.#ask({ [end]: [...selected] }),
        },
        "Use selected",
      ),
      ids.length > 0 &&
        h(
          "button",
          {
            class: "wbx-button wbx-round",
            "aria-label": `${title} ${none}`,
            title: `Back to ${none}`,
            testid: `paths-${end}-clear`,
            onclick: () => this.#ask({ [end]: [] }),
          },
          "×",
        ),
    );
  }

  /** Of two selected nodes the lower one is where paths begin. */
  #between(): HTMLElement | null {
    const { selected } = this.#state;
    if (selected.length !== 2) return null;
    const depth = (id: string) => {
      const facts = this.#state.facts(id);
      return facts ? (id.startsWith("t/") ? -1 : facts.layer) : 0;
    };
    const [low, high] = [...selected].sort((a, b) => depth(a) - depth(b)) as [string, string];
    return h(
      "button",
      {
        class: "wbx-button",
        testid: "paths-between",
        onclick: () => this.#ask({ source: [low], target: [high] }),
      },
      "Between the two selected",
    );
  }

  #element(): void {
    const hint = (text: string, testid = "paths-note") =>
      h("p", { class: "wbx-hint", role: "status", testid: testid }, text);
    const found = this.#found;
    if (found.kind === "no kernel") {
      fill(this.#list, hint("No kernel to ask: paths are found in Python, in the whole graph. Run the cell again."));
    } else if (found.kind === "failed") {
      fill(this.#list, hint("Choose other ends: paths lead upwards, and end at a feature or an output."));
    } else if (found.kind === "asking") {
      fill(this.#list, hint(found.slow ? "Asking Python for the best paths …" : ""));
    } else if (found.paths.length === 0) {
      fill(this.#list, hint("No path of the graph leads from there to there."));
    } else {
      const most = Math.abs(found.paths[0]!.share);
      const sum = found.paths.reduce((total, { share }) => total + share, 0);
      fill(
        this.#list,
        h(
          "ol",
          { class: "wbx-chains", "aria-label": "Best paths" },
          ...found.paths.map((path) => chain(path, most, this.#state, this.#actions)),
        ),
        hint(
          `A path’s share is the product of its edges’ shares; these ${found.paths.length} sum to ${percent(sum)}.`,
          "paths-sum",
        ),
      );
    }
  }

  /** Mark the chips of the node under the pointer and those of the selected nodes. */
  #mark(): void {
    const { hovered, selected } = this.#state;
    for (const button of this.element.querySelectorAll<HTMLElement>(".wbx-node-chip")) {
      button.classList.toggle("wbx-pointed", hovered !== null && button.dataset.id === hovered);
      button.setAttribute("aria-pressed", String(selected.includes(button.dataset.id!)));
    }
  }
}

export const pathsPane: MakePane = (state, go) => new PathsPane(state, go);
