/** Settles a task that is in doubt, by a person's word. */

import { z } from 'zod';
import { AppError } from '../domain/error.ts';
import type { Transaction } from '../platform/postgres/pool.ts';
import { checkMayRun, checkTaskId, commandRecord, dropCancelRequest, lockLiveTask, note } from './command.ts';
import type { CommandContext, LiveRow, TaskCommand } from './command.ts';
import { endAttempts } from './end-attempts.ts';
import { withIdempotency } from './idempotent.ts';
import { readTask, requireTaskRow } from './read-tasks.ts';
import type { Answer } from './submit-commit.ts';
import type { Move } from './transition.ts';

/** What `POST /api/v1/tasks/{task_id}/settle` takes. */
export const settleRequest = z.strictObject({ as: z.enum(['succeeded', 'failed', 'run_again']), reason: note });
export type SettleRequest = z.infer<typeof settleRequest>;

const settled = 'settled';

/**
 * 200 with the task: ended as the person says, or queued again with the lost attempt kept. Fails `conflict` (`not_in_doubt`) for any
 * other task, `forbidden` (`role_missing`) where work is to run again that demands a role which the caller does not hold.
 */
export async function settleTask(
  command: TaskCommand,
  request: SettleRequest,
  context: CommandContext,
): Promise<Answer> {
  checkTaskId(command.taskId);
  const answer = await withIdempotency(context.database, command.principal, command.idempotency, async (tx) => {
    const live = await lockLiveTask(tx, command.taskId);
    const task = await requireTaskRow(tx, command.taskId);
    if (live?.state !== 'in_doubt') {
      throw new AppError('conflict', `The task is ${task.state}: there is no doubt to settle.`, {
        reason: 'not_in_doubt',
      });
    }
    if (request.as === 'run_again') checkMayRun(command.principal, task);
    const rank = context.clock.now() - task.priority * context.priorityMs;
    await dropCancelRequest(tx, live.task_id);
    await settle(tx, live, command, request, rank, context);
    return { status: 200, location: null, body: await readTask(tx, command.taskId) };
  });
  if (answer.replayed) return answer;
  if (request.as === 'run_again') context.onQueued([command.taskId]);
  else context.onEnded([command.taskId]);
  return answer;
}

async function settle(
  tx: Transaction,
  live: LiveRow,
  command: TaskCommand,
  { as, reason }: SettleRequest,
  rank: number,
  { audit }: CommandContext,
): Promise<void> {
  const record = commandRecord(command, {
    type: 'task.settle',
    permission: 'tasks:settle',
    data: { as, attempt: live.attempt, reason },
  });
  const fence = { task_id: live.task_id, attempt: live.attempt, from_doubt: true, reason: settled };
  const move: Move = as === 'run_again' ? { ...fence, to: 'queued', rank } : { ...fence, to: as };
  const ended = {
    task_id: live.task_id,
    attempt: live.attempt,
    state: as === 'run_again' ? null : as,
    status: 'lost',
    reason: settled,
    node_id: live.node_id,
    manifest: as === 'run_again' ? live.manifest : null,
    record_id: record.id,
  };
  const taskRecords = [{ task_id: live.task_id, record_id: record.id }];
  await endAttempts(tx, { ended: [ended], moves: [move], taskRecords }, audit.arrays([record]));
}
