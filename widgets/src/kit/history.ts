/** Undo and redo: what the user chose, step by step, wherever it was changed: in any view, or from Python. */

/** What changed in one step: trait → its value before. */
type Values = Map<string, unknown>;

/** So many steps are kept: more than anyone takes back, and little memory. */
const DEPTH = 200;

export interface Store {
  get(trait: string): unknown;
  /** Set traits all at once. */
  put(values: ReadonlyMap<string, unknown>): void;
}

/**
 * @param traits are those whose changes can be taken back.
 * @param changed is called when there is more or less to take back.
 */
export function makeHistory(of: Store, traits: readonly string[], changed: () => void) {
  const now = new Map<string, unknown>();
  const past: Values[] = [];
  let future: Values[] = [];
  /** The step to which changes still belong. */
  let open: Values | null = null;
  let held = false;
  let applying = false;

  for (const trait of traits) now.set(trait, of.get(trait));

  /** A trait has changed. What changes in one go (a click that selects and pins) is one step. */
  function note(trait: string): void {
    if (!now.has(trait)) return;
    const before = now.get(trait);
    now.set(trait, of.get(trait));
    if (applying) return;
    if (!open) {
      open = new Map();
      past.push(open);
      if (past.length > DEPTH) past.shift();
      future = [];
      if (!held) queueMicrotask(() => close());
      changed();
    }
    if (!open.has(trait)) open.set(trait, before);
  }

  /** A slider or a card begins to move: all that changes until {@link release} is one step. */
  function hold(): void {
    if (held) return;
    open = null;
    held = true;
  }

  function release(): void {
    held = false;
    close();
  }

  function undo(): void {
    release();
    future.push(...apply(past.pop()));
    changed();
  }

  function redo(): void {
    release();
    past.push(...apply(future.pop()));
    changed();
  }

  function close(): void {
    if (!held) open = null;
  }

  /** Set the values of a step, and return the step that takes this back. */
  function apply(step: Values | undefined): Values[] {
    if (!step) return [];
    const back: Values = new Map([...step.keys()].map((trait) => [trait, now.get(trait)]));
    applying = true;
    try {
      of.put(step);
    } finally {
      applying = false;
    }
    return [back];
  }

  return {
    get canUndo(): boolean {
      return past.length > 0;
    },
    get canRedo(): boolean {
      return future.length > 0;
    },
    note,
    hold,
    release,
    undo,
    redo,
  };
}

export type History = ReturnType<typeof makeHistory>;
