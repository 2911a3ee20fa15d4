/** The pinned nodes and the supernodes as cards, what runs between them, and how much they explain alone. */

import { fill, h } from "../../kit/dom";
import { percent, plain, signed } from "../../kit/format";
import { Notice } from "../../kit/notice";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import { svg } from "../../kit/svg";
import { FEATURE } from "../data";
import type { Pane } from "../panes";
import type { Change, State } from "../state";
import { start } from "../walk";
import { type CardActions, cardElement } from "./subgraph-card";
import { type Card, type CardEdge, cardsOf, localEdges, type Places, perRow, placeCards } from "./subgraph-cards";

interface Answer {
  replacement: number;
  completeness: number;
  edges: { source: string[]; target: string[]; weight: number[]; share: number[]; edges: number[] };
}

/** Edges that carry less are in the graph; here they would hide the rest. */
const LEAST = 0.005;
const MOST_EDGES = 80;
/** From this share on an edge has its number beside it; the others have it while their card is pointed at. */
const NUMBERED = 0.08;
const REBUILD: ReadonlySet<Change> = new Set<Change>(["pinned_ids", "supernodes", "labels", "card_positions"]);

/** Of the place around the cards, as its style has it. */
const PADDING = 10;

export function subgraphPane(state: State, go: (id: string) => void): Pane {
  const key = "subgraph";
  const name = "Subgraph";
  const scores = h("div", { class: "wbx-scores", testid: "subgraph-scores", "aria-live": "polite" });
  const notice = new Notice();
  const ground = h("div", "wbx-ground");
  const scroller = h("div", "wbx-ground-scroller", ground);
  const lines = svg("svg", { class: "wbx-lines-between", "aria-hidden": "true" });
  const observer = new ResizeObserver(() => {
    if (across === room()) drawEdges();
    else build();
  });
  /** How many cards may stand side by side in what was built. */
  let across = 0;
  let cards: Card[] = [];
  let elements = new Map<string, HTMLElement>();
  let placed: Places = { at: new Map(), width: 0, height: 0 };
  let between: CardEdge[] = [];
  /** What the edges and scores at hand were asked for. */
  let askedFor = "";
  const shifted = new Map<string, [number, number]>();
  let pointedAt: string | null = null;

  const actions: CardActions = {
    go,
    shift: (key, dx, dy) => shift(key, dx, dy),
    drop: () => drop(),
    point: (key) => point(key),
  };
  const button = (text: string, title: string, testid: string, act: () => void) =>
    h("button", { class: "wbx-button", title, testid: testid, onclick: act }, text);
  const suggest = button(
    "Suggest supernodes",
    "Group pinned features that play the same part; with none pinned, the most influential ones of the graph",
    "suggest",
    () => void askForGroups(),
  );
  const reset = button("Tidy up", "Put all cards back to where layer and position have them", "tidy", () =>
    state.set("card_positions", {}),
  );
  const element = h(
    "div",
    { class: "wbx-subgraph", testid: "subgraph" },
    h("div", "wbx-subgraph-bar", scores, suggest, reset),
    notice.element,
    scroller,
  );
  observer.observe(ground);
  observer.observe(scroller);

  function room(): number {
    return perRow(scroller.clientWidth - 2 * PADDING);
  }

  function show(): void {
    build();
  }

  function follow(change: Change): void {
    if (REBUILD.has(change)) build();
    else if (change === "selected_ids" || change === "hovered_id") mark();
  }

  function dispose(): void {
    observer.disconnect();
    askedFor = "";
  }

  function build(): void {
    const { graph, places } = state;
    const focused = (document.activeElement as HTMLElement | null)?.dataset.card;
    cards = cardsOf(state);
    across = room();
    placed = placeCards(cards, graph.info.n_layers, places, across);
    reset.disabled = Object.keys(places).length === 0;
    elements = new Map(cards.map((card) => [card.key, cardElement(state, card, actions)]));
    if (cards.length === 0) fill(ground, empty());
    else fill(ground, lines, ...elements.values());
    ground.style.minHeight = cards.length === 0 ? "" : `${placed.height}px`;
    ground.style.minWidth = cards.length === 0 ? "" : `${placed.width}px`;
    for (const [key, element] of elements) put(element, placed.at.get(key)!);
    if (focused) elements.get(focused)?.focus();
    mark();
    askForScores();
    drawEdges();
  }

  function empty(): HTMLElement {
    return h(
      "p",
      "wbx-hint wbx-subgraph-empty",
      "Pinned nodes and supernodes stand here as cards, with the summed edges between them. Pin nodes with ",
      h("kbd", {}, "P"),
      " or a Ctrl-click; hold ",
      h("kbd", {}, "G"),
      " and click nodes to group them.",
    );
  }

  /** Ask for the scores, and for the edges that did not come with the widget, when the cards are other ones. */
  function askForScores(): void {
    const { pinned, groups } = state;
    const asked = JSON.stringify([pinned, groups]);
    if (asked === askedFor) return;
    askedFor = asked;
    between = localEdges(state.graph, cards);
    if (cards.length === 0) {
      fill(scores);
      return;
    }
    say("…", "…");
    void scored(asked, { pinned, supernodes: groups });
  }

  async function scored(asked: string, params: Record<string, unknown>): Promise<void> {
    try {
      const { result } = await state.ask<Answer>("subgraph", params);
      if (asked !== askedFor) return;
      const { source, target, weight, share, edges } = result.edges;
      between = source.map((from, at) => ({
        source: from,
        target: target[at]!,
        weight: weight[at]!,
        share: share[at]!,
        edges: edges[at]!,
      }));
      say(plain(result.replacement), plain(result.completeness));
      drawEdges();
    } catch (error) {
      if (error instanceof Superseded || asked !== askedFor) return;
      say("–", "–");
      if (error instanceof NoKernel) {
        scores.append(" No kernel to ask: the edges are summed over those that came with the widget.");
      } else notice.error(`The scores could not be had: ${messageOf(error)}`);
    }
  }

  function say(replacement: string, completeness: string): void {
    const { info } = state.graph;
    const score = (name: string, value: string, whole: number | null, title: string) =>
      h(
        "span",
        { title },
        `${name} `,
        h("b", {}, value),
        whole !== null && h("span", "wb-muted", ` of ${plain(whole)}`),
      );
    fill(
      scores,
      score(
        "Replacement",
        replacement,
        info.replacement,
        "With every other feature taken for error; of the graph’s own",
      ),
      score(
        "Completeness",
        completeness,
        info.completeness,
        "With every other feature taken for error; of the graph’s own",
      ),
    );
  }

  async function askForGroups(): Promise<void> {
    const { graph, pinned } = state;
    const features = pinned.filter((id) => state.facts(id)?.kind === FEATURE);
    const among = features.length > 1 ? features : [];
    suggest.disabled = true;
    notice.clear();
    const onSlow = () => notice.tell("Comparing the features of the graph …");
    try {
      const { result } = await state.ask<{ name: string; ids: string[] }[]>("suggest", { among }, { onSlow });
      notice.clear();
      if (result.length === 0) notice.tell("No two of these features are alike enough to be grouped.");
      else if (pinned.length === 0) {
        // Groups alone would explain nothing: what they lead to belongs there.
        const best = graph.ids[start(graph, new Uint8Array(graph.size).fill(1))];
        state.set("pinned_ids", [best]);
      }
      state.addGroups(result);
    } catch (error) {
      if (error instanceof Superseded) return;
      if (error instanceof NoKernel) notice.error("No kernel to ask: supernodes are suggested by Python.");
      else notice.error(`No groups were suggested: ${messageOf(error)}`);
    } finally {
      suggest.disabled = false;
    }
  }

  function shift(key: string, dx: number, dy: number): void {
    const { clientWidth: width, clientHeight: height } = ground;
    const element = elements.get(key);
    const from = placed.at.get(key);
    if (!element || !from || width === 0 || height === 0) return;
    const within = (value: number, half: number) => Math.min(Math.max(value, half), 1 - half);
    const to: [number, number] = [
      within(from[0] + dx / width, Math.min(element.offsetWidth / width / 2, 0.5)),
      within(from[1] + dy / height, Math.min(element.offsetHeight / height / 2, 0.5)),
    ];
    placed.at.set(key, to);
    shifted.set(key, to);
    put(element, to);
    drawEdges();
  }

  function drop(): void {
    if (shifted.size === 0) return;
    const round = (value: number) => Math.round(value * 1e4) / 1e4;
    const moved = [...shifted].map(([key, [x, y]]) => [key, [round(x), round(y)]]);
    shifted.clear();
    state.set("card_positions", { ...state.places, ...Object.fromEntries(moved) });
  }

  function put(element: HTMLElement, [x, y]: [number, number]): void {
    element.style.left = `${100 * x}%`;
    element.style.top = `${100 * y}%`;
  }

  function point(key: string | null): void {
    pointedAt = key;
    const card = cards.find((other) => other.key === key);
    if (!card?.group) state.hover(card?.members[0]?.id ?? null);
    drawEdges();
  }

  /** Mark the cards of the selected nodes and of the node under the pointer. */
  function mark(): void {
    const { selected, hovered } = state;
    for (const { key, members } of cards) {
      const element = elements.get(key)!;
      element.dataset.selected = String(members.some(({ id }) => selected.includes(id)));
      element.dataset.pointed = String(members.some(({ id }) => id === hovered));
    }
  }

  function drawEdges(): void {
    const { clientWidth: width, clientHeight: height } = ground;
    const pointed = pointedAt;
    const shown = between.filter(({ share }) => Math.abs(share) >= LEAST).slice(0, MOST_EDGES);
    const centre = (key: string) => {
      const [x, y] = placed.at.get(key)!;
      return { x: x * width, y: y * height, half: (elements.get(key)?.offsetHeight ?? 0) / 2 };
    };
    const known = shown.filter(({ source, target }) => elements.has(source) && elements.has(target));
    const parts = known.flatMap((edge) => {
      const near = pointed !== null && (edge.source === pointed || edge.target === pointed);
      const [from, to] = [centre(edge.source), centre(edge.target)];
      const up = to.y < from.y;
      const [y0, y1] = up ? [from.y - from.half, to.y + to.half] : [from.y, to.y];
      const bend = up ? Math.max((y0 - y1) * 0.45, 12) : 0;
      const sign = edge.share < 0 ? "negative" : "positive";
      const strength = Math.sqrt(Math.min(Math.abs(edge.share), 1));
      const line = svg("path", {
        class: `wbx-between wbx-between-${sign}`,
        d: `M${from.x} ${y0}C${from.x} ${y0 - bend} ${to.x} ${y1 + bend} ${to.x} ${y1}`,
        "stroke-width": (0.8 + 5 * strength).toFixed(2),
        opacity: near ? 0.95 : pointed === null ? 0.25 + 0.55 * strength : 0.12,
        "data-edge": `${edge.source} ${edge.target}`,
      });
      if (!near && (pointed !== null || Math.abs(edge.share) < NUMBERED)) return [line];
      const number = svg("text", {
        class: "wbx-between-share",
        x: (from.x + to.x) / 2,
        y: (y0 + y1) / 2 + 4,
        "text-anchor": "middle",
      });
      number.textContent = `${edge.share < 0 ? "" : "+"}${percent(edge.share)}`;
      const title = svg("title", {});
      title.textContent = `weight ${signed(edge.weight)}, ${edge.edges} edge${edge.edges === 1 ? "" : "s"}`;
      number.append(title);
      return [line, number];
    });
    lines.replaceChildren(
      ...parts.filter((part) => part.tagName === "path"),
      ...parts.filter((part) => part.tagName === "text"),
    );
  }

  return { key, name, element, show, follow, dispose };
}
