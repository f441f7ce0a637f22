/** The one shape of background work: runs when woken, again while there is more, and with backoff after a failure. */

export interface LoopOptions {
  name: string;
  /** One round. True where more waits. */
  runOnce: () => Promise<boolean>;
  /** Runs at this interval without being woken; null for never. */
  intervalMs: number | null;
  /** Wait after a first failure, doubled for each further one, with jitter. */
  backoffInitialMs: number;
  backoffMaxMs: number;
  random: () => number;
  /** True ends the loop: the failure is not one that passes. */
  onError: (error: unknown, failures: number) => boolean;
}

/** Owns one piece of background work. `runOnce` never runs twice at a time. */
export class Loop {
  readonly #options: LoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  #isWoken = false;
  #isStopped = true;
  #failures = 0;
  #idle: (() => void)[] = [];

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  start(): void {
    this.#isStopped = false;
    this.wake();
  }

  /** There may be work. Cheap; while the loop waits after a failure it goes on waiting. */
  wake(): void {
    this.#isWoken = true;
    if (this.#isRunning || this.#isStopped || this.#failures > 0) return;
    this.#isRunning = true;
    void this.#run();
  }

  /** Resolves when the round that is under way has ended; no other begins. */
  stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (!this.#isRunning) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    let delayMs = this.#options.intervalMs;
    try {
      do {
        this.#isWoken = false;
        if (await this.#options.runOnce()) this.#isWoken = true;
        this.#failures = 0;
      } while (this.#isWoken && !this.#isAtEnd());
    } catch (error) {
      this.#failures++;
      if (this.#options.onError(error, this.#failures)) this.#isStopped = true;
      delayMs = this.#backoffMs();
    }
    this.#isRunning = false;
    if (this.#isAtEnd()) {
      for (const resolve of this.#idle.splice(0)) resolve();
    } else if (delayMs !== null) {
      this.#timer = setTimeout(() => {
        this.#isRunning = true;
        void this.#run();
      }, delayMs);
    }
  }

  #isAtEnd(): boolean {
    return this.#isStopped;
  }

  #backoffMs(): number {
    const { backoffInitialMs, backoffMaxMs, random } = this.#options;
    const bound = Math.min(backoffMaxMs, backoffInitialMs * 2 ** Math.min(20, this.#failures - 1));
    return bound / 2 + (bound / 2) * random();
  }
}
