/** Ends a PostgreSQL server that an earlier process left running on a folder, and clears away the lock file of one that is gone. */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FatalError } from '../../../domain/error.ts';

const run = promisify(execFile);
const POLL_MS = 10;
/** SIGINT is a fast shutdown, with a checkpoint; SIGQUIT ends at once, and the next start recovers from the log. */
const STEPS = [
  { signal: 'SIGINT', waitMs: 30_000 },
  { signal: 'SIGQUIT', waitMs: 10_000 },
] as const;

/**
 * Call it only while holding the folder: a server found here is nobody's. A lock file whose process is dead is PostgreSQL's own
 * business; one whose number another process has now is removed, which PostgreSQL would not dare. Backends that outlive their server
 * do no harm: PostgreSQL finds their shared memory by the folder's inode and refuses to start until they are gone.
 */
export async function endLeftover(cluster: string): Promise<void> {
  const lockFile = join(cluster, 'postmaster.pid');
  const text = await readFile(lockFile, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const pid = Number(text.split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 1) {
    await rm(lockFile, { force: true });
    return;
  }
  if (await isServerOf(pid, cluster)) {
    await endServer(pid, cluster);
  } else if (isAlive(pid)) {
    await rm(lockFile, { force: true });
  }
}

/** Ends a server, gently first. `isGone` tells whether it is. Fails `FatalError` when it will not end. */
export async function endServerBySignals(pid: number, isGone: () => boolean | Promise<boolean>): Promise<void> {
  for (const { signal, waitMs } of STEPS) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
        throw new FatalError(
          `PostgreSQL (pid ${pid}) runs on this folder as another user and cannot be stopped: stop it`,
          error,
        );
      }
    }
    for (let waitedMs = 0; waitedMs < waitMs; waitedMs += POLL_MS) {
      if (await isGone()) return;
      await delay(POLL_MS);
    }
  }
  throw new FatalError(`PostgreSQL (pid ${pid}) does not end: stop it, then start again`);
}

async function endServer(pid: number, cluster: string): Promise<void> {
  await endServerBySignals(pid, async () => !(await isServerOf(pid, cluster)));
}

/** The command line is compared, which unlike the program's path anybody may read: `postgres -D <cluster> …`. */
async function isServerOf(pid: number, cluster: string): Promise<boolean> {
  const [program = '', flag, folder] = await commandLine(pid);
  return basename(program) === 'postgres' && flag === '-D' && folder === cluster;
}

async function commandLine(pid: number): Promise<string[]> {
  if (process.platform === 'linux') {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  }
  const { stdout } = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  const match = /^(\S.*?) (-D) (.*?) -c /.exec(stdout);
  return match === null ? [] : match.slice(1);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
