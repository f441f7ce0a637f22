/** A process of its own whose functions can be called: what makes load, and peers. */

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from './cleanup.ts';

type Reply = { id: number; answer: unknown } | { id: number; error: string };

export interface Helper {
  pid: number;
  /** Calls a function of the program that `serve` was given. Fails with its error, or where the process ends. */
  call<Answer>(name: string, options?: object): Promise<Answer>;
  /** Stands still until `resume`: no timer and no poll of it disturbs others. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/**
 * Starts `program`, a path beside this folder, with one argument as JSON. TypeScript is loaded where the name ends in .ts; `flags` are
 * further ones of Node.js.
 */
export async function startHelper(
  program: string,
  argument: object,
  cleanup: Cleanup,
  flags: readonly string[] = [],
): Promise<Helper> {
  const child = fork(fileURLToPath(new URL(`../${program}`, import.meta.url)), [JSON.stringify(argument)], {
    execArgv: [...(program.endsWith('.ts') ? ['--import=tsx'] : []), ...flags],
  });
  const stop = cleanup.add(() => end(child));
  const failed = once(child, 'exit').then(() => {
    throw new Error(`${program} has ended`);
  });
  failed.catch(() => undefined);
  await Promise.race([once(child, 'message'), failed]);
  let lastId = 0;
  const call = async <Answer>(name: string, options: object = {}): Promise<Answer> => {
    const id = ++lastId;
    const answered = answerOf<Answer>(child, id);
    child.send({ id, name, options });
    return Promise.race([answered, failed]);
  };
  return {
    pid: child.pid ?? 0,
    call,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop,
  };
}

function answerOf<Answer>(child: ChildProcess, id: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const listener = (message: unknown): void => {
      const reply = message as Reply;
      if (reply.id !== id) return;
      child.off('message', listener);
      if ('error' in reply) reject(new Error(reply.error));
      else resolve(reply.answer as Answer);
    };
    child.on('message', listener);
  });
}

/** By SIGKILL: it has nothing to keep, and may stand still. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
