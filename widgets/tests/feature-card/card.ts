import type { Card, State } from "../../src/feature-card/state";

const example = (group: string, activation: number, word = "Texas") => ({
  group,
  tokens: ["<s>", word, " is", " big", "\n"],
  activations: [null, activation, 0, activation / 2, 0],
  peak: 1,
  activation,
});

export const CARD: Card = {
  model: "smollm2-135m-instruct",
  clt: "default",
  layer: 12,
  feature: 311,
  label: "Texas and its cities",
  label_source: "rule",
  label_score: 0.87,
  kind: "input-like",
  family: "token",
  density: 0.0042,
  n_active: 4213,
  n_tokens: 1_000_000,
  max_activation: 8,
  quantiles: { "0.5": 1.25, "0.95": 3.4, "0.99": 5.6 },
  histogram: { edges: [0, 2, 4, 8], counts: [4000, 200, 13] },
  positions: { edges: [1, 2, 4, 8], counts: [13, 2000, 2200] },
  examples: [
    ...Array.from({ length: 7 }, (_, index) => example("top", 8 - index)),
    example("0.75–1", 3, "<script>alert(1)</script>"),
  ],
  top_logits: [
    { token: " Austin", value: 1.5 },
    { token: "שלום", value: 0.5 },
  ],
  bottom_logits: [{ token: "\n", value: -0.75 }],
  top_tokens: [{ token: " Texas", count: 400, mean_activation: 3.5 }],
  upstream: [{ layer: 3, feature: 7, label: "<b>capitals</b>", twera: 0.5 }],
  downstream: [{ layer: 14, feature: 9, label: "", twera: -0.25 }],
};

export const SILENT: Card = {
  ...CARD,
  label: "",
  label_score: null,
  kind: "silent",
  density: 0,
  n_active: 0,
  max_activation: 0,
  quantiles: {},
  histogram: { edges: [], counts: [] },
  positions: { edges: [], counts: [] },
  examples: [],
  top_tokens: [],
};

export function state(changes: Partial<State> = {}): State {
  const card = changes.card ?? CARD;
  return {
    card,
    label: card.label,
    selected_feature: null,
    text: "",
    tried: {},
    steering: null,
    can_try: true,
    can_steer: true,
    ...changes,
  };
}
