/** The one statement of a submission: keys, tasks, queue rows and records, in one transaction and one round trip. */

import type { Queryable } from '../platform/postgres/pool.ts';
import type { RecordArrays } from '../ledger/audit-logger.ts';
import type { PlannedTask } from './plan.ts';

/** An idempotency key to take with a call, and the answer that it stands for. */
export interface KeyClaim {
  principal: string;
  key: string;
  body_sha256: Buffer;
  status: number;
  location: string | null;
  answer: Buffer;
}

export interface TaskRow {
  task: PlannedTask;
  requirement: number;
  record_id: string;
}

const claims = 'claim_idempotency_keys($1, $2, $3, $4, $5, $6)';
const records = 'append_records($7, $8, $9, $10, $11, $12, $13, $14, $15)';
const tasks = `insert_tasks(${Array.from({ length: 29 }, (_, i) => `$${(16 + i).toString()}`).join(', ')})`;

/** Fails with WR003 where a key is taken; `claims` positions in its detail count from 1. Nothing is stored then. */
export async function insertSubmission(
  db: Queryable,
  keys: readonly KeyClaim[],
  rows: readonly TaskRow[],
  recordArrays: RecordArrays,
): Promise<void> {
  await db.query({
    name: 'submit_tasks',
    text: `select ${claims}, ${tasks}, ${records}`,
    values: [...keyColumns(keys), ...recordArrays, ...taskColumns(rows)],
  });
}

function keyColumns(keys: readonly KeyClaim[]): unknown[] {
  return [
    keys.map((k) => k.principal),
    keys.map((k) => k.key),
    keys.map((k) => k.body_sha256),
    keys.map((k) => k.status),
    keys.map((k) => k.location),
    keys.map((k) => k.answer),
  ];
}

function taskColumns(rows: readonly TaskRow[]): unknown[] {
  const column = (value: (task: PlannedTask) => unknown): unknown[] => rows.map(({ task }) => value(task));
  return [
    column((t) => t.task_id),
    column((t) => t.source),
    column((t) => t.action.tool),
    column((t) => t.action.action),
    column((t) => t.action.digest),
    column((t) => t.action.effects),
    column((t) => t.payload),
    column((t) => t.payload_sha256),
    column((t) => `\\x${t.task_sha256}`),
    column((t) => t.required_role),
    column((t) => t.scope),
    column((t) => t.priority),
    column((t) => t.run_at),
    column((t) => t.expires_at),
    column((t) => t.timeout_s),
    column((t) => t.max_attempts),
    column((t) => t.retry_initial_s),
    column((t) => t.retry_max_s),
    column((t) => t.affinity),
    rows.map(({ requirement }) => requirement),
    column((t) => (t.tags.length === 0 ? null : JSON.stringify(t.tags))),
    column((t) => (isEmpty(t.labels) ? null : JSON.stringify(t.labels))),
    column((t) => t.traceparent),
    column((t) => t.requested_by),
    column((t) => t.credential_id),
    rows.map(({ record_id }) => record_id),
    column((t) => t.created_at),
    column((t) => (t.wake_at === null ? t.rank : null)),
    column((t) => t.wake_at),
  ];
}

function isEmpty(object: object): boolean {
  for (const _ in object) return false;
  return true;
}

export interface StoredAnswer {
  body_sha256: Buffer;
  status: number;
  location: string | null;
  answer: Buffer;
}

/** The first answer under a key; undefined where it has gone meanwhile. */
export async function readAnswer(db: Queryable, principal: string, key: string): Promise<StoredAnswer | undefined> {
  const found = await db.query<StoredAnswer>({
    name: 'read_idempotent_answer',
    text: 'select body_sha256, status, location, answer from idempotency_keys where principal = $1 and key = $2',
    values: [principal, key],
  });
  return found.rows[0];
}

/** Takes keys away that are older than a day; at most so many at once. */
export async function deleteOldKeys(db: Queryable, limit: number): Promise<number> {
  const deleted = await db.query({
    name: 'delete_old_idempotency_keys',
    text: `delete from idempotency_keys where ctid = any (array(
             select ctid from idempotency_keys where created_at < now() - interval '24 hours' limit $1))`,
    values: [limit],
  });
  return deleted.rowCount;
}
