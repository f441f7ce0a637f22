/** Waits for the end of a task by long polls. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../domain/clock.ts';
import type { Task } from '../domain/task.ts';
import { isEndState, type TaskState } from '../domain/task-state.ts';

/** Longest long poll that the API allows. */
const pollMaxS = 60;
/** A poll that ends sooner than this did not wait: the next one is held back. */
const pollLeastMs = 250;

export interface WaitOptions {
  /** Without it as long as it takes. */
  timeoutS?: number;
  /** Called at first and at each change of the state that is seen. */
  onChange?: (task: Task) => void;
  signal?: AbortSignal;
}

/** The task at its end, or as it is when the time is up. `get` asks for the task and lets the server wait so long. */
export async function waitForEnd(
  get: (waitS: number) => Promise<Task>,
  options: WaitOptions,
  clock: Clock,
): Promise<Task> {
  const { timeoutS = Infinity, onChange, signal } = options;
  const endMs = clock.monotonicMs() + timeoutS * 1000;
  let task = await get(0);
  let seen: TaskState | undefined;
  for (;;) {
    if (task.state !== seen) onChange?.(task);
    seen = task.state;
    const leftMs = endMs - clock.monotonicMs();
    if (isEndState(task.state) || leftMs <= 0) return task;
    const startMs = clock.monotonicMs();
    // States between come and go inside one long poll: who wants to see them polls shortly.
    const waitS = Math.min(onChange === undefined ? pollMaxS : 1, Math.ceil(leftMs / 1000));
    task = await get(waitS);
    const tookMs = clock.monotonicMs() - startMs;
    if (!isEndState(task.state) && tookMs < pollLeastMs) {
      const restMs = Math.min(pollLeastMs - tookMs, Math.max(0, leftMs - tookMs));
      await pause(restMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}
