/** Small pictures on buttons; what they mean stands in the buttons' names. */

import { svg } from "../kit/svg";

const PATHS = {
  link: "M6.5 9.5l3-3M5 7.5 3.6 8.9a2.5 2.5 0 0 0 3.5 3.5L8.5 11M7.5 5l1.4-1.4a2.5 2.5 0 0 1 3.5 3.5L11 8.5",
  curve: "M2.5 2.5v11h11M4.5 11c3 0 3-7 8.5-7",
  remove: "M4 4l8 8M12 4l-8 8",
};

/** Return an icon in the colour of the text around it. */
export function icon(name: keyof typeof PATHS): Node {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", class: "sliders-icon", "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }),
  );
}
