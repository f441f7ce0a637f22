/** Lets another process call functions here, over the channel of `fork`. */

/**
 * Answers `{id, name, options}` with `{id, answer}`, or `{id, error}` where the function fails. Ends with the process that asks.
 *
 * @param {Record<string, (options: any) => unknown>} functions
 */
export function serve(functions) {
  process.on('message', ({ id, name, options }) => {
    Promise.resolve()
      .then(() => functions[name](options))
      .then(
        (answer) => process.send({ id, answer: answer ?? null }),
        (error) => process.send({ id, error: error?.stack ?? String(error) }),
      );
  });
  process.on('disconnect', () => process.exit());
  process.send('ready');
}

/** Milliseconds of a clock that all processes of this machine share. */
export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Calls `add(count)` until it has been asked for `jobs` in all, `size` at a time, by `atOnce` callers side by side.
 *
 * @param {{jobs: number, size: number, atOnce: number}} load
 * @param {(count: number) => Promise<unknown>} add
 * @returns {Promise<{beganMs: number}>}
 */
export async function produce({ jobs, size, atOnce }, add) {
  let left = jobs;
  const beganMs = nowMs();
  const caller = async () => {
    while (left > 0) {
      const count = Math.min(left, size);
      left -= count;
      await add(count);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return { beganMs };
}

/** Counts what a worker has done, and tells who waits. */
export class Counter {
  #left = 0;
  #reached = () => {};

  /** @param {number} count */
  add(count) {
    this.#left -= count;
    if (this.#left === 0) this.#reached();
  }

  /**
   * Resolves when so many more are done. Asked before the first is added.
   *
   * @param {number} jobs
   */
  async wait(jobs) {
    await new Promise((resolve) => {
      this.#reached = resolve;
      this.#left = jobs;
    });
    return { endedMs: nowMs() };
  }
}
