/** Processes of Writ that a benchmark starts and ends while others run. */

import {
  startWritProcess as start,
  type WritProcess,
  type WritProcessOptions,
} from '../../scripts/services/writ-process.ts';
import type { Cleanup } from './cleanup.ts';

/** Says what went wrong alone. */
const quiet = { LOG_LEVEL: 'error' };

/** Resolves when it has said that it is ready. */
export async function startWritProcess(
  options: Omit<WritProcessOptions, 'onSpawned'>,
  cleanup: Cleanup,
): Promise<WritProcess> {
  let stop: (() => Promise<void>) | undefined;
  const process = await start({
    ...options,
    settings: { ...quiet, ...options.settings },
    onSpawned: (end) => (stop = cleanup.add(end)),
  });
  return { ...process, stop: stop ?? process.stop };
}
