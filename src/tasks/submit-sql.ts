/** The one statement of a submission: keys, tasks, queue rows and records, in one transaction and one round trip. */

import { recordsCall, type RecordArrays } from '../ledger/audit-logger.ts';
import { byteaArray, hexArray, intArray, Kinds, textArray, timeArray, uuidArray } from '../platform/postgres/arrays.ts';
import { placeholders } from '../platform/postgres/placeholders.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { isEmpty } from './is-empty.ts';
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

const claimParameters = 6;
const taskParameters = 30;
const tasksFirst = 1 + claimParameters;
const text = `select claim_idempotency_keys(${placeholders(1, claimParameters)}),
  insert_tasks(${placeholders(tasksFirst, taskParameters)}), ${recordsCall(tasksFirst + taskParameters)}`;

/** Fails with WR003 where a key is taken; `claims` positions in its detail count from 1. Nothing is stored then. */
export async function insertSubmission(
  db: Queryable,
  keys: readonly KeyClaim[],
  rows: readonly TaskRow[],
  recordArrays: RecordArrays,
): Promise<void> {
  await db.query({
    name: 'submit_tasks',
    text,
    values: [...keyColumns(keys), ...taskColumns(rows), ...recordArrays],
  });
}

function keyColumns(keys: readonly KeyClaim[]): unknown[] {
  return [
    keys.map((k) => k.principal),
    keys.map((k) => k.key),
    byteaArray(keys.map((k) => k.body_sha256)),
    keys.map((k) => k.status),
    keys.map((k) => k.location),
    byteaArray(keys.map((k) => k.answer)),
  ];
}

type TaskKind = readonly [
  source: string,
  tool: string,
  action: string,
  toolDigest: string,
  effects: string,
  requiredRole: string,
  scope: string | null,
  priority: number,
  runAtMs: number | null,
  expiresAtMs: number | null,
  timeoutS: number,
  maxAttempts: number,
  retryInitialS: number,
  retryMaxS: number,
  affinity: string | null,
  requirement: number,
  tags: string | null,
  labels: string | null,
  requestedBy: string,
  credentialId: string,
  recordId: string,
  createdAtMs: number,
  rank: number,
  wakeAtMs: number | null,
];

function kindOf({ task: t, requirement, record_id }: TaskRow): TaskKind {
  return [
    t.source,
    t.action.tool,
    t.action.action,
    t.action.digest,
    t.action.effects,
    t.required_role,
    t.scope,
    t.priority,
    t.run_at?.getTime() ?? null,
    t.expires_at?.getTime() ?? null,
    t.timeout_s,
    t.max_attempts,
    t.retry_initial_s,
    t.retry_max_s,
    t.affinity,
    requirement,
    t.tags.length === 0 ? null : JSON.stringify(t.tags),
    isEmpty(t.labels) ? null : JSON.stringify(t.labels),
    t.requested_by,
    t.credential_id,
    record_id,
    t.created_at.getTime(),
    t.rank,
    t.wake_at?.getTime() ?? null,
  ];
}

function taskColumns(rows: readonly TaskRow[]): unknown[] {
  const kinds = new Kinds<TaskKind>();
  for (const row of rows) kinds.add(kindOf(row));
  const traceparents = rows.map(({ task }) => task.traceparent);
  return [
    uuidArray(rows.map(({ task }) => task.task_id)),
    intArray(kinds.positions),
    byteaArray(rows.map(({ task }) => task.payload)),
    hexArray(rows.map(({ task }) => task.payload_sha256)),
    hexArray(rows.map(({ task }) => task.task_sha256)),
    textArray(traceparents),
    ...kinds.columns(8),
    timeArray(kinds.column(8)),
    timeArray(kinds.column(9)),
    ...kinds.columns(21, 10),
    timeArray(kinds.column(21)),
    kinds.column(22),
    timeArray(kinds.column(23)),
  ];
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
             select ctid from idempotency_keys where created_at < now() - interval '24 hours' order by created_at limit $1))`,
    values: [limit],
  });
  return deleted.rowCount;
}
