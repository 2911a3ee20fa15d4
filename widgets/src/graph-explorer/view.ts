/** One view of the widget: it puts the parts together and lets them follow the state. */

import type { Host } from "@anywidget/types";
import { h, on } from "../kit/dom";
import { claimKeys } from "../kit/keyboard";
import { Tabs } from "../kit/tabs";
import { type Colours, watchTheme } from "../kit/theme";
import { Collector } from "./collector";
import { sentence } from "./describe";
import { Details } from "./details";
import { makeExports } from "./exports";
import { makeHelp } from "./help";
import { graphKeys, widgetKeys } from "./keys";
import { Legend } from "./legend";
import { PANES, type Pane } from "./panes";
import type { Gestures } from "./pointer";
import { SearchBox } from "./searchbox";
import { FullScreen, Handle } from "./size";
import { Stage } from "./stage";
import type { Change, State } from "./state";
import { Toolbar } from "./toolbar";
import { Tooltip } from "./tooltip";
import { ZoomBar } from "./zoombar";

/** Narrower than this the details stand below the graph. */
const NARROW = 720;

const FILTERS: ReadonlySet<Change> = new Set<Change>([
  "node_threshold",
  "density_threshold",
  "show_errors",
  "show_biases",
]);

export class View {
  readonly element: HTMLElement;
  readonly #state: State;
  readonly #stage: Stage;
  readonly #details: Details;
  readonly #toolbar: Toolbar;
  readonly #tooltip = new Tooltip();
  readonly #panes: Pane[];
  readonly #tabs: Tabs;
  readonly #search: SearchBox;
  readonly #legend: Legend;
  readonly #zoom: ZoomBar;
  readonly #handle: Handle;
  readonly #screen = new FullScreen(() => this.element);
  /** The pane in sight; null while that is the graph. */
  #pane: Pane | null = null;
  #searched: number[] = [];
  readonly #collector: Collector;
  readonly #live = h("div", { class: "wb-visually-hidden", "aria-live": "polite", testid: "live" });
  readonly #ends: (() => void)[] = [];

