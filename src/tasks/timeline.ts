/** What happened to a task, told by the audit log. */

import { readRecordsById, type FoundRecord } from '../ledger/record-search.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { AuditRecord, RecordObject } from '../proof/record.ts';
import { requireTaskRow } from './read-tasks.ts';

/** One record that tells of the task, cut to what concerns it. */
export interface TimelineEntry {
  seq: number;
  ts: string;
  type: string;
  outcome: string;
  reason: string | null;
  /** Who did it; null for what an orchestrator did by itself in the name of nobody. */
  actor: string | null;
  /** The attempt and what its node said of it, where the record tells of one. */
  attempt: number | null;
  status: string | null;
  manifest_sha256: string | null;
  receipt_sha256: string | null;
  /** What a person gave as the reason of an act. */
  note: string | null;
  request_id: string | null;
}

/** Ids of the records that tell of a task: its submission, its manifests, its receipts, and acts upon it. */
export async function recordIdsOfTask(db: Queryable, taskId: string): Promise<string[]> {
  const found = await db.query<{ record_id: string }>({
    name: 'record_ids_of_task',
    text: `select record_id from tasks where task_id = $1
           union select record_id from results where task_id = $1
           union select m.record_id from results r join manifests m on m.jti = r.manifest where r.task_id = $1
           union select m.record_id from queue q join manifests m on m.jti = q.manifest where q.task_id = $1
           union select record_id from task_records where task_id = $1`,
    values: [taskId],
  });
  return found.rows.map(({ record_id }) => record_id);
}

/** The task's records in the order of the log. What was committed in the last milliseconds may not be in the log yet. */
export async function readTimeline(db: Queryable, taskId: string): Promise<TimelineEntry[]> {
  await requireTaskRow(db, taskId);
  const records = await readRecordsById(db, await recordIdsOfTask(db, taskId));
  return records.map((found) => entryOf(found, taskId));
}

function entryOf({ record }: FoundRecord, taskId: string): TimelineEntry {
  const data: RecordObject = record.data ?? {};
  const [, attempt, status] = ownResult(data, taskId) ?? [];
  return {
    seq: record.seq,
    ts: record.ts,
    type: record.type,
    outcome: record.outcome,
    reason: record.reason ?? null,
    actor: record.actor?.id ?? null,
    attempt: numberOf(attempt),
    status: textOf(status),
    manifest_sha256: textOf(data['manifest_sha256']),
    receipt_sha256: textOf(data['receipt_sha256']),
    note: noteOf(record),
    request_id: record.request_id ?? null,
  };
}

/** `[task_id, attempt, status]` of a receipt's record, or `[task_id, attempt]` of one that gives attempts up. */
function ownResult(data: RecordObject, taskId: string): readonly unknown[] | undefined {
  const lists: unknown[] = [data['results'], data['attempts']];
  for (const list of lists) {
    if (!Array.isArray(list)) continue;
    const own = (list as unknown[]).find((item): item is unknown[] => Array.isArray(item) && item[0] === taskId);
    if (own !== undefined) return own;
  }
  return undefined;
}

function noteOf({ type, data }: AuditRecord): string | null {
  return type.startsWith('task.') ? textOf(data?.['reason']) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
