/** One view of the widget: it puts the parts together and lets them follow the state. */

import type { Host } from "@anywidget/types";
import { h, on } from "../kit/dom";
import { claimKeys } from "../kit/keyboard";
import { Tabs } from "../kit/tabs";
import { type Colours, watchTheme } from "../kit/theme";
import { letCarry } from "./carry";
import { Collector } from "./collector";
import { sentence } from "./describe";
import { makeDetails } from "./details";
import { makeExports } from "./exports";
import { makeHelp } from "./help";
import { graphKeys, widgetKeys } from "./keys";
import { makeLegend } from "./legend";
import { PANES, type Pane } from "./panes";
import type { Gestures } from "./pointer";
import { makeSearchBox } from "./searchbox";
import { makeFullScreen, makeHandle } from "./size";
import { makeStage } from "./stage";
import type { Change, State } from "./state";
import { makeToolbar } from "./toolbar";
import { Tooltip } from "./tooltip";
import { makeZoomBar } from "./zoombar";

/** Narrower than this the details stand below the graph. */
const NARROW = 720;

const FILTERS: ReadonlySet<Change> = new Set<Change>([
  "node_threshold",
  "density_threshold",
  "show_errors",
  "show_biases",
]);

export function makeView(state: State, host?: Host) {
  const tooltip = new Tooltip();
  /** The pane in sight; null while that is the graph. */
  let pane: Pane | null = null;
  let searched: number[] = [];
  const live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  const ends: (() => void)[] = [];

  const gestures: Gestures = {
    hover: (node) => state.hover(idOf(node)),
    click: (node, event) => click(node, event),
    enclose: (nodes, event) => {
      const ids = nodes.map((node) => state.graph.ids[node]!);
      state.set("selected_ids", [...new Set(event.shiftKey ? [...state.selected, ...ids] : ids)]);
    },
  };
  const stage = makeStage(state, state.shown, gestures, () => zoom.update());
  const zoom = makeZoomBar(stage);
  const handle = makeHandle(state);
  const legend = makeLegend(state);
  const collector = new Collector(state, (name) => {
    remark();
    if (name !== null) live.textContent = `Grouped as ${name}.`;
  });
  const toolbar = makeToolbar(state, () => state.set("selected_ids", []));
  const search = makeSearchBox(state, {
    mark: (nodes) => {
      searched = nodes;
      remark();
    },
    point: (id) => {
      reveal(id);
      state.hover(id);
    },
    choose: (id, add) => {
      state.select(id, add);
      reveal(id);
    },
  });
  toolbar.element.prepend(search.element);
  const details = makeDetails(state, { point: (id) => state.hover(id), go: (id) => go(id) }, () => stage.shown.nodes);
  stage.element.append(tooltip.element);
  stage.canvas.setAttribute(
    "aria-label",
    `Attribution graph of ${state.graph.info.prompt}. Arrow keys walk from node to node, Enter selects.`,
  );
  const help = makeHelp();
  const exports = makeExports(state, () => stage.picture());
  graphKeys(
    state,
    stage,
    (id) => read(id),
    () => {
      const open = [help, exports].filter((popup) => popup.open);
      for (const popup of open) popup.toggle(false);
      if (open.length === 0) state.set("selected_ids", []);
    },
  );
  on(stage.canvas, { blur: () => state.hover(null) });
  const panes: Pane[] = PANES.map((make) => make(state, (id) => go(id), host));
  const canvas = h("div", "wbx-graph", legend.element, stage.element);
  const tabs = new Tabs([{ key: "graph", name: "Graph", element: canvas }, ...panes], (key) => state.set("view", key));
  for (const { element } of panes) element.classList.add("wbx-pane");
  const element = h(
    "div",
    { class: "wb wb-explorer", testid: "graph-explorer" },
    toolbar.element,
    h(
      "div",
      "wbx-body",
      h(
        "div",
        "wbx-main",
        h("div", "wbx-strip", tabs.element, zoom.element),
        canvas,
        ...panes.map(({ element }) => element),
        help.panel,
        exports.panel,
      ),
      details.element,
    ),
    handle.element,
    live,
  );
  const screen = makeFullScreen(() => element);
  toolbar.actions.append(exports.button, screen.button, help.button);
  Object.assign(element, { nodePosition: (id: string) => nodePosition(id) });
  ends.push(
    claimKeys(element),
    letCarry(element, state),
    collector.watch(element),
    widgetKeys(element, state, {
      f: () => void screen.toggle(),
      F: () => void screen.toggle(),
      g: (event) => collector.begin(event),
      G: (event) => collector.begin(event),
      "/": () => search.focus(),
      "?": () => help.toggle(!help.open),
    }),
    state.listen((change) => follow(change)),
  );
  follow("height");
  showPane();
  recount();
  stage.refreshHeld();
  details.update();
  showHovered();
  remark();
  watch();

  /** Return where a node stands, in CSS pixels from the top left corner of the canvas; null when it is not drawn. */
  function nodePosition(id: string): { x: number; y: number } | null {
    const node = state.graph.index.get(id);
    return node === undefined ? null : stage.position(node);
  }

  function dispose(): void {
    for (const end of ends) end();
    stage.dispose();
    details.dispose();
    for (const pane of panes) pane.dispose();
    screen.dispose();
    element.remove();
  }

  function watch(): void {
    ends.push(watchTheme(element, (colours) => setColours(colours)));
    const observer = new ResizeObserver(() => {
      const { clientWidth: width } = element;
      element.dataset.size = width < NARROW ? "narrow" : "wide";
      stage.resize();
    });
    observer.observe(element);
    observer.observe(stage.scroller);
    // A scroll bar that comes or goes changes the window alone.
    observer.observe(stage.canvas);
    ends.push(() => observer.disconnect());
    // Another screen, or another zoom, has other pixels.
    const screen = matchMedia(`(resolution: ${devicePixelRatio || 1}dppx)`);
    ends.push(on(screen, { change: () => stage.resize() }));
  }

  function setColours(colours: Colours): void {
    const style = getComputedStyle(element);
    const mono = style.getPropertyValue("--wb-mono").trim() || "monospace";
    stage.setLook({ colours, small: `11px ${style.fontFamily}`, token: `11.5px ${mono}` });
    stage.flush();
    element.dataset.ready = "true";
  }

  function follow(change: Change): void {
    if (change !== "view") pane?.follow(change);
    if (change === "view") showPane();
    else if (change === "history") toolbar.updateSteps();
    else if (change === "hovered_id") showHovered();
    else if (change === "height") {
      element.style.setProperty("--wb-height", `${state.height}px`);
      handle.update();
    } else if (change === "connections") details.update();
    else if (change === "colour_by") {
      legend.update();
      stage.recolour();
    } else if (change === "highlighted_ids" || change === "card_positions") {
      // Neither changes what the graph draws: the one is marked over it, the other is of the subgraph.
      remark();
    } else {
      stage.setShown(state.shown);
      stage.refreshHeld();
      toolbar.update();
      legend.update();
      recount();
      if (FILTERS.has(change)) details.markDrawn();
      else details.update();
      if (change === "selected_ids") read(state.current);
    }
  }

  function showPane(): void {
    const key = tabs.show(state.view);
    element.dataset.view = key;
    pane = panes.find((pane) => pane.key === key) ?? null;
    pane?.show();
    zoom.element.hidden = pane !== null;
  }

  function recount(): void {
    toolbar.count(stage.shown);
    element.dataset.nodes = String(stage.shown.nNodes);
    element.dataset.edges = String(stage.shown.edges.length);
  }

  function showHovered(): void {
    const id = state.hovered;
    const node = id === null ? -1 : (state.graph.index.get(id) ?? -1);
    stage.setHovered(node);
    details.mark(id);
    const facts = id === null ? null : state.facts(id);
    const at = stage.position(node);
    if (facts && at) {
      const { clientWidth: width, clientHeight: height } = stage.element;
      tooltip.show(facts, state.graph.info, at, { width, height });
    } else tooltip.hide();
  }

  function read(id: string | null): void {
    const facts = id === null ? null : state.facts(id);
    live.textContent = facts ? sentence(facts, state.graph.info) : "Nothing is selected.";
  }

  function idOf(node: number): string | null {
    return state.graph.ids[node] ?? null;
  }

  function click(node: number, event: PointerEvent): void {
    const id = idOf(node);
    if (id === null) {
      if (!event.shiftKey) state.set("selected_ids", []);
    } else if (collector.take(id)) remark();
    else if (event.ctrlKey || event.metaKey) state.togglePin(id);
    else state.select(id, event.shiftKey);
  }

  function go(id: string): void {
    state.select(id);
    reveal(id);
  }

  /** Mark what the search found, and what another explorer highlights here. */
  function remark(): void {
    const { highlighted } = state;
    const others = state.nodes([...highlighted, ...collector.ids]);
    stage.setMarked([...new Set([...searched, ...others])]);
  }

  function reveal(id: string | null): void {
    const node = id === null ? undefined : state.graph.index.get(id);
    if (node !== undefined) stage.reveal(node);
  }

  return { element, nodePosition, dispose };
}

export type View = ReturnType<typeof makeView>;
