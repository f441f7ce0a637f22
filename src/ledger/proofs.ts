/** Proofs from the stored tree: that records are in the log, and that the log only grew. */

import { AppError } from '../domain/error.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { formatTlogProof } from '../proof/tlog-proof.ts';
import { consistencyProof, inclusionProof } from '../proof/tree-proof.ts';
import { hashReader } from './hash-reader.ts';
import { readHead, readLastCheckpoint, type CheckpointRow } from './log-sql.ts';

/** One record, or all that tell of a task. */
export type ProofSubject = { seq: number } | { task_id: string };

/** Checkpoints come about once a second. */
const retryAfterS = 1;

/**
 * A C2SP tlog-proof for each record, in the order of the log, under the newest checkpoint and with the record's line as `extra`.
 * Fails `not_found` where the log has no such record, `conflict` with `not_checkpointed` where no checkpoint covers one yet.
 */
export async function readProofs(db: Queryable, subject: ProofSubject): Promise<string[]> {
  // The checkpoint first: it covers a prefix of whatever is read after it.
  const checkpoint = await readLastCheckpoint(db);
  const records = await ('seq' in subject ? readRecord(db, subject.seq) : readTaskRecords(db, subject.task_id));
  const { size, note } = requireCovered(checkpoint, Math.max(...records.map(({ seq }) => seq ?? Infinity)));
  const read = hashReader(db, size);
  const proofs: string[] = [];
  for (const { seq, line } of records) {
    if (seq === null || line === null) continue;
    const hashes = await inclusionProof(read, seq, size);
    proofs.push(formatTlogProof({ index: seq, hashes, checkpoint: note, extra: line }));
  }
  return proofs;
}

/** Base64 hashes that prove that the tree of `to` leaves begins with that of `from`. Fails as `readProofs` does. */
export async function readConsistencyProof(db: Queryable, from: number, to: number): Promise<string[]> {
  if (from > to) {
    const message = 'A log grows: `from` is the smaller of two sizes.';
    throw new AppError('invalid', message, { reason: 'invalid_range', errors: [{ path: 'from', message }] });
  }
  requireCovered(await readLastCheckpoint(db), to - 1);
  return (await consistencyProof(hashReader(db, to), from, to)).map((hash) => hash.toString('base64'));
}

/** A record that tells of the subject; without place and line while it waits to be chained. */
interface ToldBy {
  seq: number | null;
  line: Buffer | null;
}

async function readRecord(db: Queryable, seq: number): Promise<ToldBy[]> {
  const found = await db.query<ToldBy>({
    name: 'read_line',
    text: 'select seq, line from audit_log where seq = $1',
    values: [seq],
  });
  if (found.rows.length > 0) return found.rows;
  const size = (await readHead(db))?.size ?? 0;
  if (seq < size) throw new Error('the log has gaps');
  throw new AppError('not_found', 'The log has no such record yet.', { reason: 'record_not_found' });
}

async function readTaskRecords(db: Queryable, taskId: string): Promise<ToldBy[]> {
  const found = await db.query<ToldBy>({
    name: 'read_task_lines',
    text: `select l.seq, l.line from (
             select record_id from tasks where task_id = $1
             union select record_id from results where task_id = $1
             union select m.record_id from results r join manifests m on m.jti = r.manifest where r.task_id = $1
             union select m.record_id from queue q join manifests m on m.jti = q.manifest where q.task_id = $1
             union select record_id from task_records where task_id = $1) t
             left join audit_log l on l.id = t.record_id order by l.seq`,
    values: [taskId],
  });
  if (found.rows.length > 0) return found.rows;
  throw new AppError('not_found', 'There is no such task.', { reason: 'task_not_found' });
}

/** The checkpoint, which must cover record `seq`. */
function requireCovered(checkpoint: CheckpointRow | undefined, seq: number): CheckpointRow {
  if (checkpoint !== undefined && seq < checkpoint.size) return checkpoint;
  const message = 'No checkpoint covers this yet. Try again in a second.';
  throw new AppError('conflict', message, { reason: 'not_checkpointed', retryAfterS });
}
