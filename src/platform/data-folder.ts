/** Lets one process at a time work on a data folder. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FatalError } from '../domain/error.ts';

/** A folder that this process holds. */
export interface DataFolderLock {
  /** Lets it go. Calling it twice does nothing. */
  release(): Promise<void>;
}

/** What tells one process from every other, one that got its number later included. */
interface Holder {
  pid: number;
  /** In ticks since the boot, where the system tells it. */
  started: string | null;
  boot: string | null;
}

/** The content of one lock file; `released` once its holder let go. */
type LockFile = Holder & { released: boolean };

const LOCKS = 'lock';
/** Takes over at most so many dead holders in a row before it gives up; each is a process that died meanwhile. */
const MAX_TRIES = 100;

/**
 * Holds `dir`, which is made (mode 0700) if missing, until `release` or the end of this process. The lock of a process that died is
 * taken over. Fails `FatalError` with the holder's pid while another process, or this one, has it.
 *
 * The lock is a folder of numbered files, and whose is the highest number has the lock. The next number is taken by making its file,
 * which succeeds for one process only, and only once the holder of the highest one is gone; lower ones are removed by the holder. The
 * highest is never removed, so numbers only rise, and a process that has looked too early finds a higher number than its own.
 */
export async function lockDataFolder(dir: string): Promise<DataFolderLock> {
  await mkdir(join(dir, LOCKS), { recursive: true, mode: 0o700 });
  const self = await describe(process.pid);
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const highest = (await lockNumbers(dir)).at(-1) ?? 0;
    if (highest > 0) await refuseWhileHeld(dir, highest);
    const mine = highest + 1;
    if (!(await create(dir, mine, { ...self, released: false }))) continue;
    const numbers = await lockNumbers(dir);
    if (numbers.at(-1) !== mine) {
      await rm(lockPath(dir, mine), { force: true });
      continue;
    }
    for (const number of numbers.slice(0, -1)) await rm(lockPath(dir, number), { force: true });
    return { release: () => replace(dir, mine, { ...self, released: true }) };
  }
  throw new FatalError(`${dir}: the lock changes hands too fast; start again`);
}

async function lockNumbers(dir: string): Promise<number[]> {
  const names = await readdir(join(dir, LOCKS));
  return names
    .filter((name) => /^[1-9]\d*$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

async function refuseWhileHeld(dir: string, number: number): Promise<void> {
  const lock = await readLock(dir, number);
  if (lock === undefined || lock.released) return;
  if (!(await isRunning(lock))) return;
  throw new FatalError(
    `${dir} is in use by another process (pid ${lock.pid}): stop that one, or choose another data folder`,
  );
}

async function isRunning(holder: Holder): Promise<boolean> {
  try {
    const { started, boot } = await describe(holder.pid);
    return started === holder.started && boot === holder.boot;
  } catch {
    return false;
  }
}

/** Undefined for a file that is gone or that no version of this program wrote. */
async function readLock(dir: string, number: number): Promise<LockFile | undefined> {
  try {
    return JSON.parse(await readFile(lockPath(dir, number), 'utf8')) as LockFile;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** False where the number is taken. The file appears with all its content. */
async function create(dir: string, number: number, content: LockFile): Promise<boolean> {
  const draft = await writeDraft(dir, content);
  try {
    await link(draft, lockPath(dir, number));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function replace(dir: string, number: number, content: LockFile): Promise<void> {
  await rename(await writeDraft(dir, content), lockPath(dir, number));
}

async function writeDraft(dir: string, content: LockFile): Promise<string> {
  const path = join(dir, LOCKS, `draft-${randomUUID()}`);
  await writeFile(path, JSON.stringify(content), { mode: 0o600, flag: 'wx' });
  return path;
}

function lockPath(dir: string, number: number): string {
  return join(dir, LOCKS, String(number));
}

/** Throws where no such process runs. */
async function describe(pid: number): Promise<Holder> {
  if (process.platform !== 'linux') {
    assertAlive(pid);
    return { pid, started: null, boot: null };
  }
  const status = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The program's name comes second, in brackets, and may hold anything (proc_pid_stat(5)).
  const [state, ...rest] = status.slice(status.lastIndexOf(')') + 2).split(' ');
  if (state === 'Z' || state === 'X') throw new Error(`process ${pid} has ended`);
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return { pid, started: rest[18] ?? null, boot };
}

function assertAlive(pid: number): void {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}
