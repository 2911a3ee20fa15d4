/** The graph as a picture to keep: all of it, as it is drawn at present, without what is under the pointer. */

import { svg } from "../kit/svg";
import { SvgContext } from "./svg-context";

/** What is drawn one over the other. */
export interface Picture {
  width: number;
  height: number;
  background: string;
  layers: { opacity: number; draw: (context: CanvasRenderingContext2D) => void }[];
}

/** Browsers draw no canvas that is wider or higher. */
const LARGEST = 16_000;

function canvas(width: number, height: number): [HTMLCanvasElement, CanvasRenderingContext2D] {
  const element = document.createElement("canvas");
  element.width = width;
  element.height = height;
  return [element, element.getContext("2d")!];
}

/** Return the picture as PNG, twice as sharp as the screen asks for where that is possible. */
export function toPng({ width, height, background, layers }: Picture): Promise<Blob> {
  const scale = Math.min(2, LARGEST / Math.max(width, height));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  const [element, context] = canvas(w, h);
  context.fillStyle = background;
  context.fillRect(0, 0, w, h);
  for (const { opacity, draw } of layers) {
    // Each on a canvas of its own: what overlaps within a layer must not show through.
    const [layer, on] = canvas(w, h);
    on.scale(scale, scale);
    draw(on);
    context.globalAlpha = opacity;
    context.drawImage(layer, 0, 0);
  }
  return new Promise((resolve, reject) =>
    element.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))), "image/png"),
  );
}

/** Return the picture as SVG, which every drawing program can change. */
export function toSvg({ width, height, background, layers }: Picture): Blob {
  const [, measure] = canvas(1, 1);
  measure.fillStyle = background;
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` });
  root.append(svg("rect", { width, height, fill: String(measure.fillStyle) }));
  for (const { opacity, draw } of layers) {
    const context = new SvgContext(measure);
    draw(context as unknown as CanvasRenderingContext2D);
    if (opacity < 1) context.element.setAttribute("opacity", String(opacity));
    root.append(context.element);
  }
  return new Blob([new XMLSerializer().serializeToString(root)], { type: "image/svg+xml" });
}
