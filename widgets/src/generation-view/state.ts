/** What the widget's traits hold, and what follows from them without a page. */

export interface Alternative {
  token: string;
  id: number;
  probability: number;
}

export interface Token extends Alternative {
  /** The probability that the clean model gives it after the same text. */
  clean: number;
  kl: number | null;
  alternatives: Alternative[];
}

export type Run = "clean" | "steered";
export const RUNS: Run[] = ["clean", "steered"];

export interface Settings {
  seed: number;
  temperature: number;
  max_new_tokens: number;
}

/** The traits of the Python class. */
export interface State extends Settings {
  prompt: string[];
  edits: string[];
  mode: string;
  chat: boolean | null;
  texts: Partial<Record<Run, Token[]>>;
  /** "" while the text goes on. */
  endings: Partial<Record<Run, "" | "length" | "end" | "cancelled">>;
  made: Settings | Record<string, never>;
  chosen: [Run, number] | null;
  running: boolean;
  error: string;
  can_start: boolean;
}

/**
 * Return the first step at which the two texts differ, or null. Where one is longer it counts only once nothing is
 * produced any more: while they grow, one is a token ahead.
 */
export function partsAt(texts: State["texts"], running: boolean): number | null {
  const { clean, steered } = texts;
  if (!clean || !steered) return null;
  const shorter = Math.min(clean.length, steered.length);
  for (let step = 0; step < shorter; step += 1) if (clean[step]!.id !== steered[step]!.id) return step;
  return running || clean.length === steered.length ? null : shorter;
}

/** Return how a text ended, in words. */
export function ending(of: State["endings"][Run], count: number): string {
  const tokens = `${count} token${count === 1 ? "" : "s"}`;
  if (of === "end") return `${tokens}, ended by the model`;
  if (of === "cancelled") return `${tokens}, stopped`;
  return of === "" ? `${tokens} …` : tokens;
}

/** Return how the tokens were chosen, in words. */
export function choice(made: State["made"]): string {
  if (made.temperature === undefined) return "";
  return made.temperature === 0
    ? "the most probable token each time"
    : `drawn at temperature ${made.temperature}, seed ${made.seed}`;
}
