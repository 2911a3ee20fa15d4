/** Lists of the card: what the feature writes, what it fires on, what it is connected to. */

import { h } from "../kit/dom";
import { count, plain, signed } from "../kit/format";
import { isolate, visible } from "../kit/tokens";
import { type Effect, type FiresOn, type Neighbour, nameOf } from "./state";

/** Return a bar whose length is a share of its place. */
function bar(share: number, kind: "up" | "down" | "plain"): HTMLElement {
  const filled = h("i", { "data-change": kind });
  filled.style.width = `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
  return h("span", { class: "card-bar", "aria-hidden": "true" }, filled);
}

const top = (values: number[]) => Math.max(1e-9, ...values.map(Math.abs));

/** Return the tokens whose logits the feature raises and lowers most, or null where none are known. */
export function logits(promoted: Effect[], suppressed: Effect[]): HTMLElement | null {
  if (promoted.length + suppressed.length === 0) return null;
  const full = top([...promoted, ...suppressed].map(({ value }) => value));
  const list = (title: string, effects: Effect[]) =>
    h(
      "div",
      {},
      h("h5", {}, title),
      h(
        "ul",
        "card-rows",
        ...effects.map(({ token, value }) =>
          h(
            "li",
            { title: `${isolate(visible(token))} ${signed(value)}` },
            h("span", "wb-token", visible(token)),
            bar(Math.abs(value) / full, value < 0 ? "down" : "up"),
            h("span", "card-number", signed(value)),
          ),
        ),
      ),
    );
  return h(
    "section",
    "card-part",
    h("h4", {}, "Logits", h("span", "wb-muted", "direct effect")),
    h(
      "div",
      "card-pair",
      promoted.length > 0 && list("raised", promoted),
      suppressed.length > 0 && list("lowered", suppressed),
    ),
  );
}

/** Return the tokens on which the feature fires most often, or null where none are known. */
export function firesOn(tokens: FiresOn[]): HTMLElement | null {
  if (tokens.length === 0) return null;
  const counted = tokens.filter((one) => one.count !== null);
  const full = top(counted.map((one) => one.count!));
  const rows = tokens.map(({ token, count: times, mean_activation: mean }) =>
    times === null || mean === null
      ? h("li", {}, h("span", "wb-token", visible(token)))
      : h(
          "li",
          { title: `${isolate(visible(token))}: ${count(times, "time")}, on average ${plain(mean)}` },
          h("span", "wb-token", visible(token)),
          bar(times / full, "plain"),
          h("span", "card-number", times.toLocaleString("en")),
          h("span", "card-number wb-muted", plain(mean)),
        ),
  );
  return h(
    "section",
    "card-part",
    h("h4", {}, "Fires on", counted.length > 0 && h("span", "wb-muted", "times, mean activation")),
    h("ul", "card-rows card-rows-four", ...rows),
  );
}

/** Return the features that it is connected to, as buttons, or null where none are known. */
export function neighbours(
  title: string,
  features: Neighbour[],
  choose: (feature: [number, number]) => void,
): HTMLElement | null {
  if (features.length === 0) return null;
  const full = top(features.map(({ twera }) => twera));
  const rows = features.map((one) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          class: "card-neighbour",
          "data-feature": nameOf(one),
          "aria-pressed": "false",
          title: `Select feature ${nameOf(one)}`,
          onclick: () => choose([one.layer, one.feature]),
        },
        h("span", "card-feature", nameOf(one)),
        h("bdi", "card-neighbour-label", one.label || "no label"),
        bar(Math.abs(one.twera) / full, one.twera < 0 ? "down" : "up"),
        h("span", "card-number", signed(one.twera)),
      ),
    ),
  );
  return h(
    "section",
    "card-part",
    h("h4", {}, title, h("span", "wb-muted", "TWERA")),
    h("ul", "card-neighbours", ...rows),
  );
}
