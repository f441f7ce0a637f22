/** A process of Writ beyond those of `startWrit`: nodes and orchestrators that come and go while it runs. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from './cleanup.ts';

/** The command, as it was built. */
export const writProgram = fileURLToPath(new URL('../../bin/writ', import.meta.url));

export interface WritProcess {
  pid: number;
  /** What it has said first: one JSON document with `--json`. */
  said: string;
  /** In order: what runs is finished, what is to be sent is sent. */
  stop(): Promise<void>;
}

export interface WritProcessOptions {
  /** Of the command. */
  args: readonly string[];
  settings: Readonly<Record<string, string>>;
  /** Of Node.js. */
  flags?: readonly string[];
  /** Folder that it runs in. */
  folder: string;
}

/** Resolves when it has said that it is ready. */
export async function startWritProcess(options: WritProcessOptions, cleanup: Cleanup): Promise<WritProcess> {
  const { args, settings, flags = [], folder } = options;
  const base = { PATH: process.env['PATH'], HOME: process.env['HOME'], LOG_LEVEL: 'error' };
  const child = spawn(process.execPath, [...flags, writProgram, ...args], {
    cwd: folder,
    env: { ...base, ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const stop = cleanup.add(async () => {
    if (hasEnded()) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`writ ${args.join(' ')} has ended: see above`);
  });
  ended.catch(() => undefined);
  const [said] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
  return { pid: child.pid ?? 0, said: said.toString('utf8'), stop };
}

/** Runs a command of Writ to its end; answers how long it took, process start included. Fails where it fails. */
export async function runWrit(args: readonly string[], settings: Readonly<Record<string, string>>): Promise<number> {
  const startedMs = performance.now();
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...settings };
  const child = spawn(process.execPath, [writProgram, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`writ ${args.join(' ')} failed: see above`);
  return performance.now() - startedMs;
}
