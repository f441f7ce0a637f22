/** Processes of Writ, from what was built. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const writ = fileURLToPath(new URL('../../bin/writ', import.meta.url));

/** Flags of Node.js for an orchestrator or a node, as in docker/Dockerfile: young objects get more room, and old ones are looked through less often. */
export const heapFlags: readonly string[] = ['--max-semi-space-size=64', '--initial-old-space-size=256'];

export interface WritProcess {
  pid: number;
  /** What it has said first: one JSON document with `--json`. */
  said: string;
  /** In order: what runs is finished, what is to be sent is sent. Calling it twice does nothing. */
  stop(): Promise<void>;
}

export interface WritProcessOptions {
  /** Of the command. */
  args: readonly string[];
  settings: Readonly<Record<string, string>>;
  /** Of Node.js. */
  flags?: readonly string[];
  /** Folder that it runs in; default: this process's own. */
  folder?: string;
  /** Called before it is ready: whoever ends in between ends it by this. */
  onSpawned: (stop: () => Promise<void>) => void;
}

/** Resolves when it has said that it is ready. It gets nothing of this process's environment but the path and the home. */
export async function startWritProcess(options: WritProcessOptions): Promise<WritProcess> {
  const { args, settings, flags = [], folder, onSpawned } = options;
  const child = start([...flags, writ, ...args], settings, { folder, stdout: 'pipe' });
  const stop = (): Promise<void> => end(child);
  onSpawned(stop);
  const what = `writ ${args.join(' ')}`;
  if (child.stdout === null || child.pid === undefined) throw new Error(`${what} cannot be started`);
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${what} has ended: see above`);
  });
  ended.catch(() => undefined);
  const [said] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
  return { pid: child.pid, said: said.toString('utf8'), stop };
}

/** Runs a command of Writ to its end. Fails where it fails. */
export async function runWrit(args: readonly string[], settings: Readonly<Record<string, string>>): Promise<void> {
  const child = start([writ, ...args], settings, { folder: undefined, stdout: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`writ ${args.join(' ')} failed: see above`);
}

function start(
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  { folder, stdout }: { folder: string | undefined; stdout: 'pipe' | 'ignore' },
): ChildProcess {
  const base = { PATH: process.env['PATH'], HOME: process.env['HOME'], LOG_LEVEL: 'warn' };
  const stdio: ('ignore' | 'pipe' | 'inherit')[] = ['ignore', stdout, 'inherit'];
  return spawn(process.execPath, args, { cwd: folder, env: { ...base, ...settings }, stdio });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
