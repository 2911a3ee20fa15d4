/** What all views of one widget share: the graph, what the user chose, and what Python answered. */

import type { AnyModel } from "@anywidget/types";
import type { WireColumns } from "../kit/binary";
import { History } from "../kit/history";
import { type AskOptions, messageOf, NoKernel, type Reply, Requests, Superseded } from "../kit/requests";
import { type Facts, factsOf, type Graph, type Info, readGraph } from "./data";
import { nameOf } from "./describe";
import { freeName, type Group, grouped, groupOf, renamed, without } from "./groups";
import { type Difference, readDifference } from "./panes/diff-data";
import { type Shown, shown } from "./prune";

/** The edges into or out of a node, sorted by signed share, the most positive first. */
export interface End {
  ids: string[];
  weight: number[];
  share: number[];
  /** How many there are in the whole graph, and the sums of all their positive and negative shares. */
  total: number;
  positive: number;
  negative: number;
}

export interface Connections {
  node: Facts;
  incoming: End;
  outgoing: End;
  others: Facts[];
}

/** What is known of a node's connections: "complete" when all edges of the graph came with the widget. */
export type Known =
  | { kind: "complete" }
  | { kind: "asking"; slow: boolean }
  | { kind: "whole"; connections: Connections }
  | { kind: "no kernel" }
  | { kind: "failed"; message: string };

/** What changed: a trait, what is known of a node's connections, or what can be taken back. */
export type Change = Trait | "connections" | "history";
export type Trait = (typeof TRAITS)[number];
export const TRAITS = [
  "selected_ids",
  "pinned_ids",
  "hovered_id",
  "labels",
  "supernodes",
  "card_positions",
  "highlighted_ids",
  "node_threshold",
  "density_threshold",
  "show_errors",
  "show_biases",
  "link_mode",
  "colour_by",
  "height",
  "view",
  "path_query",
] as const;

/** Which edges stand out around the chosen nodes: all of theirs, those into them, out of them, or between them. */
export type LinkMode = "either" | "in" | "out" | "both";
export type ColourBy = "sign" | "share";

/** What undo does not take back: what is no choice about this graph. */
const PASSING: ReadonlySet<Trait> = new Set<Trait>(["hovered_id", "highlighted_ids", "height"]);
const KEPT: readonly Trait[] = TRAITS.filter((trait) => !PASSING.has(trait));

/** Which paths are asked for; no source means the tokens, no target the most probable output. */
export interface PathQuery {
  source: string[];
  target: string[];
  k: number;
  sign: "+" | "-" | null;
}

export class State {
  readonly graph: Graph;
  /** How another graph differs from this one; null without another one. */
  readonly difference: Difference | null;
  readonly history: History;
  readonly #model: AnyModel;
  readonly #alive: () => boolean;
  readonly #requests: Requests;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #known = new Map<string, Known>();
  /** Nodes that are not drawn, from Python's answers. */
  readonly #others = new Map<string, Facts>();
  readonly #ends: (() => void)[] = [];
  #resting: ReturnType<typeof setTimeout> | undefined;
  #hovered: string | null;