  constructor(state: State, host?: Host) {
    this.#state = state;
    const gestures: Gestures = {
      hover: (node) => state.hover(this.#id(node)),
      click: (node, event) => this.#click(node, event),
      enclose: (nodes, event) => {
        const ids = nodes.map((node) => state.graph.ids[node]!);
        state.set("selected_ids", [...new Set(event.shiftKey ? [...state.selected, ...ids] : ids)]);
      },
    };
    this.#stage = new Stage(state, state.shown, gestures, () => this.#zoom.update());
    this.#zoom = new ZoomBar(this.#stage);
    this.#handle = new Handle(state);
    this.#legend = new Legend(state);
    this.#collector = new Collector(state, (name) => {
      this.#remark();
      if (name !== null) this.#live.textContent = `Grouped as ${name}.`;
    });
    this.#toolbar = new Toolbar(state, () => state.set("selected_ids", []));
    this.#search = new SearchBox(state, {
      mark: (nodes) => {
        this.#searched = nodes;
        this.#remark();
      },
      point: (id) => {
        this.#reveal(id);
        state.hover(id);
      },
      choose: (id, add) => {
        state.select(id, add);
        this.#reveal(id);
      },
    });
    this.#toolbar.element.prepend(this.#search.element);
    this.#details = new Details(
      state,
      { point: (id) => state.hover(id), go: (id) => this.#go(id) },
      () => this.#stage.shown.nodes,
    );
    this.#stage.element.append(this.#tooltip.element);
    this.#stage.canvas.setAttribute(
      "aria-label",
      `Attribution graph of ${state.graph.info.prompt}. Arrow keys walk from node to node, Enter selects.`,
    );
    const help = makeHelp();
    const exports = makeExports(state, () => this.#stage.picture());
    graphKeys(
      state,
      this.#stage,
      (id) => this.#read(id),
      () => {
        const open = [help, exports].filter((popup) => popup.open);
        for (const popup of open) popup.toggle(false);
        if (open.length === 0) state.set("selected_ids", []);
      },
    );
    on(this.#stage.canvas, { blur: () => state.hover(null) });
    this.#panes = PANES.map((make) => make(state, (id) => this.#go(id), host));
    const canvas = h("div", "wbx-graph", this.#legend.element, this.#stage.element);
    this.#tabs = new Tabs([{ key: "graph", name: "Graph", element: canvas }, ...this.#panes], (key) =>
      state.set("view", key),
    );
    for (const { element } of this.#panes) element.classList.add("wbx-pane");
    this.element = h(
      "div",
      { class: "wb wb-explorer", testid: "graph-explorer" },
      this.#toolbar.element,
      h(
        "div",
        "wbx-body",
        h(
          "div",
          "wbx-main",
          h("div", "wbx-strip", this.#tabs.element, this.#zoom.element),
          canvas,
          ...this.#panes.map(({ element }) => element),
          help.panel,
          exports.panel,
        ),
        this.#details.element,
      ),
      this.#handle.element,
      this.#live,
    );
    this.#toolbar.actions.append(exports.button, this.#screen.button, help.button);
    Object.assign(this.element, { nodePosition: (id: string) => this.nodePosition(id) });
    this.#ends.push(
      claimKeys(this.element),
      this.#collector.watch(this.element),
      widgetKeys(this.element, state, {
        f: () => void this.#screen.toggle(),
        F: () => void this.#screen.toggle(),
        g: (event) => this.#collector.begin(event),
        G: (event) => this.#collector.begin(event),
        "/": () => this.#search.focus(),
        "?": () => help.toggle(!help.open),
      }),
      state.listen((change) => this.#follow(change)),
    );
    this.#follow("height");
    this.#showPane();
    this.#recount();
    this.#stage.refreshHeld();
    this.#details.update();
    this.#showHovered();
    this.#remark();
    this.#watch();
  }

  /** Return where a node stands, in CSS pixels from the top left corner of the canvas; null when it is not drawn. */
  nodePosition(id: string): { x: number; y: number } | null {
    const node = this.#state.graph.index.get(id);
    return node === undefined ? null : this.#stage.position(node);
  }

  dispose(): void {
    for (const end of this.#ends) end();
    this.#stage.dispose();
    this.#details.dispose();
    for (const pane of this.#panes) pane.dispose();
    this.#screen.dispose();
    this.element.remove();
  }

  #watch(): void {
    this.#ends.push(watchTheme(this.element, (colours) => this.#setColours(colours)));
    const observer = new ResizeObserver(() => {
      const { clientWidth: width } = this.element;
      this.element.dataset.size = width < NARROW ? "narrow" : "wide";
      this.#stage.resize();
    });
    observer.observe(this.element);
    observer.observe(this.#stage.sized);
    // A scroll bar that comes or goes changes the window alone.
    observer.observe(this.#stage.canvas);
    this.#ends.push(() => observer.disconnect());
    // Another screen, or another zoom, has other pixels.
    const screen = matchMedia(`(resolution: ${devicePixelRatio || 1}dppx)`);
    this.#ends.push(on(screen, { change: () => this.#stage.resize() }));
  }

  #setColours(colours: Colours): void {
    const style = getComputedStyle(this.element);
    const mono = style.getPropertyValue("--wb-mono").trim() || "monospace";
    this.#stage.setLook({ colours, small: `11px ${style.fontFamily}`, token: `11.5px ${mono}` });
    this.#stage.flush();
    this.element.dataset.ready = "true";
  }

  #follow(change: Change): void {
    const { element } = this;
    if (change !== "view") this.#pane?.follow(change);
    if (change === "view") this.#showPane();
    else if (change === "history") this.#toolbar.updateSteps();
    else if (change === "hovered_id") this.#showHovered();
    else if (change === "height") {
      element.style.setProperty("--wb-height", `${this.#state.height}px`);
      this.#handle.update();
    } else if (change === "connections") this.#details.update();
    else if (change === "colour_by") {
      this.#legend.update();
      this.#stage.recolour();
    } else if (change === "highlighted_ids" || change === "card_positions") {
      // Neither changes what the graph draws: the one is marked over it, the other is of the subgraph.
      this.#remark();
    } else {
      this.#stage.setShown(this.#state.shown);
      this.#stage.refreshHeld();
      this.#toolbar.update();
      this.#legend.update();
      this.#recount();
      if (FILTERS.has(change)) this.#details.markDrawn();
      else this.#details.update();
      if (change === "selected_ids") this.#read(this.#state.current);
    }
  }

  #showPane(): void {
    const key = this.#tabs.show(this.#state.view);
    this.element.dataset.view = key;
    this.#pane = this.#panes.find((pane) => pane.key === key) ?? null;
    this.#pane?.show();
    this.#zoom.element.hidden = this.#pane !== null;
  }

  #recount(): void {
    this.#toolbar.count(this.#stage.shown);
    this.element.dataset.nodes = String(this.#stage.shown.nNodes);
    this.element.dataset.edges = String(this.#stage.shown.edges.length);
  }

  #showHovered(): void {
    const id = this.#state.hovered;
    const node = id === null ? -1 : (this.#state.graph.index.get(id) ?? -1);
    this.#stage.setHovered(node);
    this.#details.mark(id);
    const facts = id === null ? null : this.#state.facts(id);
    const at = this.#stage.position(node);
    if (facts && at) {
      const { clientWidth: width, clientHeight: height } = this.#stage.element;
      this.#tooltip.show(facts, this.#state.graph.info, at, { width, height });
    } else this.#tooltip.hide();
  }

  #read(id: string | null): void {
    const facts = id === null ? null : this.#state.facts(id);
    this.#live.textContent = facts ? sentence(facts, this.#state.graph.info) : "Nothing is selected.";
  }

  #id(node: number): string | null {
    return this.#state.graph.ids[node] ?? null;
  }

  #click(node: number, event: PointerEvent): void {
    const id = this.#id(node);
    if (id === null) {
      if (!event.shiftKey) this.#state.set("selected_ids", []);
    } else if (this.#collector.take(id)) this.#remark();
    else if (event.ctrlKey || event.metaKey) this.#state.togglePin(id);
    else this.#state.select(id, event.shiftKey);
  }

  #go(id: string): void {
    this.#state.select(id);
    this.#reveal(id);
  }

  /** Mark what the search found, and what another explorer highlights here. */
  #remark(): void {
    const { highlighted } = this.#state;
    const others = this.#state.nodes([...highlighted, ...this.#collector.ids]);
    this.#stage.setMarked([...new Set([...this.#searched, ...others])]);
  }

  #reveal(id: string | null): void {
    const node = id === null ? undefined : this.#state.graph.index.get(id);
    if (node !== undefined) this.#stage.reveal(node);
  }
}
