/** Waits for something to come to rest. */

import { setTimeout as delay } from 'node:timers/promises';

/** Asks every `everyMs` (30 by default) until the answer is true. Fails after `limitMs` (half an hour by default). */
export async function until(
  isSo: () => Promise<boolean>,
  { everyMs = 30, limitMs = 1_800_000, what = 'the work' } = {},
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`${what} did not come to an end within ${limitMs / 1000} s`);
    await delay(everyMs);
  }
}
