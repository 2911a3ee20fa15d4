/** Small pictures: the shapes of the kinds of nodes, and of the buttons. */

import { KINDS } from "./data";

const SVG = "http://www.w3.org/2000/svg";

function svg(size: number, shapes: [name: string, attributes: Record<string, string>][]): SVGSVGElement {
  const root = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({
    width: size,
    height: size,
    viewBox: "0 0 12 12",
    "aria-hidden": true,
  })) {
    root.setAttribute(name, String(value));
  }
  for (const [name, attributes] of shapes) {
    const shape = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) shape.setAttribute(attribute, value);
    root.append(shape);
  }
  return root;
}

const SHAPES: [string, Record<string, string>][] = [
  ["circle", { cx: "6", cy: "6", r: "4.2" }],
  ["rect", { x: "2.2", y: "2.2", width: "7.6", height: "7.6" }],
  ["path", { d: "M6 .8 11.2 6 6 11.2 .8 6Z" }],
  ["path", { d: "M6 1.4 11 10.4H1Z" }],
  ["rect", { x: ".8", y: "2.6", width: "10.4", height: "6.8", rx: "2.2" }],
];

/** Return the shape of a kind of node, in its colour. */
export function glyph(kind: number, size = 11): SVGSVGElement {
  const picture = svg(size, [SHAPES[kind]!]);
  picture.setAttribute("class", `wbx-glyph wbx-kind-${KINDS[kind]}`);
  return picture;
}

export function pinIcon(): SVGSVGElement {
  const picture = svg(13, [
    ["path", { d: "M4 1h4l-.4 3.2L9.4 6.4v.9H2.6v-.9l1.8-2.2Z" }],
    ["path", { d: "M6 7.3V11", "stroke-width": "1.2" }],
  ]);
  picture.setAttribute("class", "wbx-icon");
  return picture;
}

/** Return a button's picture of lines. */
function lines(path: string): SVGSVGElement {
  const picture = svg(13, [["path", { d: path }]]);
  picture.setAttribute("class", "wbx-icon wbx-lines");
  return picture;
}

export const screenIcon = () => lines("M4.2 1H1v3.2M7.8 1H11v3.2M4.2 11H1V7.8M7.8 11H11V7.8");
export const undoIcon = () => lines("M4 1.5 1.4 4 4 6.6M1.8 4h5.4a3.2 3.2 0 0 1 0 6.4H4.4");
export const redoIcon = () => lines("M8 1.5 10.6 4 8 6.6M10.2 4H4.8a3.2 3.2 0 0 0 0 6.4h2.8");
