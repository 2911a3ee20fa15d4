/** The keys and gestures, behind the "?". */

import { h } from "../kit/dom";
import { Popup } from "./popup";

const KEYS: [string, string][] = [
  ["Click", "select a node and list its edges"],
  ["Shift-click", "add to the selection"],
  ["Drag", "select all in a rectangle; with Shift, add them"],
  ["Hold G and click, G", "group the clicked nodes, or those selected, into a supernode"],
  ["Ctrl/⌘-click, P", "pin: the name stays visible"],
  ["↑ ↓", "walk along the strongest edge out of or into the node"],
  ["← →", "walk to the neighbour in the layer"],
  ["Enter", "select the node; with Shift, add it"],
  ["[ ]", "draw fewer or more nodes"],
  ["Ctrl/⌘-wheel, + −", "zoom; 0 or a double click on empty ground shows the whole graph"],
  ["Space-drag, wheel", "shift a graph that is zoomed in"],
  ["/", "find nodes by label, token or id"],
  ["Ctrl/⌘-Z", "undo; with Shift, redo"],
  ["C", "copy the node’s id"],
  ["F", "full screen"],
  ["Esc", "select nothing"],
];

export const makeHelp = (): Popup =>
  new Popup(
    "Keys and gestures",
    "help",
    "?",
    "wbx-round",
    h("dl", {}, ...KEYS.flatMap(([keys, meaning]) => [h("dt", {}, keys), h("dd", {}, meaning)])),
    h(
      "p",
      "wb-muted",
      "Columns are tokens, rows are layers. The broader an edge, the larger its share of the target’s input.",
    ),
  );
