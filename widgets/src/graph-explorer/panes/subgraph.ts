/** The pinned nodes and the supernodes as cards, what runs between them, and how much they explain alone. */

import { fill, h } from "../../kit/dom";
import { percent, plain, signed } from "../../kit/format";
import { Notice } from "../../kit/notice";
import { messageOf, NoKernel, Superseded } from "../../kit/requests";
import { svg } from "../../kit/svg";
import { FEATURE } from "../data";
import type { MakePane, Pane } from "../panes";
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

class Subgraph implements Pane {
  readonly key = "subgraph";
  readonly name = "Subgraph";
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #actions: CardActions;
  readonly #scores = h("div", { class: "wbx-scores", testid: "subgraph-scores", "aria-live": "polite" });
  readonly #notice = new Notice();
  readonly #suggest: HTMLButtonElement;
  readonly #reset: HTMLButtonElement;
  readonly #ground = h("div", "wbx-ground");
  readonly #scroller = h("div", "wbx-ground-scroller", this.#ground);
  readonly #lines = svg("svg", { class: "wbx-lines-between", "aria-hidden": "true" });
  readonly #observer = new ResizeObserver(() => {
    if (this.#across === this.#room) this.#drawEdges();
    else this.#build();
  });
  /** How many cards may stand side by side in what was built. */
  #across = 0;
  #cards: Card[] = [];
  #elements = new Map<string, HTMLElement>();
  #places: Places = { at: new Map(), width: 0, height: 0 };
  #edges: CardEdge[] = [];
  /** What the edges and scores at hand were asked for. */
  #asked = "";
  #shifted = new Map<string, [number, number]>();
  #pointed: string | null = null;

  constructor(state: State, go: (id: string) => void) {
    this.#state = state;
    this.#actions = {
      go,
      shift: (key, dx, dy) => this.#shift(key, dx, dy),
      drop: () => this.#drop(),
      point: (key) => this.#point(key),
    };
    const button = (text: string, title: string, testid: string, act: () => void) =>
      h("button", { class: "wbx-button", title, testid: testid, onclick: act }, text);
    this.#suggest = button(
      "Suggest supernodes",
      "Group pinned features that play the same part; with none pinned, the most influential ones of the graph",
      "suggest",
      () => void this.#askForGroups(),
    );
    this.#reset = button("Tidy up", "Put all cards back to where layer and position have them", "tidy", () =>
      state.set("card_positions", {}),
    );
    this.element = h(
      "div",
      { class: "wbx-subgraph", testid: "subgraph" },
      h("div", "wbx-subgraph-bar", this.#scores, this.#suggest, this.#reset),
      this.#notice.element,
      this.#scroller,
    );
    this.#observer.observe(this.#ground);
    this.#observer.observe(this.#scroller);
  }

  get #room(): number {
    return perRow(this.#scroller.clientWidth - 2 * PADDING);
  }

  show(): void {
    this.#build();
  }

  follow(change: Change): void {
    if (REBUILD.has(change)) this.#build();
    else if (change === "selected_ids" || change === "hovered_id") this.#mark();
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#asked = "";
  }

  #build(): void {
    const { graph, places } = this.#state;
    const focused = (document.activeElement as HTMLElement | null)?.dataset.card;
    this.#cards = cardsOf(this.#state);
    this.#across = this.#room;
    this.#places = placeCards(this.#cards, graph.info.n_layers, places, this.#across);
    this.#reset.disabled = Object.keys(places).length === 0;
    this.#elements = new Map(this.#cards.map((card) => [card.key, cardElement(this.#state, card, this.#actions)]));
    if (this.#cards.length === 0) fill(this.#ground, this.#empty());
    else fill(this.#ground, this.#lines, ...this.#elements.values());
    this.#ground.style.minHeight = this.#cards.length === 0 ? "" : `${this.#places.height}px`;
    this.#ground.style.minWidth = this.#cards.length === 0 ? "" : `${this.#places.width}px`;
    for (const [key, element] of this.#elements) this.#put(element, this.#places.at.get(key)!);
    if (focused) this.#elements.get(focused)?.focus();
    this.#mark();
    this.#askForScores();
    this.#drawEdges();
  }

  #empty(): HTMLElement {
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
  #askForScores(): void {
    const { pinned, groups } = this.#state;
    const asked = JSON.stringify([pinned, groups]);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#edges = localEdges(this.#state.graph, this.#cards);
    if (this.#cards.length === 0) {
      fill(this.#scores);
      return;
    }
    this.#say("…", "…");
    void this.#scored(asked, { pinned, supernodes: groups });
  }

  async #scored(asked: string, params: Record<string, unknown>): Promise<void> {
    try {
      const { result } = await this.#state.ask<Answer>("subgraph", params);
      if (asked !== this.#asked) return;
      const { source, target, weight, share, edges } = result.edges;
      this.#edges = source.map((from, at) => ({
        source: from,
        target: target[at]!,
        weight: weight[at]!,
        share: share[at]!,
        edges: edges[at]!,
      }));
      this.#say(plain(result.replacement), plain(result.completeness));
      this.#drawEdges();
    } catch (error) {
      if (error instanceof Superseded || asked !== this.#asked) return;
      this.#say("–", "–");
      if (error instanceof NoKernel) {
        this.#scores.append(" No kernel to ask: the edges are summed over those that came with the widget.");
      } else this.#notice.error(`The scores could not be had: ${messageOf(error)}`);
    }
  }

  #say(replacement: string, completeness: string): void {
    const { info } = this.#state.graph;
    const score = (name: string, value: string, whole: number | null, title: string) =>
      h(
        "span",
        { title },
        `${name} `,
        h("b", {}, value),
        whole !== null && h("span", "wb-muted", ` of ${plain(whole)}`),
      );
    fill(
      this.#scores,
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

  async #askForGroups(): Promise<void> {
    const { graph, pinned } = this.#state;
    const features = pinned.filter((id) => this.#state.facts(id)?.kind === FEATURE);
    const among = features.length > 1 ? features : [];
    this.#suggest.disabled = true;
    this.#notice.clear();
    const onSlow = () => this.#notice.tell("Comparing the features of the graph …");
    try {
      const { result } = await this.#state.ask<{ name: string; ids: string[] }[]>("suggest", { among }, { onSlow });
      this.#notice.clear();
      if (result.length === 0) this.#notice.tell("No two of these features are alike enough to be grouped.");
      else if (pinned.length === 0) {
        // Groups alone would explain nothing: what they lead to belongs there.
        const best = graph.ids[start(graph, new Uint8Array(graph.size).fill(1))];
        this.#state.set("pinned_ids", [best]);
      }
      this.#state.addGroups(result);
    } catch (error) {
      if (error instanceof Superseded) return;
      if (error instanceof NoKernel) this.#notice.error("No kernel to ask: supernodes are suggested by Python.");
      else this.#notice.error(`No groups were suggested: ${messageOf(error)}`);
    } finally {
      this.#suggest.disabled = false;
    }
  }

  #shift(key: string, dx: number, dy: number): void {
    const { clientWidth: width, clientHeight: height } = this.#ground;
    const element = this.#elements.get(key);
    const from = this.#places.at.get(key);
    if (!element || !from || width === 0 || height === 0) return;
    const within = (value: number, half: number) => Math.min(Math.max(value, half), 1 - half);
    const to: [number, number] = [
      within(from[0] + dx / width, Math.min(element.offsetWidth / width / 2, 0.5)),
      within(from[1] + dy / height, Math.min(element.offsetHeight / height / 2, 0.5)),
    ];
    this.#places.at.set(key, to);
    this.#shifted.set(key, to);
    this.#put(element, to);
    this.#drawEdges();
  }

  #drop(): void {
    if (this.#shifted.size === 0) return;
    const round = (value: number) => Math.round(value * 1e4) / 1e4;
    const moved = [...this.#shifted].map(([key, [x, y]]) => [key, [round(x), round(y)]]);
    this.#shifted.clear();
    this.#state.set("card_positions", { ...this.#state.places, ...Object.fromEntries(moved) });
  }

  #put(element: HTMLElement, [x, y]: [number, number]): void {
    element.style.left = `${100 * x}%`;
    element.style.top = `${100 * y}%`;
  }

  #point(key: string | null): void {
    this.#pointed = key;
    const card = this.#cards.find((other) => other.key === key);
    if (!card?.group) this.#state.hover(card?.members[0]?.id ?? null);
    this.#drawEdges();
  }

  /** Mark the cards of the selected nodes and of the node under the pointer. */
  #mark(): void {
    const { selected, hovered } = this.#state;
    for (const { key, members } of this.#cards) {
      const element = this.#elements.get(key)!;
      element.dataset.selected = String(members.some(({ id }) => selected.includes(id)));
      element.dataset.pointed = String(members.some(({ id }) => id === hovered));
    }
  }

  #drawEdges(): void {
    const { clientWidth: width, clientHeight: height } = this.#ground;
    const pointed = this.#pointed;
    const shown = this.#edges.filter(({ share }) => Math.abs(share) >= LEAST).slice(0, MOST_EDGES);
    const centre = (key: string) => {
      const [x, y] = this.#places.at.get(key)!;
      return { x: x * width, y: y * height, half: (this.#elements.get(key)?.offsetHeight ?? 0) / 2 };
    };
    const known = shown.filter(({ source, target }) => this.#elements.has(source) && this.#elements.has(target));
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
    this.#lines.replaceChildren(
      ...parts.filter((part) => part.tagName === "path"),
      ...parts.filter((part) => part.tagName === "text"),
    );
  }
}

export const subgraphPane: MakePane = (state, go) => new Subgraph(state, go);
