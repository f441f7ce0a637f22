/** Gives up attempts that no node will answer, and sends orders again that never arrived. */

import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import { manifestToMessage } from '../dispatch/dispatcher.ts';
import { recordsCall, type AuditLogger, type RecordDraft } from '../ledger/audit-logger.ts';
import type { Database, Queryable } from '../platform/postgres/pool.ts';
import { commitMovable, moveCall, moveColumns, moveParameters, type Move } from '../tasks/transition.ts';
import { endAttempts } from '../tasks/end-attempts.ts';
import type { EndedAttempt } from '../tasks/results.ts';
import { taskRecordColumns, taskRecordParameters, taskRecordsCall } from '../tasks/task-records.ts';
import { readLiveTasks, readManifests, type OutstandingOrder } from './collect-sql.ts';
import { decideLost, type LiveTask, type Outcome } from './outcome.ts';

/** Why an attempt is given up; stable codes. `not_received`: the node says that it never had it, so it cannot have run. */
export type LossReason = 'lease_over' | 'not_received';

/** Tasks that can go again at once, and tasks that have ended. */
export interface LostAttempts {
  ready: string[];
  ended: string[];
}

interface RecoverContext {
  database: Database;
  audit: AuditLogger;
  clock: Clock;
  random: () => number;
}

/** Records at most so many attempts in one record. */
const recordMax = 500;

/**
 * Gives up these attempts. Work that may be repeated is queued again with the next attempt number, or failed when its tries are
 * used up; destructive work is in doubt, unless its node says that it never had it. Answers the ids of tasks that are
 * queued again at once, and how many attempts were given up by node.
 */
export async function loseAttempts(
  orders: readonly OutstandingOrder[],
  reason: LossReason,
  context: RecoverContext,
): Promise<LostAttempts> {
  const live = await readLiveTasks(
    context.database,
    orders.map(({ task_id }) => task_id),
  );
  const lost = orders.filter((order) => isStill(order, live.get(order.task_id)));
  const doubtful = lost.filter(
    ({ task_id }) => reason === 'lease_over' && live.get(task_id)?.effects === 'destructive',
  );
  const repeatable = lost.filter((order) => !doubtful.includes(order));
  const ended: string[] = [];
  const ready: string[] = [];
  for (let i = 0; i < repeatable.length; i += recordMax) {
    await commitMovable(repeatable.slice(i, i + recordMax), async (movable) => {
      const outcome = await repeat(movable, live, reason, context);
      ready.push(...outcome.ready);
      ended.push(...outcome.ended);
    });
  }
  for (let i = 0; i < doubtful.length; i += recordMax) {
    await commitMovable(doubtful.slice(i, i + recordMax), (movable) => doubt(movable, reason, context));
  }
  return { ready, ended };
}

function isStill(order: OutstandingOrder, task: LiveTask | undefined): boolean {
  return task?.attempt === order.attempt && (task.state === 'dispatched' || task.state === 'running');
}

async function repeat(
  orders: readonly OutstandingOrder[],
  live: ReadonlyMap<string, LiveTask>,
  reason: LossReason,
  context: RecoverContext,
): Promise<LostAttempts> {
  const record = lostRecord(orders, reason);
  const moves: Move[] = [];
  const ended: EndedAttempt[] = [];
  const ready: string[] = [];
  for (const order of orders) {
    const task = live.get(order.task_id);
    if (task === undefined) continue;
    const outcome = reason === 'not_received' ? neverReceived(task) : decideLost(task, reason, context.random());
    if (outcome.kind !== 'end') ready.push(order.task_id);
    moves.push({
      task_id: order.task_id,
      attempt: order.attempt,
      to: outcome.kind === 'end' ? outcome.state : 'queued',
      tries: outcome.kind === 'handed_back' ? -1 : 0,
      ...(outcome.reason === null ? {} : { reason: outcome.reason }),
    });
    ended.push({
      task_id: order.task_id,
      attempt: order.attempt,
      state: outcome.kind === 'end' ? outcome.state : null,
      status: 'lost',
      reason,
      node_id: order.node_id,
      manifest: outcome.kind === 'end' ? null : order.manifest,
      record_id: record.id,
    });
  }
  const taskRecords = orders.map(({ task_id }) => ({ task_id, record_id: record.id }));
  await endAttempts(context.database, { ended, moves, taskRecords }, context.audit.arrays([record]));
  const endedTasks = ended.filter(({ state }) => state !== null).map(({ task_id }) => task_id);
  return { ready, ended: endedTasks };
}

function neverReceived(task: LiveTask): Outcome {
  if (task.is_cancel_requested) return { kind: 'end', state: 'cancelled', reason: 'cancel_requested' };
  return { kind: 'handed_back', delayS: 0, reason: 'not_received' };
}

const taskRecordsFirst = 1 + moveParameters;
const doubtText = `select ${moveCall(1)}, ${taskRecordsCall(taskRecordsFirst)},
  ${recordsCall(taskRecordsFirst + taskRecordParameters)}`;

/** The tasks keep their rows, `in_doubt`, until a late receipt or a person settles them. */
async function doubt(orders: readonly OutstandingOrder[], reason: LossReason, context: RecoverContext): Promise<void> {
  const record = lostRecord(orders, reason);
  const moves = orders.map(({ task_id, attempt }): Move => ({ task_id, attempt, to: 'in_doubt', reason }));
  await context.database.query({
    name: 'commit_doubt',
    text: doubtText,
    values: [
      ...moveColumns(moves),
      ...taskRecordColumns(orders.map(({ task_id }) => ({ task_id, record_id: record.id }))),
      ...context.audit.arrays([record]),
    ],
  });
}

function lostRecord(orders: readonly OutstandingOrder[], reason: LossReason): RecordDraft & { id: RecordId } {
  return {
    id: newId<RecordId>(),
    type: 'attempt.lost',
    outcome: 'failure',
    reason,
    target: { kind: 'task', ids: orders.map(({ task_id }) => task_id) },
    data: { attempts: orders.map(({ task_id, attempt }) => [task_id, attempt]) },
  };
}

/** Sends manifests again, as they were signed. Nodes know those that they have by their `jti`. */
export async function republish(db: Queryable, broker: Broker, jtis: readonly string[], nowMs: number): Promise<void> {
  const manifests = await readManifests(db, jtis);
  await broker.publish(manifests.map((manifest) => manifestToMessage(manifest, manifest.payloads, nowMs)));
}

/** Marks orders as running that their node says it has started; those that ended meanwhile are passed over. */
export async function markRunning(
  db: Queryable,
  orders: readonly { task_id: string; attempt: number }[],
): Promise<void> {
  const sorted = [...orders].sort((a, b) => (a.task_id < b.task_id ? -1 : 1));
  await commitMovable(sorted, async (movable) => {
    await db.query({
      name: 'mark_running',
      text: `select ${moveCall(1)}`,
      values: moveColumns(movable.map(({ task_id, attempt }): Move => ({ task_id, attempt, to: 'running' }))),
    });
  });
}
