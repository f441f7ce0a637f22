/** Starts a program of PostgreSQL so that it ends when this process does, in whatever way. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { FatalError } from '../../../domain/error.ts';
import { CLEAN_ENVIRONMENT, type Account } from './account.ts';

/** How a program ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface GuardedProcess {
  /** Of the program itself: nothing stands in between. */
  pid: number;
  exited: Promise<Exit>;
  /** What it has written so far. */
  output(): Promise<string>;
  /** From now on it does not hold this process up: when nothing else is left to do that ends, and the program with it. */
  unref(): void;
}

export interface GuardedOptions {
  account: Account;
  file: string;
  args: readonly string[];
  /** Takes both outputs, appended. A file, not a pipe, so that it can write on when this process is gone. */
  logFile: string;
  /** Sent to the program when this process is gone. */
  signalAtEnd: 'INT' | 'TERM';
}

/**
 * A shell that leaves a watcher behind and becomes the program. The watcher reads from a pipe whose other end only this process
 * holds: a line means "ended well", the end of the file that this process died, by SIGKILL as well. It is not the program's child,
 * since PostgreSQL wonders about children that it did not make.
 */
const GUARD = `me=$$; signal=$1; shift
( { read -r line <&3 || kill -s "$signal" "$me"; } >/dev/null 2>&1 & )
exec "$@" 3<&-`;

/** Starts it in a session of its own, where Ctrl-C in the terminal does not reach it. Fails `FatalError`. */
export async function startGuarded({
  account,
  file,
  args,
  logFile,
  signalAtEnd,
}: GuardedOptions): Promise<GuardedProcess> {
  const log = await open(logFile, 'a', 0o600);
  const from = (await log.stat()).size;
  const [command = 'sh', ...words] = [...account.prefix, 'sh', '-c', GUARD, 'sh', signalAtEnd, file, ...args];
  const child = spawn(command, words, {
    ...account.ids,
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log.fd, log.fd, 'pipe'],
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new FatalError(`cannot start ${command}`, error);
  } finally {
    await log.close();
  }
  if (child.pid === undefined) throw new FatalError(`cannot start ${command}`);
  const pipe = child.stdio[3] as Socket;
  return {
    pid: child.pid,
    exited: releaseAtExit(child, pipe),
    output: async () => (await readFile(logFile)).subarray(from).toString('utf8'),
    unref: () => {
      pipe.unref();
      child.unref();
    },
  };
}

function releaseAtExit(child: ChildProcess, pipe: Socket): Promise<Exit> {
  pipe.on('error', () => undefined);
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      pipe.end('ended\n');
      resolve({ code, signal });
    });
  });
}
