/** Long polls: answers a task when it has ended, or when the time is up. */

import { isEndState } from '../../domain/task-state.ts';
import type { Task } from '../../domain/task.ts';
import { readTask } from '../../tasks/read-tasks.ts';
import type { HttpServices } from './services.ts';

/** Another orchestrator may end the task: without a wake-up it is read again after so long. */
const readAgainMs = 1000;

/** The task as it is at its end, or after `waitS`, or when the caller goes away. Fails `not_found`. */
export async function waitForEnd(
  services: Pick<HttpServices, 'database' | 'changes' | 'clock'>,
  taskId: string,
  waitS: number,
  ended: () => AbortSignal,
): Promise<Task> {
  const { database, changes, clock } = services;
  if (waitS === 0) return readTask(database, taskId);
  const gone = ended();
  const endMs = clock.monotonicMs() + waitS * 1000;
  // The watch begins before the first look: what changes in between is not missed.
  const watch = changes.watch(taskId);
  try {
    for (;;) {
      const task = await readTask(database, taskId);
      const restMs = endMs - clock.monotonicMs();
      if (isEndState(task.state) || restMs <= 0 || gone.aborted) return task;
      await watch.next(Math.min(readAgainMs, restMs), gone);
    }
  } finally {
    watch.stop();
  }
}
