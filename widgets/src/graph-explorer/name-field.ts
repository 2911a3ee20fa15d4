/** A field in which a name is changed: Enter keeps what was written, Esc gives it up. */

import { h } from "../kit/dom";

/** @param leave takes the focus from the field. */
export function nameField(
  value: string,
  props: Record<string, string>,
  keep: (text: string) => void,
  leave = (field: HTMLElement) => field.blur(),
): HTMLInputElement {
  const field = h("input", {
    type: "text",
    dir: "auto",
    spellcheck: "false",
    autocomplete: "off",
    value,
    ...props,
    onchange: () => keep(field.value),
    onkeydown: (event) => {
      const { key } = event as KeyboardEvent;
      if (key === "Escape") field.value = value;
      if (key === "Enter" || key === "Escape") leave(field);
      event.stopPropagation();
    },
  });
  return field;
}
