/** Small pictures: the shapes of the kinds of nodes, and of the buttons. */

import { svg } from "../kit/svg";
import { KINDS } from "./data";

function picture(size: number, shapes: [name: string, attributes: Record<string, string>][]): SVGElement {
  return svg(
    "svg",
    { width: size, height: size, viewBox: "0 0 12 12", "aria-hidden": "true" },
    ...shapes.map(([name, attributes]) => svg(name, attributes)),
  );
}

const SHAPES: [string, Record<string, string>][] = [
  ["circle", { cx: "6", cy: "6", r: "4.2" }],
  ["rect", { x: "2.2", y: "2.2", width: "7.6", height: "7.6" }],
  ["path", { d: "M6 .8 11.2 6 6 11.2 .8 6Z" }],
  ["path", { d: "M6 1.4 11 10.4H1Z" }],
  ["rect", { x: ".8", y: "2.6", width: "10.4", height: "6.8", rx: "2.2" }],
];

/** Return the shape of a kind of node, in its colour. */
export function glyph(kind: number, size = 11): SVGElement {
  const drawn = picture(size, [SHAPES[kind]!]);
  drawn.setAttribute("class", `wbx-glyph wbx-kind-${KINDS[kind]}`);
  return drawn;
}

export function pinIcon(): SVGElement {
  const drawn = picture(13, [
    ["path", { d: "M4 1h4l-.4 3.2L9.4 6.4v.9H2.6v-.9l1.8-2.2Z" }],
    ["path", { d: "M6 7.3V11", "stroke-width": "1.2" }],
  ]);
  drawn.setAttribute("class", "wbx-icon");
  return drawn;
}

/** Return a button's picture of lines. */
function lines(path: string): SVGElement {
  const drawn = picture(13, [["path", { d: path }]]);
  drawn.setAttribute("class", "wbx-icon wbx-lines");
  return drawn;
}

export const screenIcon = () => lines("M4.2 1H1v3.2M7.8 1H11v3.2M4.2 11H1V7.8M7.8 11H11V7.8");
export const undoIcon = () => lines("M4 1.5 1.4 4 4 6.6M1.8 4h5.4a3.2 3.2 0 0 1 0 6.4H4.4");
export const redoIcon = () => lines("M8 1.5 10.6 4 8 6.6M10.2 4H4.8a3.2 3.2 0 0 0 0 6.4h2.8");
