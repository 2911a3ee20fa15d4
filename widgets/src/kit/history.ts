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

export class History {
  readonly #of: Store;
  readonly #now = new Map<string, unknown>();
  readonly #changed: () => void;
  #past: Values[] = [];
  #future: Values[] = [];
  /** The step to which changes still belong. */
  #open: Values | null = null;
  #held = false;
  #applying = false;

  /**
   * @param traits are those whose changes can be taken back.
   * @param changed is called when there is more or less to take back.
   */
  constructor(of: Store, traits: readonly string[], changed: () => void) {
    this.#of = of;
    this.#changed = changed;
    for (const trait of traits) this.#now.set(trait, of.get(trait));
  }

  get canUndo(): boolean {
    return this.#past.length > 0;
  }

  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  /** A trait has changed. What changes in one go (a click that selects and pins) is one step. */
  note(trait: string): void {
    if (!this.#now.has(trait)) return;
    const before = this.#now.get(trait);
    this.#now.set(trait, this.#of.get(trait));
    if (this.#applying) return;
    if (!this.#open) {
      this.#open = new Map();
      this.#past.push(this.#open);
      if (this.#past.length > DEPTH) this.#past.shift();
      this.#future = [];
      if (!this.#held) queueMicrotask(() => this.#close());
      this.#changed();
    }
    if (!this.#open.has(trait)) this.#open.set(trait, before);
  }

  /** A slider or a card begins to move: all that changes until {@link release} is one step. */
  hold(): void {
    if (this.#held) return;
    this.#open = null;
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#close();
  }

  undo(): void {
    this.release();
    this.#future.push(...this.#apply(this.#past.pop()));
    this.#changed();
  }

  redo(): void {
    this.release();
    this.#past.push(...this.#apply(this.#future.pop()));
    this.#changed();
  }

  #close(): void {
    if (!this.#held) this.#open = null;
  }

  /** Set the values of a step, and return the step that takes this back. */
  #apply(step: Values | undefined): Values[] {
    if (!step) return [];
    const back: Values = new Map([...step.keys()].map((trait) => [trait, this.#now.get(trait)]));
    this.#applying = true;
    try {
      this.#of.put(step);
    } finally {
      this.#applying = false;
    }
    return [back];
  }
}
