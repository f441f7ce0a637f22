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

/** Counts what a worker has done, for the process that asks. */
export class Counter {
  #jobs = 0;
  #done = 0;
  #marks = [];

  /** @param {number} count */
  add(count) {
    this.#done += count;
    for (const { share, resolve } of this.#marks) {
      if (this.#done >= share * this.#jobs) resolve({ endedMs: nowMs() });
    }
  }

  /** To be served: `expect` so many from now on, asked before the first is added; `halfway` and `handled` resolve when it is so. */
  get functions() {
    return {
      expect: ({ jobs }) => {
        this.#jobs = jobs;
        this.#done = 0;
        this.#marks = [0.5, 1].map((share) => {
          const mark = { share, resolve: () => {} };
          const reached = new Promise((resolve) => Object.assign(mark, { resolve }));
          return Object.assign(mark, { reached });
        });
      },
      halfway: () => this.#marks[0].reached,
      handled: () => this.#marks[1].reached,
    };
  }
}
