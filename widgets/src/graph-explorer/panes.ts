/** What stands in the left area of a view, one at a time: the graph on its canvas, and the panes beside it. */

import type { Host } from "@anywidget/types";
import { cardPane } from "./panes/card";
import { diffPane } from "./panes/diff";
import { pathsPane } from "./panes/paths";
import { subgraphPane } from "./panes/subgraph";
import { tablePane } from "./panes/table";
import type { Change, State } from "./state";

export interface Pane {
  /** The value of the trait `view` that shows this pane. */
  readonly key: string;
  /** What its tab says. */
  readonly name: string;
  readonly element: HTMLElement;
  /** The pane comes into sight: bring it up to date. Until then nothing has to be built. */
  show(): void;
  /** Something changed while the pane is in sight; what changed while it was not, {@link show} finds in the state. */
  follow(change: Change): void;
  dispose(): void;
}

/**
 * @param go selects a node, and scrolls it into sight where it is drawn.
 * @param host shows other widgets; a page without a notebook has none.
 */
export type MakePane = (state: State, go: (id: string) => void, host?: Host) => Pane;

/** The panes in the order of their tabs, which stand after the graph's own. Each names itself. */
export const PANES: readonly MakePane[] = [subgraphPane, cardPane, tablePane, pathsPane, diffPane];
