/** What all views of one widget share: the graph, what the user chose, and what Python answered. */

import type { AnyModel } from "@anywidget/types";
import type { WireColumns } from "../kit/binary";
import { makeHistory } from "../kit/history";
import { Requests } from "../kit/requests";
import { type Ask, type Known, makeAnswers } from "./answers";
import { type Facts, type Info, readGraph } from "./data";
import { nameOf } from "./describe";
import { freeName, type Group, grouped, groupOf, renamed, without } from "./groups";
import { readDifference } from "./panes/diff-data";
import { type Shown, shown } from "./prune";
import { type ColourBy, KEPT, type LinkMode, type PathQuery, TRAITS, type Trait } from "./traits";

/** What changed: a trait, what is known of a node's connections, or what can be taken back. */
export type Change = Trait | "connections" | "history";

/** @param alive tells whether there is a kernel to ask. */
export function makeState(model: AnyModel, alive: () => boolean) {
  const graph = readGraph(
    model.get("_nodes") as WireColumns,
    model.get("_edges") as WireColumns,
    model.get("_info") as Info,
  );
  const requests = new Requests(model, alive);
  const listeners = new Set<(change: Change) => void>();
  const emit = (change: Change) => {
    for (const listener of [...listeners]) listener(change);
  };
  const ask: Ask = (method, params, options) => requests.ask(method, params, options);
  const answers = makeAnswers(graph, ask, () => emit("connections"));
  const put = (values: ReadonlyMap<string, unknown>) => {
    for (const [trait, value] of values) model.set(trait, value);
    model.save_changes();
  };
  const history = makeHistory({ get: (trait) => model.get(trait), put }, KEPT, () => emit("history"));
  let hovered = model.get("hovered_id") as string | null;
  let resting: ReturnType<typeof setTimeout> | undefined;

  const ends = TRAITS.map((trait) => {
    const changed = () => {
      if (trait === "selected_ids") answers.retry();
      if (trait === "hovered_id") point(model.get(trait) as string | null);
      history.note(trait);
      emit(trait);
    };
    model.on(`change:${trait}`, changed);
    return () => model.off(`change:${trait}`, changed);
  });

  function point(id: string | null): void {
    clearTimeout(resting);
    hovered = id;
  }

  function set(trait: Trait, value: unknown): void {
    const old = model.get(trait);
    if (old === value || JSON.stringify(old) === JSON.stringify(value)) return;
    model.set(trait, value);
    model.save_changes();
  }

  const get = <T>(trait: Trait) => model.get(trait) as T;
  const state = {
    graph,
    /** How another graph differs from this one; null without another one. */
    difference: readDifference(model.get("_difference") as WireColumns | undefined, graph.info.other),
    history,

    get selected(): string[] {
      return get("selected_ids");
    },
    get pinned(): string[] {
      return get("pinned_ids");
    },
    get hovered(): string | null {
      return hovered;
    },
    get labels(): Record<string, string> {
      return get("labels");
    },
    get groups(): Group[] {
      return get("supernodes");
    },
    /** Where cards of the subgraph were dragged to, as shares of its width and height. */
    get places(): Record<string, [x: number, y: number]> {
      return get("card_positions");
    },
    get threshold(): number {
      return get("node_threshold");
    },
    get errors(): boolean {
      return get("show_errors");
    },
    get biases(): boolean {
      return get("show_biases");
    },
    /** Features that fire on more than this share of all tokens are not drawn. */
    get density(): number {
      return get("density_threshold");
    },
    get links(): LinkMode {
      return get("link_mode");
    },
    get colours(): ColourBy {
      return get("colour_by");
    },
    /** Nodes that are marked from elsewhere, without being selected. */
    get highlighted(): string[] {
      return get("highlighted_ids");
    },
    get height(): number {
      return get("height");
    },
    /** The key of the pane in sight. */
    get view(): string {
      return get("view");
    },
    get pathQuery(): PathQuery {
      return { source: [], target: [], k: 5, sign: null, ...get<Partial<PathQuery>>("path_query") };
    },
    /** What is drawn at present. */
    get shown(): Shown {
      const { threshold, density, errors, biases, selected, pinned } = state;
      const keep = state.nodes([...selected, ...pinned]);
      return shown(graph, { threshold, density, errors, biases, keep });
    },
    /** The node whose details are shown: the one that was selected last. */
    get current(): string | null {
      return state.selected.at(-1) ?? null;
    },

    listen(listener: (change: Change) => void): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    dispose(): void {
      for (const end of ends) end();
      clearTimeout(resting);
      requests.dispose();
      listeners.clear();
    },
    set,
    /** Take a value that the user gives; while a slider moves, all its values are one step to take back. */
    slide(trait: Trait, value: unknown): void {
      history.hold();
      set(trait, value);
    },
    /**
     * Point at a node, or at none. All views follow at once; Python hears of where the pointer came to rest, because
     * nobody wants a message for each node that it passes. What Python sets meanwhile is newer, and stays.
     */
    hover(id: string | null): void {
      if (hovered === id) return;
      point(id);
      resting = setTimeout(() => set("hovered_id", id), 80);
      emit("hovered_id");
    },
    /** Select one node, or add it to the selection (or take it out of it). */
    select(id: string, add = false): void {
      const others = state.selected.filter((other) => other !== id);
      if (add) set("selected_ids", others.length < state.selected.length ? others : [...others, id]);
      else set("selected_ids", [id]);
    },
    /** Show the details of one of the selected nodes. */
    bringForward(id: string): void {
      set("selected_ids", [...state.selected.filter((other) => other !== id), id]);
    },
    togglePin(id: string): void {
      const { pinned } = state;
      set("pinned_ids", pinned.includes(id) ? pinned.filter((other) => other !== id) : [...pinned, id]);
    },
    /** Return the numbers of nodes that came with the widget. */
    nodes(ids: readonly string[]): number[] {
      return ids.map((id) => graph.index.get(id)).filter((node) => node !== undefined);
    },

    /** Put nodes into one supernode, see {@link grouped}; return its name, or null when there are too few. */
    group(ids: readonly string[]): string | null {
      if (new Set(ids).size < 2) return null;
      const influence = (id: string) => answers.facts(id)?.influence ?? 0;
      const best = [...ids].sort((a, b) => influence(b) - influence(a))[0]!;
      const facts = state.facts(best);
      set("supernodes", grouped(state.groups, ids, facts ? nameOf(facts) : best));
      return groupOf(state.groups, best)!.name;
    },
    /** Add groups that were suggested; nodes that are in one already stay there. */
    addGroups(groups: readonly Group[]): void {
      const all = [...state.groups];
      for (const { name, ids } of groups) {
        const free = ids.filter((id) => !groupOf(all, id));
        if (free.length > 1) all.push({ name: freeName(all, name), ids: free });
      }
      set("supernodes", all);
    },
    ungroup(name: string): void {
      set(
        "supernodes",
        state.groups.filter((group) => group.name !== name),
      );
    },
    /** Take nodes out of their supernodes. */
    leave(ids: readonly string[]): void {
      set("supernodes", without(state.groups, ids));
    },
    renameGroup(from: string, to: string): void {
      const at = state.groups.findIndex((group) => group.name === from);
      const groups = renamed(state.groups, from, to);
      const name = groups[at]?.name;
      if (name === undefined || name === from) return;
      const { [`s/${from}`]: place, ...places } = state.places;
      if (place) set("card_positions", { ...places, [`s/${name}`]: place });
      set("supernodes", groups);
    },
    /** Name a node; a feature has one name wherever it is active. */
    setLabel(id: string, text: string): void {
      const labels = { ...state.labels };
      const feature = id.slice(0, id.lastIndexOf("/") + 1);
      const others = id.startsWith("f/") ? graph.ids.filter((other) => other.startsWith(feature)) : [];
      for (const same of [id, ...others]) {
        if (text === "" || text === answers.facts(same)?.label) delete labels[same];
        else labels[same] = text;
      }
      set("labels", labels);
    },
    /** Return a node's row with the user's label; null when neither the widget nor an answer holds it. */
    facts(id: string): Facts | null {
      const facts = answers.facts(id);
      const label = state.labels[id];
      return facts && label !== undefined ? { ...facts, label } : facts;
    },

    /** Ask Python to run one of the widget's methods, see {@link Requests.ask}. */
    ask,
    /** Return what is known of a node's connections, and ask Python for the rest. */
    connections: (id: string): Known => answers.connections(id),
    /** Keep what an answer told of nodes that may not have come with the widget. */
    learn: answers.learn,
    /** Wait no longer for a kernel that is gone. */
    checkConnection(): void {
      if (!alive()) requests.lost();
    },
  };
  return state;
}

export type State = ReturnType<typeof makeState>;