  constructor(model: AnyModel, alive: () => boolean) {
    this.#model = model;
    this.graph = readGraph(
      model.get("_nodes") as WireColumns,
      model.get("_edges") as WireColumns,
      model.get("_info") as Info,
    );
    this.difference = readDifference(model.get("_difference") as WireColumns | undefined, this.graph.info.other);
    this.#alive = alive;
    this.#hovered = model.get("hovered_id") as string | null;
    this.#requests = new Requests(model, alive);
    const put = (values: ReadonlyMap<string, unknown>) => {
      for (const [trait, value] of values) model.set(trait, value);
      model.save_changes();
    };
    this.history = new History({ get: (trait) => model.get(trait), put }, KEPT, () => this.#emit("history"));
    for (const trait of TRAITS) {
      const changed = () => {
        if (trait === "selected_ids") this.retry();
        if (trait === "hovered_id") this.#point(model.get(trait) as string | null);
        this.history.note(trait);
        this.#emit(trait);
      };
      model.on(`change:${trait}`, changed);
      this.#ends.push(() => model.off(`change:${trait}`, changed));
    }
  }

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  dispose(): void {
    for (const end of this.#ends) end();
    clearTimeout(this.#resting);
    this.#requests.dispose();
    this.#listeners.clear();
  }

  get #complete(): boolean {
    return this.graph.edges.size === this.graph.info.n_edges;
  }

  get selected(): string[] {
    return this.#model.get("selected_ids") as string[];
  }

  get pinned(): string[] {
    return this.#model.get("pinned_ids") as string[];
  }

  get hovered(): string | null {
    return this.#hovered;
  }

  get labels(): Record<string, string> {
    return this.#model.get("labels") as Record<string, string>;
  }

  get groups(): Group[] {
    return this.#model.get("supernodes") as Group[];
  }

  /** Where cards of the subgraph were dragged to, as shares of its width and height. */
  get places(): Record<string, [x: number, y: number]> {
    return this.#model.get("card_positions") as Record<string, [number, number]>;
  }

  get threshold(): number {
    return this.#model.get("node_threshold") as number;
  }

  get errors(): boolean {
    return this.#model.get("show_errors") as boolean;
  }

  get biases(): boolean {
    return this.#model.get("show_biases") as boolean;
  }

  /** Features that fire on more than this share of all tokens are not drawn. */
  get density(): number {
    return this.#model.get("density_threshold") as number;
  }

  get links(): LinkMode {
    return this.#model.get("link_mode") as LinkMode;
  }

  get colours(): ColourBy {
    return this.#model.get("colour_by") as ColourBy;
  }

  /** Nodes that are marked from elsewhere, without being selected. */
  get highlighted(): string[] {
    return this.#model.get("highlighted_ids") as string[];
  }

  get height(): number {
    return this.#model.get("height") as number;
  }

  /** The key of the pane in sight. */
  get view(): string {
    return this.#model.get("view") as string;
  }

  get pathQuery(): PathQuery {
    return { source: [], target: [], k: 5, sign: null, ...(this.#model.get("path_query") as Partial<PathQuery>) };
  }

  /** What is drawn at present. */
  get shown(): Shown {
    const { graph, threshold, density, errors, biases, selected, pinned } = this;
    const keep = this.nodes([...selected, ...pinned]);
    return shown(graph, { threshold, density, errors, biases, keep });
  }

  /** The node whose details are shown: the one that was selected last. */
  get current(): string | null {
    return this.selected.at(-1) ?? null;
  }

  /** Take a value that the user gives; while a slider moves, all its values are one step to take back. */
  slide(trait: Trait, value: unknown): void {
    this.history.hold();
    this.set(trait, value);
  }

  set(trait: Trait, value: unknown): void {
    const old = this.#model.get(trait);
    if (old === value || JSON.stringify(old) === JSON.stringify(value)) return;
    this.#model.set(trait, value);
    this.#model.save_changes();
  }

  /**
   * Point at a node, or at none. All views follow at once; Python hears of where the pointer came to rest, because
   * nobody wants a message for each node that it passes. What Python sets meanwhile is newer, and stays.
   */
  hover(id: string | null): void {
    if (this.#hovered === id) return;
    this.#point(id);
    this.#resting = setTimeout(() => this.set("hovered_id", id), 80);
    this.#emit("hovered_id");
  }

  /** Select one node, or add it to the selection (or take it out of it). */
  select(id: string, add = false): void {
    if (!add) this.set("selected_ids", [id]);
    else if (this.selected.includes(id)) this.#without("selected_ids", id);
    else this.set("selected_ids", [...this.selected, id]);
  }

  /** Show the details of one of the selected nodes. */
  bringForward(id: string): void {
    this.set("selected_ids", [...this.selected.filter((other) => other !== id), id]);
  }

  deselect(id: string): void {
    this.#without("selected_ids", id);
  }

  togglePin(id: string): void {
    if (this.pinned.includes(id)) this.#without("pinned_ids", id);
    else this.set("pinned_ids", [...this.pinned, id]);
  }

  /** Return the numbers of nodes that came with the widget. */
  nodes(ids: readonly string[]): number[] {
    return ids.map((id) => this.graph.index.get(id)).filter((node) => node !== undefined);
  }

  /** Put nodes into one supernode, see {@link grouped}; return its name, or null when there are too few. */
  group(ids: readonly string[]): string | null {
    if (new Set(ids).size < 2) return null;
    const influence = (id: string) => this.#facts(id)?.influence ?? 0;
    const best = [...ids].sort((a, b) => influence(b) - influence(a))[0]!;
    const facts = this.facts(best);
    this.set("supernodes", grouped(this.groups, ids, facts ? nameOf(facts) : best));
    return groupOf(this.groups, best)!.name;
  }

  /** Add groups that were suggested; nodes that are in one already stay there. */
  addGroups(groups: readonly Group[]): void {
    const all = [...this.groups];
    for (const { name, ids } of groups) {
      const free = ids.filter((id) => !groupOf(all, id));
      if (free.length > 1) all.push({ name: freeName(all, name), ids: free });
    }
    this.set("supernodes", all);
  }

  ungroup(name: string): void {
    this.set(
      "supernodes",
      this.groups.filter((group) => group.name !== name),
    );
  }

  /** Take nodes out of their supernodes. */
  leave(ids: readonly string[]): void {
    this.set("supernodes", without(this.groups, ids));
  }

  renameGroup(from: string, to: string): void {
    const at = this.groups.findIndex((group) => group.name === from);
    const groups = renamed(this.groups, from, to);
    const name = groups[at]?.name;
    if (name === undefined || name === from) return;
    const { [`s/${from}`]: place, ...places } = this.places;
    if (place) this.set("card_positions", { ...places, [`s/${name}`]: place });
    this.set("supernodes", groups);
  }

  /** Name a node; a feature has one name wherever it is active. */
  setLabel(id: string, text: string): void {
    const labels = { ...this.labels };
    const feature = id.slice(0, id.lastIndexOf("/") + 1);
    const others = id.startsWith("f/") ? this.graph.ids.filter((other) => other.startsWith(feature)) : [];
    for (const same of [id, ...others]) {
      if (text === "" || text === this.#facts(same)?.label) delete labels[same];
      else labels[same] = text;
    }
    this.set("labels", labels);
  }

  /** Return a node's row with the user's label; null when neither the widget nor an answer holds it. */
  facts(id: string): Facts | null {
    const facts = this.#facts(id);
    const label = this.labels[id];
    return facts && label !== undefined ? { ...facts, label } : facts;
  }

  /** Ask Python to run one of the widget's methods, see {@link Requests.ask}. */
  ask<T>(method: string, params: Record<string, unknown>, options: AskOptions = {}): Promise<Reply<T>> {
    return this.#requests.ask<T>(method, params, options);
  }

  /** Return what is known of a node's connections, and ask Python for the rest. */
  connections(id: string): Known {
    if (this.#complete) return { kind: "complete" };
    const known = this.#known.get(id);
    if (known) return known;
    const asking: Known = { kind: "asking", slow: false };
    this.#known.set(id, asking);
    void this.#ask(id, asking);
    return this.#known.get(id)!;
  }

  /** Ask again for what could not be answered before: a click is as good a reason as any. */
  retry(): void {
    for (const [id, known] of this.#known) {
      if (known.kind === "failed" || known.kind === "no kernel") this.#known.delete(id);
    }
  }

  /** Keep what an answer told of nodes that may not have come with the widget. */
  learn(nodes: Facts[]): void {
    for (const facts of nodes) this.#others.set(facts.id, facts);
  }

  /** Wait no longer for a kernel that is gone. */
  checkConnection(): void {
    if (!this.#alive()) this.#requests.lost();
  }

  async #ask(id: string, asking: { slow: boolean }): Promise<void> {
    const onSlow = () => {
      asking.slow = true;
      this.#emit("connections");
    };
    try {
      const { result } = await this.#requests.ask<Connections>("connections", { node_id: id }, { onSlow });
      this.learn([result.node, ...result.others]);
      this.#known.set(id, { kind: "whole", connections: result });
    } catch (error) {
      // Whoever looks at this node again asks again.
      if (error instanceof Superseded) this.#known.delete(id);
      else if (error instanceof NoKernel) this.#known.set(id, { kind: "no kernel" });
      else this.#known.set(id, { kind: "failed", message: messageOf(error) });
    }
    this.#emit("connections");
  }

  #facts(id: string): Facts | null {
    const node = this.graph.index.get(id);
    return node === undefined ? (this.#others.get(id) ?? null) : factsOf(this.graph, node);
  }

  #point(id: string | null): void {
    clearTimeout(this.#resting);
    this.#hovered = id;
  }

  #without(trait: "selected_ids" | "pinned_ids", id: string): void {
    const ids = this.#model.get(trait) as string[];
    this.set(
      trait,
      ids.filter((other) => other !== id),
    );
  }

  #emit(change: Change): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
