/** Where the feature fires: texts of the corpus, by how strongly. */

import { h } from "../kit/dom";
import { count, plain } from "../kit/format";
import { Strip } from "../kit/strip";
import type { Tip } from "../kit/tip";
import { visible } from "../kit/tokens";
import { type Example, grouped, groupName } from "./state";

/** How many examples of a group are shown at first. */
const FIRST = 5;

/** Return a text coloured by the feature's activations. */
export function activationStrip(
  text: { tokens: string[]; activations: (number | null)[]; peak?: number },
  options: { label: string; full: number; tip: Tip },
): HTMLElement {
  const { tokens } = text;
  const values = text.activations.map((value) => value ?? Number.NaN);
  const said = (index: number) => (Number.isFinite(values[index]!) ? plain(values[index]!) : "not counted");
  const strip = new Strip({
    label: options.label,
    describe: (index) => `${visible(tokens[index]!)} ${said(index)}`,
    point: (index, box) => {
      if (index === null || box === null) options.tip.hide();
      else {
        const token = h("span", "wb-token", visible(tokens[index]!));
        options.tip.show(box, h("div", "wb-tip-row", token, h("b", {}, said(index))));
      }
    },
  });
  strip.show(tokens, text.peak ?? -1);
  strip.paint([{ name: "activation", values, top: options.full, hue: 2, floor: 0.15 }]);
  return strip.element;
}

/** Return the examples, each group under its name; the first group is open. */
export function examples(all: Example[], full: number, tip: Tip): HTMLElement {
  const groups = grouped(all).map(([group, members], index) => {
    const list = h("ol", "card-examples");
    const details = h(
      "details",
      { class: "card-group", "data-group": group },
      h(
        "summary",
        {},
        h("b", "card-group-name", groupName(group)),
        h("span", "wb-muted", count(members.length, "example")),
      ),
      list,
    );
    let shown = 0;
    const more = h("button", { class: "card-more", onclick: () => add(members.length) });
    const add = (until: number) => {
      const items = members.slice(shown, until).map((example, i) => item(example, shown + i + 1, full, tip));
      list.append(...items);
      // The button goes away; who pressed it goes on with what it brought.
      if (shown > 0) items[0]?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
      shown = Math.max(shown, until);
      more.remove();
      if (shown < members.length) {
        more.textContent = `Show all ${members.length}`;
        details.append(more);
      }
    };
    // Texts that nobody looks at yet are not made.
    const open = () => details.open && shown === 0 && add(Math.min(FIRST, members.length));
    details.addEventListener("toggle", open);
    details.open = index === 0;
    open();
    return details;
  });
  return h("div", "card-groups", ...groups);
}

function item(example: Example, number: number, full: number, tip: Tip): HTMLElement {
  const label = `Example ${number}, activation ${plain(example.activation)}`;
  return h(
    "li",
    {},
    h("span", { class: "card-number", title: "The largest activation of the example" }, plain(example.activation)),
    activationStrip(example, { label, full, tip }),
  );
}
