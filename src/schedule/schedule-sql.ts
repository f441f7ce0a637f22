/** Statements of the scheduler: windows of the queue, due tasks, expired tasks. */

import type { Queryable } from '../platform/postgres/pool.ts';
import type { Effects } from '../proof/manifest.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import type { ReadWindow } from './task-scheduler.ts';

interface ReadyTaskRow extends Omit<ReadyTask, 'expires_at_ms' | 'payload_sha256' | 'effects'> {
  expires_at: Date | null;
  effects: Effects;
  payload_sha256: Buffer;
}

/** Reads windows from a database. */
export function readWindowFrom(db: Queryable): ReadWindow {
  return async ({ requirement, principal, source }, after, limit) => {
    const found = await db.query<ReadyTaskRow>({
      name: 'read_window',
      text: 'select * from read_window($1, $2, $3, $4, $5, $6)',
      values: [requirement, principal, source, after.rank, after.task_id, limit],
    });
    return found.rows.map(readyTaskOf);
  };
}

/** Those of the given tasks that are queued, as the scheduler holds them. */
export async function readReadyTasks(db: Queryable, taskIds: readonly string[]): Promise<ReadyTask[]> {
  const found = await db.query<ReadyTaskRow>({
    name: 'read_ready_tasks',
    text: 'select * from read_ready_tasks($1)',
    values: [taskIds],
  });
  return found.rows.map(readyTaskOf);
}

/** Member by member, in the order of `readyTask`: objects of one shape are what the engine is fast with. */
function readyTaskOf(row: ReadyTaskRow): ReadyTask {
  return {
    task_id: row.task_id,
    attempt: row.attempt,
    rank: row.rank,
    requirement: row.requirement,
    principal: row.principal,
    source: row.source,
    expires_at_ms: row.expires_at?.getTime() ?? null,
    tool: row.tool,
    action: row.action,
    tool_digest: row.tool_digest,
    effects: row.effects,
    timeout_s: row.timeout_s,
    scope: row.scope,
    required_role: row.required_role,
    credential_id: row.credential_id,
    payload_sha256: row.payload_sha256.toString('hex'),
    payload: row.payload,
    affinity: row.affinity,
    traceparent: row.traceparent,
  };
}

export interface QueueKey {
  requirement: number;
  principal: string;
  source: string;
}

/** Each (requirement, principal, source) that has work. */
export async function listWindows(db: Queryable): Promise<QueueKey[]> {
  const found = await db.query<QueueKey>({ name: 'list_windows', text: 'select * from list_windows()', values: [] });
  return found.rows;
}

/** Makes up to `limit` waiting tasks queued whose time has come, and answers their ids. Rank counts from the time they were due. */
export async function wakeDueTasks(db: Queryable, term: number, priorityMs: number, limit: number): Promise<string[]> {
  const woken = await db.query<{ tasks: string[] }>({
    name: 'wake_due_tasks',
    text: 'select wake_due_tasks($1, $2, $3) as tasks',
    values: [term, priorityMs, limit],
  });
  return woken.rows[0]?.tasks ?? [];
}

export interface ExpiredTask {
  task_id: string;
  attempt: number;
}

/** Up to `limit` tasks that were not started in time. */
export async function findExpiredTasks(db: Queryable, limit: number): Promise<ExpiredTask[]> {
  const found = await db.query<ExpiredTask>({
    name: 'find_expired_tasks',
    text: `select task_id, attempt from queue
            where expires_at <= now() and state in ('waiting', 'queued') order by expires_at limit $1`,
    values: [limit],
  });
  return found.rows;
}

/** Milliseconds until the next waiting task is due; null where none waits. */
export async function msUntilNextDue(db: Queryable): Promise<number | null> {
  const found = await db.query<{ ms: number | null }>({
    name: 'ms_until_next_due',
    text: `select (extract(epoch from min(wake_at) - clock_timestamp()) * 1000)::float8 as ms from queue where wake_at is not null`,
    values: [],
  });
  return found.rows[0]?.ms ?? null;
}

/** How many tasks are live. */
export async function countLiveTasks(db: Queryable): Promise<number> {
  const found = await db.query<{ n: number }>({
    name: 'count_live_tasks',
    text: 'select count(*) as n from queue',
    values: [],
  });
  return found.rows[0]?.n ?? 0;
}
