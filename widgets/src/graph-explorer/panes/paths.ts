/** The best paths between nodes: Python finds them in the whole graph, and each is a chain of chips. */

import { fill, h, uid } from "../../kit/dom";
import { percent } from "../../kit/format";
import { Notice } from "../../kit/notice";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import type { Facts } from "../data";
import type { Pane } from "../panes";
import type { Change, State } from "../state";
import type { PathQuery } from "../traits";
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

export function pathsPane(state: State, go: (id: string) => void): Pane {
  const key = "paths";
  const name = "Paths";
  const notice = new Notice();
  const ends = h("div", "wbx-path-ends");
  const list = h("div", { class: "wbx-path-list", testid: "paths-found" });
  /** The question that the answer belongs to, as JSON. */
  let askedFor = "";
  let answer: Found = { kind: "asking", slow: false };

  const actions: ChainActions = {
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
  const count = choice(
    "paths-k",
    "How many paths",
    ["3", "5", "10", "20", "50"].map((k) => [k, `${k} best paths`]),
    (value) => ask({ k: Number(value) }),
  );
  const signs = choice("paths-sign", "Of which sign", SIGNS, (value) =>
    ask({ sign: value === "" ? null : (value as "+" | "-") }),
  );
  const element = h(
    "div",
    { class: "wbx-paths", testid: "paths" },
    h("div", "wbx-pane-bar", ends, count, signs),
    notice.element,
    list,
  );

  function show(): void {
    const query = state.pathQuery;
    const asked = JSON.stringify(query);
    if (asked !== askedFor || answer.kind === "no kernel" || answer.kind === "failed") {
      askedFor = asked;
      void find(query, asked);
    }
    update();
  }

  function follow(change: Change): void {
    if (change === "hovered_id") mark();
    else if (change === "path_query") show();
    else if (change === "selected_ids" || change === "labels") update();
  }

  function dispose(): void {
    askedFor = "";
  }

  function ask(change: Partial<PathQuery>): void {
    state.set("path_query", { ...state.pathQuery, ...change });
  }

  async function find(query: PathQuery, asked: string): Promise<void> {
    const asking: Found = { kind: "asking", slow: false };
    answer = asking;
    notice.clear();
    const onSlow = () => {
      asking.slow = true;
      if (askedFor === asked) update();
    };
    let found: Found;
    try {
      const { result } = await state.ask<Answer>("paths", { ...query }, { onSlow });
      state.learn(result.nodes);
      found = { kind: "found", paths: result.paths };
    } catch (error) {
      // A newer question took this one's place, or the view is gone.
      if (error instanceof Superseded || askedFor !== asked) return;
      found = { kind: error instanceof NoKernel ? "no kernel" : "failed" };
      if (found.kind === "failed") notice.error(messageOf(error));
    }
    if (askedFor !== asked) return;
    answer = found;
    update();
  }

  function update(): void {
    const { source, target, k, sign } = state.pathQuery;
    count.value = String(k);
    if (count.value !== String(k)) {
      count.append(h("option", { value: k }, `${k} best paths`));
      count.value = String(k);
    }
    signs.value = sign ?? "";
    fill(
      ends,
      end("source", "From", source, "the tokens"),
      h("span", { class: "wbx-path-arrow", "aria-hidden": "true" }, "→"),
      end("target", "To", target, "the most probable output"),
      between(),
    );
    drawList();
    mark();
  }

  /** One end of the paths: which nodes it is, and the button that takes the selected ones. */
  function end(end: "source" | "target", title: string, ids: string[], none: string): HTMLElement {
    const { selected } = state;
    const name = (id: string) => {
      const facts = state.facts(id);
      return facts ? chip(facts, state, actions) : h("code", {}, id);
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
          onclick: () => ask({ [end]: [...selected] }),
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
            onclick: () => ask({ [end]: [] }),
          },
          "×",
        ),
    );
  }

  /** Of two selected nodes the lower one is where paths begin. */
  function between(): HTMLElement | null {
    const { selected } = state;
    if (selected.length !== 2) return null;
    const depth = (id: string) => {
      const facts = state.facts(id);
      return facts ? (id.startsWith("t/") ? -1 : facts.layer) : 0;
    };
    const [low, high] = [...selected].sort((a, b) => depth(a) - depth(b)) as [string, string];
    return h(
      "button",
      {
        class: "wbx-button",
        testid: "paths-between",
        onclick: () => ask({ source: [low], target: [high] }),
      },
      "Between the two selected",
    );
  }

  function drawList(): void {
    const hint = (text: string, testid = "paths-note") =>
      h("p", { class: "wbx-hint", role: "status", testid: testid }, text);
    const found = answer;
    if (found.kind === "no kernel") {
      fill(list, hint("No kernel to ask: paths are found in Python, in the whole graph. Run the cell again."));
    } else if (found.kind === "failed") {
      fill(list, hint("Choose other ends: paths lead upwards, and end at a feature or an output."));
    } else if (found.kind === "asking") {
      fill(list, hint(found.slow ? "Asking Python for the best paths …" : ""));
    } else if (found.paths.length === 0) {
      fill(list, hint("No path of the graph leads from there to there."));
    } else {
      const most = Math.abs(found.paths[0]!.share);
      const sum = found.paths.reduce((total, { share }) => total + share, 0);
      fill(
        list,
        h(
          "ol",
          { class: "wbx-chains", "aria-label": "Best paths" },
          ...found.paths.map((path) => chain(path, most, state, actions)),
        ),
        hint(
          `A path’s share is the product of its edges’ shares; these ${found.paths.length} sum to ${percent(sum)}.`,
          "paths-sum",
        ),
      );
    }
  }

  /** Mark the chips of the node under the pointer and those of the selected nodes. */
  function mark(): void {
    const { hovered, selected } = state;
    for (const button of element.querySelectorAll<HTMLElement>(".wbx-node-chip")) {
      button.classList.toggle("wbx-pointed", hovered !== null && button.dataset.id === hovered);
      button.setAttribute("aria-pressed", String(selected.includes(button.dataset.id!)));
    }
  }

  return { key, name, element, show, follow, dispose };
}
