/** Lines of a chart. The drawing stretches with its element; strokes keep their width, and text stands beside it. */

const SVG = "http://www.w3.org/2000/svg";

/** Return a new SVG element. */
export function svg(tag: string, attributes: Record<string, string | number>, ...children: Element[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Return the path through points of a drawing; where one is not finite, the line is broken. */
export function path(xs: ArrayLike<number>, ys: ArrayLike<number>): string {
  let text = "";
  let pen = false;
  for (let i = 0; i < xs.length; i += 1) {
    const [x, y] = [xs[i]!, ys[i]!];
    if (Number.isFinite(x) && Number.isFinite(y)) text += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = Number.isFinite(x) && Number.isFinite(y);
  }
  return text;
}
