/** The colours of a heat map: from the background's side to the strongest, in even steps of lightness. */

// Stops of red, green, blue; each neighbouring pair differs in lightness, so that the map reads without its hue.
const LIGHT = [
  [241, 243, 246],
  [183, 212, 232],
  [92, 160, 205],
  [33, 102, 172],
  [10, 42, 94],
];
const DARK = [
  [32, 36, 43],
  [27, 66, 110],
  [46, 117, 180],
  [124, 184, 238],
  [238, 247, 255],
];

const STEPS = 256;

/** Return red, green, blue and opacity of 256 steps of the ramp, one after the other. */
export function ramp(dark: boolean): Uint8ClampedArray {
  const stops = dark ? DARK : LIGHT;
  const colours = new Uint8ClampedArray(4 * STEPS);
  for (let step = 0; step < STEPS; step += 1) {
    const place = (step / (STEPS - 1)) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(place));
    for (let channel = 0; channel < 3; channel += 1) {
      const [from, to] = [stops[first]![channel]!, stops[first + 1]![channel]!];
      colours[4 * step + channel] = from + (to - from) * (place - first);
    }
    colours[4 * step + 3] = 255;
  }
  return colours;
}

/** Return the ramp as a CSS gradient. */
export function gradient(dark: boolean): string {
  return `linear-gradient(to right, ${(dark ? DARK : LIGHT).map((stop) => `rgb(${stop.join(" ")})`).join(", ")})`;
}

/** Return the pixels of a heat map, one a value; values at or below 0 have the first colour. */
export function pixels(values: ArrayLike<number>, top: number, colours: Uint8ClampedArray): Uint8ClampedArray {
  const out = new Uint8ClampedArray(4 * values.length);
  for (let i = 0; i < values.length; i += 1) {
    const share = top > 0 ? Math.min(1, Math.max(0, values[i]! / top)) : 0;
    const step = 4 * Math.round(share * (STEPS - 1));
    for (let channel = 0; channel < 4; channel += 1) out[4 * i + channel] = colours[step + channel]!;
  }
  return out;
}

/** Draw a heat map on a canvas, a pixel a cell: the page stretches it. */
export function paint(
  canvas: HTMLCanvasElement,
  values: ArrayLike<number>,
  size: { rows: number; columns: number },
  top: number,
  colours: Uint8ClampedArray,
): void {
  canvas.width = size.columns;
  canvas.height = size.rows;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(size.columns, size.rows);
  image.data.set(pixels(values, top, colours));
  context.putImageData(image, 0, 0);
}
