/** The row between the tabs and the graph: what the shapes and colours mean, and which of them are drawn. */

import { fill, h, uid } from "../kit/dom";
import { BIAS, ERROR, FEATURE, LOGIT, TOKEN } from "./data";
import { glyph } from "./glyph";
import type { State } from "./state";
import type { ColourBy, LinkMode } from "./traits";

const LINKS: Record<LinkMode, string> = {
  either: "in, out",
  in: "in",
  out: "out",
  both: "between",
};
const COLOURS: Record<ColourBy, string> = { sign: "sign", share: "share" };

/** Densities are spread over powers of ten: the slider goes from 1 token in 10,000 to all of them. */
const DECADES = 4;
export const densityAt = (value: number): number => (value >= 100 ? 1 : 10 ** (DECADES * (value / 100 - 1)));
export const valueAt = (density: number): number =>
  Math.round(100 * (1 + Math.log10(Math.max(density, 10 ** -DECADES)) / DECADES));

/** Return a share of the tokens as text, with as many digits as it needs. */
export function inWords(density: number): string {
  if (density >= 1) return "any";
  const percent = 100 * density;
  return `≤ ${percent >= 10 ? percent.toFixed(0) : percent >= 1 ? percent.toFixed(1) : percent.toPrecision(1)} %`;
}

const WITHOUT = "How often features fire is known from an atlas, and this graph came without one.";
const WITH = "Features that fire on more of all tokens than this are not drawn.";

export function makeLegend(state: State) {
  const densityText = h("output", "wbx-density-value");
  const signs = h("span", "wbx-signs");

  const errorBox = toggle("show_errors");
  const biasBox = toggle("show_biases");
  const known = state.graph.density.some((value) => !Number.isNaN(value));
  const id = uid("density");
  const slider = h("input", {
    id,
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    disabled: !known,
    title: known ? WITH : WITHOUT,
    testid: "density",
    oninput: () => state.slide("density_threshold", densityAt(Number(slider.value))),
    onchange: () => state.history.release(),
  });
  densityText.setAttribute("for", id);
  const linkChoice = choice(LINKS, "Edges of the chosen nodes that stand out", "link_mode", (value) =>
    state.set("link_mode", value),
  );
  const colourChoice = choice(COLOURS, "What the colour of an edge shows", "colour_by", (value) =>
    state.set("colour_by", value),
  );
  const shape = (kind: number, text: string, input?: HTMLInputElement) =>
    h(input ? "label" : "span", { class: `wbx-key${input ? " wbx-toggle" : ""}` }, input, glyph(kind), text);
  const element = h(
    "div",
    { class: "wbx-legend", role: "group", "aria-label": "Shapes, colours and what is drawn" },
    shape(FEATURE, "feature"),
    shape(TOKEN, "token"),
    shape(LOGIT, "logit"),
    shape(ERROR, "error", errorBox),
    shape(BIAS, "bias", biasBox),
    h(
      "span",
      { class: "wbx-key wbx-density", title: known ? WITH : WITHOUT, "data-known": String(known) },
      h("label", { for: id }, "Density"),
      slider,
      densityText,
    ),
    h("label", "wbx-key wbx-choose", "Edges", linkChoice),
    h("label", "wbx-key wbx-choose", "Colour", colourChoice, signs),
  );
  if (!known) {
    const why = uid("why");
    slider.setAttribute("aria-describedby", why);
    element.append(h("span", { id: why, class: "wb-visually-hidden" }, WITHOUT));
  }
  update();

  /** Follow the state. */
  function update(): void {
    const { errors, biases, density, links, colours } = state;
    errorBox.checked = errors;
    biasBox.checked = biases;
    linkChoice.value = links;
    colourChoice.value = colours;
    const value = String(valueAt(density));
    if (slider.value !== value) slider.value = value;
    const text = inWords(density);
    densityText.textContent = slider.disabled ? "no atlas" : text;
    slider.setAttribute("aria-valuetext", `${text} of the tokens`);
    const line = (name: string, text: string, title: string) =>
      h(
        "span",
        { class: "wbx-key", role: "img", "aria-label": title, title },
        h("i", { class: `wbx-line wbx-${name}` }),
        text,
      );
    if (colours === "sign") {
      fill(
        signs,
        line("positive", "+", "An edge with a positive weight"),
        line("negative", "−", "An edge with a negative weight"),
      );
    } else fill(signs, line("ramp", "", "From a small to a large share of the target’s input"));
  }

  function toggle(trait: "show_errors" | "show_biases"): HTMLInputElement {
    const input = h("input", {
      type: "checkbox",
      testid: trait,
      onchange: () => state.set(trait, input.checked),
    });
    return input;
  }

  return { element, update };
}

function choice(
  options: Record<string, string>,
  label: string,
  testid: string,
  chosen: (value: string) => void,
): HTMLSelectElement {
  const select = h(
    "select",
    {
      class: "wbx-select",
      "aria-label": label,
      title: label,
      testid: testid,
      onchange: () => chosen(select.value),
    },
    ...Object.entries(options).map(([value, text]) => h("option", { value }, text)),
  );
  return select;
}
