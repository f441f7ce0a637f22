/** Plans what receipts change: which results count, where their tasks go, and what the records say. */

import { newId, type RecordId } from '../domain/ids.ts';
import type { RecordDraft } from '../ledger/audit-logger.ts';
import type { EndedAttempt } from '../tasks/results.ts';
import type { TaskRecord } from '../tasks/task-records.ts';
import type { Move } from '../tasks/transition.ts';
import type { ReceiptRow } from './collect-sql.ts';
import type { OpenReceipt, OpenResult } from './open-receipt.ts';
import { decideOutcome, type LiveTask, type Outcome } from './outcome.ts';

export interface Collection {
  receipts: ReceiptRow[];
  moves: Move[];
  ended: EndedAttempt[];
  records: RecordDraft[];
  /** Records that tell of tasks beside their results: late answers. */
  taskRecords: TaskRecord[];
  /** Tasks that go again at once, once this is committed. */
  handedBack: string[];
}

interface PlanContext {
  /** Live tasks as they were read; those of `unread` succeeded and are taken on trust: the commit checks them. */
  live: ReadonlyMap<string, LiveTask>;
  isUnread: (taskId: string) => boolean;
  nowMs: number;
  random: () => number;
}

/** Each result counts, settles a doubt, or is late; each is named by exactly one record (formats.md rule 14). */
export function planCollection(receipts: readonly OpenReceipt[], context: PlanContext): Collection {
  const collection: Collection = { receipts: [], moves: [], ended: [], records: [], taskRecords: [], handedBack: [] };
  const taken = new Set<string>();
  for (const receipt of receipts) planReceipt(receipt, collection, taken, context);
  // Rows are locked in the order of their ids, here as elsewhere: two commits then never wait for each other.
  collection.moves.sort(byTaskId);
  collection.ended.sort(byTaskId);
  return collection;
}

function byTaskId(a: { task_id: string }, b: { task_id: string }): number {
  return a.task_id < b.task_id ? -1 : 1;
}

function planReceipt(receipt: OpenReceipt, collection: Collection, taken: Set<string>, context: PlanContext): void {
  const { payload } = receipt;
  const acceptId = newId<RecordId>();
  const lateId = newId<RecordId>();
  const counted: [string, number, string][] = [];
  const retried: string[] = [];
  const late: [string, number, string][] = [];
  for (const open of receipt.results) {
    const { task_id, attempt, status } = open.result;
    const standing = taken.has(task_id) ? 'late' : standingOf(open, payload.iss, context);
    if (standing !== 'late') taken.add(task_id);
    if (standing === 'counts') counted.push([task_id, attempt, status]);
    else late.push([task_id, attempt, status]);
    if (standing === 'late') continue;
    const outcome = outcomeOf(open, context);
    if (outcome.kind !== 'end') retried.push(task_id);
    if (outcome.kind !== 'end' && outcome.delayS === 0) collection.handedBack.push(task_id);
    const recordId = standing === 'counts' ? acceptId : lateId;
    collection.moves.push(moveOf(open, outcome, payload.iss, standing === 'settles', context.nowMs));
    collection.ended.push(endedOf(open, outcome, receipt, recordId, context.live.get(task_id)?.manifest ?? null));
  }
  const base = { actor: { id: payload.iss, kind: 'node' }, target: { kind: 'node', id: payload.iss } };
  if (counted.length > 0) {
    const data = { receipt_sha256: receipt.sha256, results: counted, ...(retried.length > 0 ? { retried } : {}) };
    collection.records.push({ ...base, id: acceptId, type: 'receipt.accept', outcome: 'success', data });
  }
  if (late.length > 0) {
    const data = { receipt_sha256: receipt.sha256, results: late };
    for (const [task_id] of late) collection.taskRecords.push({ task_id, record_id: lateId });
    collection.records.push({ ...base, id: lateId, type: 'receipt.late', outcome: 'deny', reason: 'superseded', data });
  }
  collection.receipts.push({
    jti: payload.jti,
    sha256: receipt.sha256,
    node_id: payload.iss,
    boot_id: payload.boot_id,
    seq: payload.seq,
    previous_boot: payload.previous_boot,
    record_id: counted.length > 0 ? acceptId : lateId,
    jws: receipt.jws,
  });
}

function standingOf({ result }: OpenResult, nodeId: string, context: PlanContext): 'counts' | 'settles' | 'late' {
  if (context.isUnread(result.task_id)) return 'counts';
  const live = context.live.get(result.task_id);
  if (live?.attempt !== result.attempt || live.node_id !== nodeId) return 'late';
  if (live.state === 'dispatched' || live.state === 'running') return 'counts';
  const isAnswer = result.status !== 'not_started' && result.status !== 'refused';
  return live.state === 'in_doubt' && isAnswer ? 'settles' : 'late';
}

function outcomeOf(open: OpenResult, context: PlanContext): Outcome {
  const { result, isRetryable } = open;
  const live = context.live.get(result.task_id);
  if (live === undefined) return { kind: 'end', state: 'succeeded', reason: null };
  const outcome = decideOutcome(
    { status: result.status, errorCode: result.error?.code ?? null, isRetryable },
    live,
    context.random(),
  );
  // What was in doubt may have had its effect: its late answer ends it, whatever it says.
  if (live.state !== 'in_doubt' || (outcome.kind === 'end' && outcome.state === 'succeeded')) return outcome;
  return { kind: 'end', state: 'failed', reason: outcome.reason };
}

function moveOf({ result }: OpenResult, outcome: Outcome, nodeId: string, settles: boolean, nowMs: number): Move {
  const isEnd = outcome.kind === 'end';
  const waitsS = isEnd ? 0 : outcome.delayS;
  return {
    task_id: result.task_id,
    attempt: result.attempt,
    to: isEnd ? outcome.state : waitsS === 0 ? 'queued' : 'waiting',
    tries: outcome.kind === 'handed_back' ? -1 : 0,
    wake_at: waitsS === 0 ? undefined : new Date(nowMs + waitsS * 1000),
    reason: isEnd ? undefined : outcome.reason,
    by_node: nodeId,
    from_doubt: settles,
  };
}

function endedOf(
  { result, output, metadata }: OpenResult,
  outcome: Outcome,
  receipt: OpenReceipt,
  recordId: string,
  manifest: string | null,
): EndedAttempt {
  return {
    task_id: result.task_id,
    attempt: result.attempt,
    state: outcome.kind === 'end' ? outcome.state : null,
    status: result.status,
    reason: outcome.reason,
    node_id: receipt.payload.iss,
    manifest: outcome.kind === 'end' ? null : manifest,
    receipt: receipt.payload.jti,
    started_at: result.started_at,
    ended_at: result.ended_at,
    output,
    output_sha256: result.output_sha256,
    output_bytes: result.output_bytes,
    error: result.error,
    metadata,
    record_id: recordId,
  };
}
