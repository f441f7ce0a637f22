/** Queues a task again that ended without success; its history stays. */

import { z } from 'zod';
import { AppError } from '../domain/error.ts';
import { isEndState, isLegalMove } from '../domain/task-state.ts';
import type { Transaction } from '../platform/postgres/pool.ts';
import {
  checkMayRun,
  checkTaskId,
  commandRecord,
  dropCancelRequest,
  insertTaskRecord,
  note,
  type CommandContext,
  type TaskCommand,
} from './command.ts';
import { withIdempotency } from './idempotent.ts';
import type { TaskViewRow } from './read-sql.ts';
import { readTask, requireTaskRow } from './read-tasks.ts';
import type { Answer } from './submit-commit.ts';

/** What `POST /api/v1/tasks/{task_id}/redrive` takes. */
export const redriveRequest = z.strictObject({ reason: note.optional() });
export type RedriveRequest = z.infer<typeof redriveRequest>;

/**
 * 202 with the task, queued, with no tries counted; an `expires_at` that has passed bounds it no more. It still runs in the name of
 * its requester, whose standing is checked again when its order is signed. Fails `forbidden` (`role_missing`) unless the caller
 * holds the role that the task demands, `conflict` (`not_redrivable`) for a task that is live or succeeded.
 */
export async function redriveTask(
  command: TaskCommand,
  request: RedriveRequest,
  context: CommandContext,
): Promise<Answer> {
  checkTaskId(command.taskId);
  const answer = await withIdempotency(context.database, command.principal, command.idempotency, async (tx) => {
    await lockRedrive(tx, command.taskId);
    const task = await requireTaskRow(tx, command.taskId);
    checkRedrive(task, command);
    const nowMs = context.clock.now();
    await dropCancelRequest(tx, task.task_id);
    await insertQueueRow(tx, task, nowMs - task.priority * context.priorityMs);
    const record = commandRecord(command, {
      type: 'task.redrive',
      permission: 'tasks:redrive',
      data: { from_state: task.state, attempt: task.attempt, reason: request.reason },
    });
    await context.audit.append(tx, [record]);
    await insertTaskRecord(tx, task.task_id, record.id);
    return { status: 202, location: `/api/v1/tasks/${task.task_id}`, body: await readTask(tx, task.task_id) };
  });
  if (!answer.replayed) context.onQueued([command.taskId]);
  return answer;
}

/** Only a redrive leaves an end state: redrives of one task go one after the other, so that what is read here stays true. */
async function lockRedrive(tx: Transaction, taskId: string): Promise<void> {
  await tx.query({
    name: 'lock_redrive',
    text: `select pg_advisory_xact_lock(hashtextextended('redrive ' || $1, 0))`,
    values: [taskId],
  });
}

function checkRedrive(task: TaskViewRow, { principal }: TaskCommand): void {
  checkMayRun(principal, task);
  if (!isEndState(task.state) || !isLegalMove(task.state, 'queued')) {
    throw new AppError(
      'conflict',
      `The task is ${task.state}: only failed, expired and cancelled tasks are redriven.`,
      {
        reason: 'not_redrivable',
      },
    );
  }
}

async function insertQueueRow(tx: Transaction, { task_id, attempt }: TaskViewRow, rank: number): Promise<void> {
  await tx.query({
    name: 'redrive_task',
    text: `insert into queue (task_id, state, attempt, requirement, principal, source, rank, reason, expires_at)
           select task_id, 'queued', $2, requirement, requested_by, source, $3, 'redriven',
                  case when expires_at > now() then expires_at end
             from tasks where task_id = $1`,
    values: [task_id, attempt, rank],
  });
}
