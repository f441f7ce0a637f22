/** Ends tasks that no node has in hand: cancelled, expired, or their requester's standing is gone. */

import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { endAttempts } from './end-attempts.ts';
import { commitMovable } from './transition.ts';

export interface QueuedTask {
  task_id: string;
  attempt: number;
}

export interface Ending {
  state: 'cancelled' | 'expired';
  /** Stable code, kept with the task. */
  reason: string;
  /** The record that tells of it, but for its target. */
  record: Omit<RecordDraft, 'target' | 'id'>;
}

const recordTasksMax = 500;

/**
 * Ends those of the tasks that still are waiting or queued under the given attempt, and answers them. A task that was never an
 * order has no attempt to end: its end is kept under the next number. One statement, which commits by itself or joins `db`'s
 * transaction; in a transaction a task that moved meanwhile fails it with WR002.
 */
export async function endQueuedTasks(
  db: Queryable,
  audit: AuditLogger,
  tasks: readonly QueuedTask[],
  ending: Ending,
): Promise<readonly QueuedTask[]> {
  return commitMovable(tasks, (movable) => endAll(db, audit, movable, ending));
}

async function endAll(db: Queryable, audit: AuditLogger, tasks: readonly QueuedTask[], ending: Ending): Promise<void> {
  const records: RecordDraft[] = [];
  for (let i = 0; i < tasks.length; i += recordTasksMax) {
    const ids = tasks.slice(i, i + recordTasksMax).map(({ task_id }) => task_id);
    records.push({ ...ending.record, id: newId<RecordId>(), target: { kind: 'task', ids } });
  }
  const recordOf = (i: number): string => records[Math.floor(i / recordTasksMax)]?.id ?? '';
  const { state, reason } = ending;
  const ends = {
    ended: tasks.map(({ task_id, attempt }, i) => ({
      task_id,
      attempt: attempt + 1,
      state,
      status: null,
      reason,
      record_id: recordOf(i),
    })),
    moves: tasks.map(({ task_id, attempt }) => ({ task_id, attempt, to: state })),
    taskRecords: tasks.map(({ task_id }, i) => ({ task_id, record_id: recordOf(i) })),
  };
  await endAttempts(db, ends, audit.arrays(records));
}
