/** What was started, to be stopped in the opposite order, also when a later start fails. */

export class Stack {
  readonly #stops: (() => Promise<void>)[] = [];
  #stopping: Promise<void> | undefined;

  push(stop: () => Promise<void>): void {
    this.#stops.push(stop);
  }

  /** Stops everything, once; goes on where one part fails, and then throws the first failure. */
  unwind(): Promise<void> {
    return (this.#stopping ??= this.#unwind());
  }

  async #unwind(): Promise<void> {
    const failures: unknown[] = [];
    for (const stop of this.#stops.toReversed()) await stop().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

/** Runs a start that pushes what it has started; where it fails, that is stopped again. */
export async function startOn<T>(start: (stack: Stack) => Promise<T>): Promise<T> {
  const stack = new Stack();
  try {
    return await start(stack);
  } catch (error) {
    await stack.unwind().catch(() => undefined);
    throw error;
  }
}
