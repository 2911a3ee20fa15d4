/** What the widget shares with Python, and which of it undo takes back. */

export type Trait = (typeof TRAITS)[number];
export const TRAITS = [
  "selected_ids",
  "pinned_ids",
  "hovered_id",
  "labels",
  "supernodes",
  "card_positions",
  "highlighted_ids",
  "node_threshold",
  "density_threshold",
  "show_errors",
  "show_biases",
  "link_mode",
  "colour_by",
  "height",
  "view",
  "path_query",
] as const;

/** Which edges stand out around the chosen nodes: all of theirs, those into them, out of them, or between them. */
export type LinkMode = "either" | "in" | "out" | "both";
export type ColourBy = "sign" | "share";

/** What undo does not take back: what is no choice about this graph. */
const PASSING: ReadonlySet<Trait> = new Set<Trait>(["hovered_id", "highlighted_ids", "height"]);
export const KEPT: readonly Trait[] = TRAITS.filter((trait) => !PASSING.has(trait));

/** Which paths are asked for; no source means the tokens, no target the most probable output. */
export interface PathQuery {
  source: string[];
  target: string[];
  k: number;
  sign: "+" | "-" | null;
}
