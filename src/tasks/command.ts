/** What a person or an integration does to a task that is there: the parts that all such acts share. */

import { z } from 'zod';
import { actorOf, authzOf } from '../aaa/accounting.ts';
import { AppError } from '../domain/error.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import { effectiveScope, privateScope, type Permission, type Principal } from '../domain/principal.ts';
import type { Clock } from '../domain/clock.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import type { Database, Queryable } from '../platform/postgres/pool.ts';
import type { RecordObject } from '../proof/record.ts';
import { isUuid } from '../proof/ids.ts';
import type { IdempotencyClaim } from './idempotent.ts';
import { taskRecordColumns, taskRecordsCall } from './task-records.ts';

export interface CommandContext {
  database: Database;
  audit: AuditLogger;
  clock: Clock;
  /** One priority point is worth so much waiting. */
  priorityMs: number;
  /** Called after the commit: these tasks are over, whoever holds them forgets them. */
  onEnded: (taskIds: readonly string[]) => void;
  /** Called after the commit: these tasks are queued, and can run. */
  onQueued: (taskIds: readonly string[]) => void;
  /** Called after the commit: a node is to be told. */
  onCancelRequested: (taskIds: readonly string[]) => void;
}

/** Who acts on which task, in which call. `taskId` is whatever the caller sent. */
export interface TaskCommand {
  principal: Principal;
  taskId: string;
  requestId: string;
  idempotency?: IdempotencyClaim;
}

/** A person's words in a record have so many characters at most. */
export const noteMaxLength = 500;

/** Why somebody does something; goes into the audit log. */
export const note = z.string().min(1).max(noteMaxLength);

/** A live task's row, as a command decides by it. */
export interface LiveRow {
  task_id: string;
  state: string;
  attempt: number;
  node_id: string | null;
  manifest: string | null;
}

/** The queue's row of a task, locked until the transaction ends; undefined where the task is not live. */
export async function lockLiveTask(tx: Queryable, taskId: string): Promise<LiveRow | undefined> {
  const found = await tx.query<LiveRow>({
    name: 'lock_live_task',
    text: 'select task_id, state, attempt, node_id, manifest from queue where task_id = $1 for update',
    values: [taskId],
  });
  return found.rows[0];
}

/** Fails `not_found` for what is no task's id, before a statement is asked with it. */
export function checkTaskId(taskId: string): void {
  if (!isUuid(taskId)) throw new AppError('not_found', 'There is no such task.', { reason: 'task_not_found' });
}

/** The record of an act on one task. Absent members of `data` stay absent. */
export function commandRecord(
  command: TaskCommand,
  act: { type: string; permission: Permission; data: RecordObject },
): RecordDraft & { id: RecordId } {
  return {
    id: newId<RecordId>(),
    type: act.type,
    outcome: 'success',
    actor: actorOf(command.principal),
    authz: authzOf(command.principal, act.permission),
    target: { kind: 'task', id: command.taskId },
    data: act.data,
    request_id: command.requestId,
  };
}

/** Notes that a record tells of a task. */
export async function insertTaskRecord(tx: Queryable, taskId: string, recordId: string): Promise<void> {
  await tx.query({
    name: 'insert_task_record',
    text: `select ${taskRecordsCall(1)}`,
    values: taskRecordColumns([{ task_id: taskId, record_id: recordId }]),
  });
}

/** Takes back what was asked of a node that no longer has the task: a later attempt must not be stopped by it. */
export async function dropCancelRequest(tx: Queryable, taskId: string): Promise<void> {
  await tx.query({
    name: 'drop_cancel_request',
    text: 'delete from cancel_requests where task_id = $1',
    values: [taskId],
  });
}

/** Fails `forbidden` where the caller may not have this task run: its role, or a scope that is not the task's. */
export function checkMayRun(principal: Principal, task: { required_role: string; scope: string | null }): void {
  if (!principal.roles.has(task.required_role)) {
    throw new AppError('forbidden', `This task needs the role ${task.required_role}.`, { reason: 'role_missing' });
  }
  const own = effectiveScope(principal);
  if (own !== privateScope && own !== task.scope) {
    throw new AppError('forbidden', 'You are bound to a scope that is not this task’s.', { reason: 'scope_changed' });
  }
}
