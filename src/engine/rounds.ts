/** Small rounds of the leader's loops: due tasks, expired tasks, signs of life in the log. */

import { systemActor } from '../aaa/accounting.ts';
import { findExpiredTasks, wakeDueTasks } from '../schedule/schedule-sql.ts';
import { endQueuedTasks, type QueuedTask } from '../tasks/end-queued.ts';
import type { EngineParts } from './parts.ts';

/** Tasks in one round at most. */
export const roundMax = 1000;

/** Makes tasks queued that are due; answers their ids. */
export function wakeDue(parts: EngineParts, term: number): Promise<string[]> {
  return wakeDueTasks(parts.database, term, parts.priorityMs, roundMax);
}

/** Ends tasks that were not started in time; answers them. */
export async function expireTasks(parts: EngineParts): Promise<readonly QueuedTask[]> {
  const { database, audit, processId } = parts;
  const found = await findExpiredTasks(database, roundMax);
  if (found.length === 0) return [];
  return endQueuedTasks(database, audit, found, {
    state: 'expired',
    reason: 'not_started_in_time',
    record: { type: 'task.expire', outcome: 'failure', reason: 'not_started_in_time', actor: systemActor(processId) },
  });
}

/** Appends a record that says nothing but that the log goes on, so that silence shows. */
export async function appendHeartbeat(parts: EngineParts, term: number): Promise<void> {
  const { database, audit, processId } = parts;
  await audit.append(database, [
    { type: 'log.heartbeat', outcome: 'success', actor: systemActor(processId), data: { term } },
  ]);
}
