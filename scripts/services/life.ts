/** Waits for the beginning of a service's process, and brings its end about. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuardedProcess } from '../../src/platform/postgres/embedded/process.ts';

const POLL_MS = 25;
const LINES_TOLD = 25;

/** Asks `isReady` until it says so. Fails with the end of what the process said, when it ends or takes longer than `limitMs`. */
export async function waitUntilReady(
  name: string,
  process: GuardedProcess,
  limitMs: number,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const hasEnded = watchEnd(process);
  for (let waitedMs = 0; waitedMs < limitMs && !hasEnded(); waitedMs += POLL_MS) {
    if (await isReady()) return;
    await delay(POLL_MS);
  }
  const output = (await process.output()).trim().split('\n').slice(-LINES_TOLD).join('\n');
  throw new Error(`${name} does not start${hasEnded() ? '' : ` within ${limitMs / 1000} s`}, it says:\n${output}`);
}

/**
 * Sends the signal, and SIGKILL where the process does not end within `limitMs`. Polls, since a process that holds nothing up does
 * not do so either when it is waited for.
 */
export async function endProcess(process: GuardedProcess, signal: NodeJS.Signals, limitMs: number): Promise<void> {
  const hasEnded = watchEnd(process);
  // Lets an end that has already happened be seen: its number may be another process's by now.
  await delay(0);
  if (!hasEnded()) sendSignal(process.pid, signal);
  for (let waitedMs = 0; !hasEnded(); waitedMs += POLL_MS) {
    if (waitedMs === limitMs) sendSignal(process.pid, 'SIGKILL');
    await delay(POLL_MS);
  }
}

/**
 * Ends what an earlier process started on a folder and left running: its starter was killed, and it takes its time to end by itself.
 * `pidFile` names it, and its command line holds `mark`, which no other process's does.
 */
export async function endLeftover(pidFile: string, mark: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  const isRunning = async (): Promise<boolean> =>
    (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(mark);
  if (!(await isRunning())) return;
  sendSignal(pid, 'SIGKILL');
  while (await isRunning()) await delay(POLL_MS);
}

/** To a process that may have ended meanwhile. */
function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function watchEnd(process: GuardedProcess): () => boolean {
  let ended = false;
  void process.exited.then(() => (ended = true));
  return () => ended;
}
