/** What must be ended and taken away at the end, however that comes. */

type Closer = () => Promise<void>;

const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** Owns the order: what came last goes first. */
export class Cleanup {
  readonly #closers = new Set<Closer>();
  #closing: Promise<void> | undefined;

  /** Whether the end has begun: nothing is to be started any more. */
  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** Answers a function that closes it now. Closing twice does nothing. */
  add(close: () => Promise<void>): () => Promise<void> {
    const closer = async (): Promise<void> => {
      if (this.#closers.delete(closer)) await close();
    };
    this.#closers.add(closer);
    return closer;
  }

  /** All of it; what fails is told and stops nothing else. */
  close(): Promise<void> {
    return (this.#closing ??= this.#closeAll());
  }

  /** Ctrl-C and the like end the program after cleaning up; a second one does so at once. */
  onSignals(): void {
    for (const [signal, number] of Object.entries(signalNumbers)) {
      process.on(signal, () => {
        if (this.#closing !== undefined) process.exit(128 + number);
        console.error(`\n${signal}: ending what was started; again to leave it`);
        void this.close().finally(() => process.exit(128 + number));
      });
    }
  }

  async #closeAll(): Promise<void> {
    for (const closer of [...this.#closers].reverse()) {
      await closer().catch((error: unknown) => {
        console.error('something was not ended in order:', error);
      });
    }
  }
}
