/** Newest wins: while one run is under way only the latest input waits, and nothing older is ever shown after it. */

export class Newest<Input> {
  readonly #run: (input: Input) => Promise<void>;
  #running = false;
  #next: { input: Input } | null = null;

  /** @param run handles its own errors: what it throws is a defect and reaches the console. */
  constructor(run: (input: Input) => Promise<void>) {
    this.#run = run;
  }

  get busy(): boolean {
    return this.#running;
  }

  submit(input: Input): void {
    this.#next = { input };
    if (!this.#running) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#running = true;
    try {
      while (this.#next) {
        const { input } = this.#next;
        this.#next = null;
        await this.#run(input);
      }
    } finally {
      this.#running = false;
    }
  }
}
