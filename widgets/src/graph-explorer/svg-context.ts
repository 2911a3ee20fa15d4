/** A canvas' context that writes down as SVG what is drawn onto it: as much of one as draw.ts uses. */

import { svg } from "../kit/svg";

const COPIED = ["globalAlpha", "lineWidth", "fillStyle", "strokeStyle", "font", "textAlign", "textBaseline"] as const;

export class SvgContext {
  globalAlpha = 1;
  lineWidth = 1;
  fillStyle = "#000";
  strokeStyle = "#000";
  font = "";
  textAlign = "left";
  textBaseline = "alphabetic";
  readonly element = svg("g", {});
  readonly #canvas: CanvasRenderingContext2D;
  readonly #colours = new Map<string, string>();
  readonly #stack: [Record<string, unknown>, string, string][] = [];
  #path = "";
  #transform = "";
  #clip = "";

  /** @param canvas measures texts, and knows colours that only browsers know. */
  constructor(canvas: CanvasRenderingContext2D) {
    this.#canvas = canvas;
  }

  save(): void {
    const style = Object.fromEntries(COPIED.map((name) => [name, this[name]]));
    this.#stack.push([style, this.#transform, this.#clip]);
  }

  restore(): void {
    const [style, transform, clip] = this.#stack.pop()!;
    Object.assign(this, style);
    this.#transform = transform;
    this.#clip = clip;
  }

  translate(x: number, y: number): void {
    this.#transform += `translate(${x} ${y})`;
  }

  rotate(angle: number): void {
    this.#transform += `rotate(${(angle * 180) / Math.PI})`;
  }

  beginPath(): void {
    this.#path = "";
  }

  moveTo(...at: number[]): void {
    this.#add("M", at);
  }

  lineTo(...at: number[]): void {
    this.#add("L", at);
  }

  bezierCurveTo(...at: number[]): void {
    this.#add("C", at);
  }

  closePath(): void {
    this.#path += "Z";
  }

  /** Draws a whole circle, as all circles are here. */
  arc(x: number, y: number, radius: number): void {
    this.roundRect(x - radius, y - radius, 2 * radius, 2 * radius, radius);
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.#add("M", [x, y]);
    this.#path += `h${width}v${height}h${-width}Z`;
  }

  roundRect(x: number, y: number, width: number, height: number, r: number): void {
    const corner = (dx: number, dy: number) => `a${r} ${r} 0 0 1 ${dx} ${dy}`;
    this.#add("M", [x + r, y]);
    this.#path += `h${width - 2 * r}${corner(r, r)}v${height - 2 * r}${corner(-r, r)}`;
    this.#path += `h${2 * r - width}${corner(-r, -r)}v${2 * r - height}${corner(r, -r)}Z`;
  }

  fill(): void {
    this.#draw("path", { d: this.#path, fill: this.#colour(this.fillStyle) });
  }

  stroke(): void {
    const stroke = this.#colour(this.strokeStyle);
    this.#draw("path", { d: this.#path, fill: "none", stroke, "stroke-width": this.lineWidth });
  }

  clip(): void {
    const id = `clip${Math.random().toString(36).slice(2)}`;
    this.element.append(svg("clipPath", { id }, svg("path", { d: this.#path })));
    this.#clip = `url(#${id})`;
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.#draw("rect", { x, y, width, height, fill: this.#colour(this.fillStyle) });
  }

  fillText(text: string, x: number, y: number): void {
    const anchors: Record<string, string> = { left: "start", center: "middle", right: "end" };
    const element = this.#draw("text", {
      x,
      y,
      fill: this.#colour(this.fillStyle),
      style: `font:${this.font};white-space:pre`,
      "text-anchor": anchors[this.textAlign]!,
      "dominant-baseline": this.textBaseline === "middle" ? "central" : "auto",
    });
    element.textContent = text;
  }

  measureText(text: string): TextMetrics {
    this.#canvas.font = this.font;
    return this.#canvas.measureText(text);
  }

  #add(command: string, at: number[]): void {
    this.#path += command + at.map((value) => Math.round(value * 100) / 100).join(" ");
  }

  #draw(tag: string, attributes: Record<string, string | number>): SVGElement {
    const element = svg(tag, attributes);
    const more = { opacity: this.globalAlpha, transform: this.#transform, "clip-path": this.#clip };
    for (const [name, value] of Object.entries(more)) {
      if (value !== "" && value !== 1) element.setAttribute(name, String(value));
    }
    this.element.append(element);
    return element;
  }

  /** Return a colour as every program knows it: mixtures of colours are known to browsers alone. */
  #colour(colour: string): string {
    let plain = this.#colours.get(colour);
    if (plain === undefined) {
      this.#canvas.fillStyle = colour;
      plain = String(this.#canvas.fillStyle);
      const parts = /^color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)/.exec(plain);
      if (parts) plain = `rgb(${parts.slice(1).map((part) => Math.round(255 * Number(part)))})`;
      this.#colours.set(colour, plain);
    }
    return plain;
  }
}
