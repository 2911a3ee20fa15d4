/**
 * The attribution graph in a cell.
 *
 * For tests in a browser: the root element has `data-ready` once the graph is drawn, `data-nodes` and `data-edges` with
 * how many are, and a method `nodePosition(id)` that returns where a node stands, in CSS pixels from the top left corner
 * of the canvas (`data-testid="graph-canvas"`), or null when it is not drawn. Rows of the lists have `data-id`.
 */

import type { AnyModel, Host } from "@anywidget/types";
import { disconnected, watchConnection } from "../kit/kernel";
import { makeState, type State } from "./state";
import { makeView } from "./view";

/** Called once a widget: its views share one state, so that what Python answers one of them all can show. */
export default () => {
  const views = new Set<HTMLElement>();
  let state: State;
  return {
    initialize({ model }: { model: AnyModel }) {
      state = makeState(model, () => ![...views].some(disconnected));
      return () => state.dispose();
    },
    render({ model, el, host }: { model: AnyModel; el: HTMLElement; host?: Host }) {
      // Known before the view is made: its first question depends on whether somebody can answer.
      views.add(el);
      const view = makeView(state, host);
      el.append(view.element);
      const end = watchConnection(model, el, () => state.checkConnection());
      return () => {
        end();
        views.delete(el);
        view.dispose();
      };
    },
  };
};
