/** Reads tasks as callers see them: one, a page of them, and those that failed for good. */

import { AppError } from '../domain/error.ts';
import type { Task } from '../domain/task.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { isUuid } from '../proof/ids.ts';
import { continuedPage, readCursor, type Page } from './list-cursor.ts';
import { listTaskRows, readTaskRow, type TaskFilters, type TaskViewRow } from './read-sql.ts';

/** The task as it is now. Fails `not_found`; `taskId` is whatever the caller sent. */
export async function readTask(db: Queryable, taskId: string): Promise<Task> {
  return taskOf(await requireTaskRow(db, taskId));
}

/** The row of a task, for whoever decides about it. Fails `not_found`. */
export async function requireTaskRow(db: Queryable, taskId: string): Promise<TaskViewRow> {
  const row = isUuid(taskId) ? await readTaskRow(db, taskId) : undefined;
  if (row === undefined) throw new AppError('not_found', 'There is no such task.', { reason: 'task_not_found' });
  return row;
}

/** A page of tasks, newest first. New tasks do not move what a cursor has still to show. */
export async function listTasks(
  db: Queryable,
  filters: TaskFilters,
  cursor: string | undefined,
  limit: number,
): Promise<Page<Task>> {
  const before = readCursor('tasks', cursor, isUuid);
  const { rows, next } = await listTaskRows(db, filters, before, limit);
  return continuedPage('tasks', rows.map(taskOf), next);
}

/** A task that failed for good, and how its last attempt ended. */
export interface DeadLetter {
  task: Task;
  error: { code: string; message: string } | null;
}

/** A page of failed tasks, newest first, each with its last error. */
export async function deadLetters(db: Queryable, cursor: string | undefined, limit: number): Promise<Page<DeadLetter>> {
  const before = readCursor('dead_letters', cursor, isUuid);
  const { rows, next } = await listTaskRows(db, { state: 'failed' }, before, limit);
  const errors = await readErrors(db, rows);
  const items = rows.map((row) => ({ task: taskOf(row), error: errors.get(row.task_id) ?? null }));
  return continuedPage('dead_letters', items, next);
}

async function readErrors(db: Queryable, rows: readonly TaskViewRow[]): Promise<Map<string, DeadLetter['error']>> {
  const found = await db.query<{ task_id: string; error: DeadLetter['error'] }>({
    text: `select r.task_id, r.error from unnest($1::uuid[], $2::integer[]) l (task_id, attempt)
             join results r on r.task_id = l.task_id and r.attempt = l.attempt`,
    values: [rows.map(({ task_id }) => task_id), rows.map(({ attempt }) => attempt)],
  });
  return new Map(found.rows.map(({ task_id, error }) => [task_id, error]));
}

/** The task that a row tells of. */
export function taskOf(row: TaskViewRow): Task {
  return {
    task_id: row.task_id,
    state: row.state,
    reason: row.reason,
    source: row.source,
    tool: row.tool,
    action: row.action,
    payload: JSON.parse(row.payload.toString('utf8')) as Record<string, unknown>,
    required_role: row.required_role,
    priority: row.priority,
    run_at: row.run_at?.toISOString() ?? null,
    expires_at: row.expires_at?.toISOString() ?? null,
    timeout_s: row.timeout_s,
    retry: { max_attempts: row.max_attempts, initial_s: row.retry_initial_s, max_s: row.retry_max_s },
    affinity: row.affinity,
    constraints: row.constraints,
    tags: row.tags ?? [],
    labels: row.labels ?? {},
    traceparent: row.traceparent,
    requested_by: row.requested_by,
    effects: row.effects,
    task_sha256: row.task_sha256.toString('hex'),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    attempt: row.attempt,
    tries: row.tries,
    node_id: row.node_id,
    manifest_sha256: row.manifest_sha256?.toString('hex') ?? null,
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  };
}
