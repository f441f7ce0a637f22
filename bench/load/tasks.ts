/** A process that submits tasks over HTTP. */

import { setTimeout as delay } from 'node:timers/promises';
import { nowMs, serve } from '../peers/serve.mjs';
import { createSender, type Sender } from './post.ts';

/** One task as it is submitted, JSON. */
type Submission = object;

export interface TaskLoad {
  /** One orchestrator or several: calls go to them in turn. */
  urls: string[];
  /** One principal or several. */
  tokens: string[];
  task: Submission;
  tasks: number;
  /** Tasks of one call; with 1 they are single submissions. */
  size: number;
  /** Calls side by side. */
  atOnce: number;
}

export interface LoadReport {
  /** By the clock of `nowMs`. */
  beganMs: number;
  endedMs: number;
  /** Of each call of single submissions, milliseconds; else empty. */
  callsMs: number[];
}

export interface SteadyLoad extends Omit<TaskLoad, 'tasks' | 'size' | 'atOnce'> {
  tasksPerS: number;
  seconds: number;
}

/** Calls a second of the steady load. */
const steadyCallsPerS = 20;

serve({ submit, submitSteadily });

async function submit({ urls, tokens, task, tasks, size, atOnce }: TaskLoad): Promise<LoadReport> {
  const isSingle = size === 1;
  const senders = sendersOf(urls, tokens, atOnce);
  const whole = bodyOf(task, size, isSingle);
  const callsMs: number[] = [];
  let left = tasks;
  const caller = async (sender: Sender): Promise<void> => {
    while (left > 0) {
      const n = Math.min(left, size);
      left -= n;
      const startedMs = nowMs();
      await sender.post(pathOf(isSingle), n === size ? whole : bodyOf(task, n, isSingle));
      if (isSingle) callsMs.push(nowMs() - startedMs);
    }
  };
  const beganMs = nowMs();
  // Those who come to one orchestrator more than others do are the first.
  const callers = Math.max(atOnce, senders.length);
  await Promise.all(Array.from({ length: callers }, (_, n) => caller(senders[n % senders.length]!)));
  const endedMs = nowMs();
  for (const sender of senders) sender.close();
  return { beganMs, endedMs, callsMs };
}

/** A call at its time whether or not those before it are answered, as independent clients do. */
async function submitSteadily({ urls, tokens, task, tasksPerS, seconds }: SteadyLoad): Promise<LoadReport> {
  const senders = sendersOf(urls, tokens, 32);
  const beganMs = nowMs();
  const calls: Promise<void>[] = [];
  let failed: Error | undefined;
  let sent = 0;
  for (let n = 1; n <= seconds * steadyCallsPerS && failed === undefined; n++) {
    const size = Math.round((n * tasksPerS) / steadyCallsPerS) - sent;
    sent += size;
    if (size > 0) {
      const posted = senders[n % senders.length]!.post(pathOf(false), bodyOf(task, size, false));
      calls.push(posted.catch((error: unknown) => void (failed = error as Error)));
    }
    await delay(Math.max(0, beganMs + (n * 1000) / steadyCallsPerS - nowMs()));
  }
  await Promise.all(calls);
  for (const sender of senders) sender.close();
  if (failed !== undefined) throw failed;
  return { beganMs, endedMs: nowMs(), callsMs: [] };
}

/** One for each principal and orchestrator; each principal comes from an address of its own, as it would. */
function sendersOf(urls: readonly string[], tokens: readonly string[], atOnce: number): Sender[] {
  const connections = Math.ceil(atOnce / (urls.length * tokens.length));
  return tokens.flatMap((token, n) =>
    urls.map((url) =>
      createSender({ url, token, connections, expected: 202, localAddress: `127.0.0.${(n % 250) + 1}` }),
    ),
  );
}

function pathOf(isSingle: boolean): string {
  return isSingle ? '/api/v1/tasks' : '/api/v1/tasks/batch';
}

function bodyOf(task: Submission, size: number, isSingle: boolean): string {
  return isSingle ? JSON.stringify(task) : JSON.stringify({ tasks: Array.from({ length: size }, () => task) });
}
