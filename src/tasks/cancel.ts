/** Cancels tasks: at once where no node has them, else by a request that the node answers. */

import { z } from 'zod';
import { AppError } from '../domain/error.ts';
import type { Transaction } from '../platform/postgres/pool.ts';
import { checkTaskId, commandRecord, insertTaskRecord, lockLiveTask, note } from './command.ts';
import type { CommandContext, LiveRow, TaskCommand } from './command.ts';
import { endQueuedTasks } from './end-queued.ts';
import { withIdempotency, type WorkAnswer } from './idempotent.ts';
import { readTask } from './read-tasks.ts';
import type { Answer } from './submit-commit.ts';

/** What `POST /api/v1/tasks/{task_id}/cancel` takes. */
export const cancelRequest = z.strictObject({ reason: note.optional() });
export type CancelRequest = z.infer<typeof cancelRequest>;

const cancelled = 'cancelled_by_request';

/**
 * 202 with the task: `cancelled`, or as it was with the request noted. If the work has succeeded when the node learns of it,
 * `succeeded` wins. Fails `conflict`: `already_ended`, or `in_doubt`, which only a settlement leaves.
 */
export async function cancelTask(
  command: TaskCommand,
  request: CancelRequest,
  context: CommandContext,
): Promise<Answer> {
  checkTaskId(command.taskId);
  let outcome: 'ended' | 'requested' | undefined;
  const answer = await withIdempotency(context.database, command.principal, command.idempotency, async (tx) => {
    const live = await lockLiveTask(tx, command.taskId);
    if (live === undefined) throw await endedError(tx, command.taskId);
    if (live.state === 'in_doubt') throw inDoubt();
    outcome = live.state === 'waiting' || live.state === 'queued' ? 'ended' : 'requested';
    if (outcome === 'ended') await endNow(tx, live, command, request, context);
    else await requestStop(tx, live, command, request, context);
    return accepted(tx, command.taskId);
  });
  if (outcome === 'ended') context.onEnded([command.taskId]);
  if (outcome === 'requested') context.onCancelRequested([command.taskId]);
  return answer;
}

async function endNow(
  tx: Transaction,
  live: LiveRow,
  command: TaskCommand,
  { reason }: CancelRequest,
  { audit }: CommandContext,
): Promise<void> {
  const {
    id: _,
    target: __,
    ...record
  } = commandRecord(command, {
    type: 'task.cancel',
    permission: 'tasks:cancel',
    data: { requested: false, reason },
  });
  await endQueuedTasks(tx, audit, [live], { state: 'cancelled', reason: cancelled, record });
}

async function requestStop(
  tx: Transaction,
  live: LiveRow,
  command: TaskCommand,
  { reason }: CancelRequest,
  { audit }: CommandContext,
): Promise<void> {
  await tx.query({
    name: 'request_cancel',
    text: `insert into cancel_requests (task_id, attempt, node_id, reason) values ($1, $2, $3, $4)
           on conflict (task_id) do update set attempt = excluded.attempt, node_id = excluded.node_id, reason = excluded.reason`,
    values: [live.task_id, live.attempt, live.node_id, reason ?? cancelled],
  });
  const record = commandRecord(command, {
    type: 'task.cancel',
    permission: 'tasks:cancel',
    data: { requested: true, attempt: live.attempt, reason },
  });
  await audit.append(tx, [record]);
  await insertTaskRecord(tx, live.task_id, record.id);
}

async function endedError(tx: Transaction, taskId: string): Promise<AppError> {
  const { state } = await readTask(tx, taskId);
  return new AppError('conflict', `The task is ${state} already.`, { reason: 'already_ended' });
}

function inDoubt(): AppError {
  return new AppError('conflict', 'The task may have run: nobody can cancel it. Settle it with what is known.', {
    reason: 'in_doubt',
  });
}

async function accepted(tx: Transaction, taskId: string): Promise<WorkAnswer> {
  return { status: 202, location: `/api/v1/tasks/${taskId}`, body: await readTask(tx, taskId) };
}
