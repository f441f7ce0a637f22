/** Reads what attempts came to: the result that ended a task, and every attempt beside it. */

import { isUtf8 } from 'node:buffer';
import { AppError } from '../domain/error.ts';
import { isEndState, type EndState } from '../domain/task-state.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { requireTaskRow } from './read-tasks.ts';

/** How `output` is to be read: a JSON value, a text, or standard base64 of bytes that are no UTF-8. */
export type OutputEncoding = 'json' | 'text' | 'base64';

export interface AttemptError {
  code: string;
  message: string;
}

/** What a task came to. `output` is the kept part; `output_bytes` and `output_sha256` are of the whole. */
export interface TaskResult {
  task_id: string;
  state: EndState;
  /** What the node said, or the state where no node had the last word. */
  status: string;
  reason: string | null;
  attempt: number;
  started_at: string | null;
  ended_at: string;
  output: unknown;
  output_encoding: OutputEncoding | null;
  output_sha256: string | null;
  output_bytes: number | null;
  error: AttemptError | null;
  metadata: unknown;
}

interface ResultRow {
  attempt: number;
  status: string | null;
  reason: string | null;
  node_id: string | null;
  started_at: Date | null;
  ended_at: Date | null;
  created_at: Date;
  output_sha256: Buffer | null;
  output_bytes: number | null;
  error: AttemptError | null;
}

/** The result of a task that has ended. Fails `not_found`: `task_not_found`, or `not_finished` before its end. */
export async function readResult(db: Queryable, taskId: string): Promise<TaskResult> {
  const task = await requireTaskRow(db, taskId);
  if (!isEndState(task.state)) {
    throw new AppError('not_found', `The task is ${task.state}: it has no result yet.`, {
      reason: 'not_finished',
      retryAfterS: 1,
    });
  }
  const found = await db.query<ResultRow & { output: Buffer | null; metadata: Buffer | null }>({
    name: 'read_result',
    text: `select attempt, status, reason, node_id, started_at, ended_at, created_at, output, output_sha256, output_bytes, error, metadata
             from results where task_id = $1 and attempt = $2`,
    values: [taskId, task.attempt],
  });
  const row = found.rows[0];
  if (row === undefined) throw new AppError('internal', 'a task has ended without a result');
  const output = row.output === null ? null : readOutput(row.output);
  return {
    task_id: taskId,
    state: task.state,
    status: row.status ?? task.state,
    reason: row.reason,
    attempt: row.attempt,
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: (row.ended_at ?? row.created_at).toISOString(),
    output: output?.value ?? null,
    output_encoding: output?.encoding ?? null,
    output_sha256: row.output_sha256?.toString('hex') ?? null,
    output_bytes: row.output_bytes,
    error: row.error,
    metadata: row.metadata === null ? null : readOutput(row.metadata).value,
  };
}

/** A tool wrote these bytes: they may be anything. */
function readOutput(bytes: Buffer): { value: unknown; encoding: OutputEncoding } {
  if (!isUtf8(bytes)) return { value: bytes.toString('base64'), encoding: 'base64' };
  const text = bytes.toString('utf8');
  try {
    return { value: JSON.parse(text) as unknown, encoding: 'json' };
  } catch {
    return { value: text, encoding: 'text' };
  }
}

/** One try at a task. `status` is null while its node has it in hand, `lost` where no node will answer. */
export interface Attempt {
  attempt: number;
  status: string | null;
  reason: string | null;
  node_id: string | null;
  manifest_sha256: string | null;
  receipt_sha256: string | null;
  issued_at: string | null;
  started_at: string | null;
  ended_at: string | null;
  output_sha256: string | null;
  output_bytes: number | null;
  error: AttemptError | null;
}

interface AttemptRow extends ResultRow {
  manifest_sha256: Buffer | null;
  receipt_sha256: Buffer | null;
  issued_at: Date | null;
}

/** Every order that was given for a task, first to last; the one that is out now is the last. */
export async function readAttempts(db: Queryable, taskId: string): Promise<Attempt[]> {
  await requireTaskRow(db, taskId);
  const found = await db.query<AttemptRow>({
    name: 'read_attempts',
    text: `select a.*, m.sha256 as manifest_sha256, m.issued_at, c.sha256 as receipt_sha256 from (
             select attempt, status, reason, node_id, manifest, receipt, started_at, ended_at, created_at, output_sha256,
                    output_bytes, error
               from results where task_id = $1 and status is not null
             union all
             select attempt, null, reason, node_id, manifest, null, null, null, updated_at, null, null, null
               from queue where task_id = $1 and manifest is not null
           ) a left join manifests m on m.jti = a.manifest left join receipts c on c.jti = a.receipt order by a.attempt`,
    values: [taskId],
  });
  return found.rows.map((row) => ({
    attempt: row.attempt,
    status: row.status,
    reason: row.reason,
    node_id: row.node_id,
    manifest_sha256: row.manifest_sha256?.toString('hex') ?? null,
    receipt_sha256: row.receipt_sha256?.toString('hex') ?? null,
    issued_at: row.issued_at?.toISOString() ?? null,
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.status === null ? null : (row.ended_at ?? row.created_at).toISOString(),
    output_sha256: row.output_sha256?.toString('hex') ?? null,
    output_bytes: row.output_bytes,
    error: row.error,
  }));
}
