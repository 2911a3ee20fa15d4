/** Light or dark, and the colours that a canvas needs as strings. */

import { on } from "./dom";

/** The colours of kit.css, by the name of their custom property without "--wb-". */
export const COLOURS = [
  "background",
  "raised",
  "text",
  "muted",
  "line",
  "accent",
  "positive",
  "negative",
  "feature",
  "error",
  "token",
  "bias",
  "logit",
  "found",
] as const;
export type Colours = Record<(typeof COLOURS)[number], string> & { dark: boolean };

/** Return the relative luminance of a computed colour such as "rgb(17, 17, 17)", from 0 to 1. */
export function luminance(colour: string): number {
  // "color(srgb 0.1 0.1 0.1)" counts to 1, "rgb(17, 17, 17)" to 255.
  const full = colour.startsWith("color(") ? 1 : 255;
  const [red = full, green = full, blue = full] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / full;
}

/**
 * Set data-theme on a widget's root from the background that it really has, and return its colours.
 *
 * Themes have any name; what counts is whether their background is dark. Only an element on the page has computed
 * styles: call this from {@link watchTheme} or a ResizeObserver, not from render().
 */
export function applyTheme(root: HTMLElement): Colours {
  const dark = luminance(getComputedStyle(root).backgroundColor) < 0.45;
  root.dataset.theme = dark ? "dark" : "light";
  const style = getComputedStyle(root);
  const entries = COLOURS.map((name) => [name, style.getPropertyValue(`--wb-${name}`).trim()]);
  return { ...(Object.fromEntries(entries) as Record<(typeof COLOURS)[number], string>), dark };
}

/** Call back now and whenever the theme of the page changes; return what ends it. */
export function watchTheme(root: HTMLElement, changed: (colours: Colours) => void): () => void {
  let pending = 0;
  const later = () => {
    cancelAnimationFrame(pending);
    // JupyterLab sets the attributes of body before the new style sheet counts everywhere.
    pending = requestAnimationFrame(() => root.isConnected && changed(applyTheme(root)));
  };
  const observer = new MutationObserver(later);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, {
      attributes: true,
      attributeFilter: ["class", "style", "data-theme", "data-jp-theme-name", "data-jp-theme-light"],
    });
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  const end = on(system, { change: later });
  later();
  return () => {
    cancelAnimationFrame(pending);
    observer.disconnect();
    end();
  };
}
