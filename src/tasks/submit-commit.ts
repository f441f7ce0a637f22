/** Commits submissions that arrived together, and settles which of them were made before. */

import { AppError } from '../domain/error.ts';
import type { Principal } from '../domain/principal.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import { raised } from '../platform/postgres/raised.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { PlannedTask } from './plan.ts';
import { readyTask, type ReadyTask } from './ready-task.ts';
import type { Requirements } from './requirements.ts';
import { insertSubmission, readAnswer, type KeyClaim, type TaskRow } from './submit-sql.ts';

/** What a call is answered with: bytes of JSON, the same at every replay. */
export interface Answer {
  status: number;
  location: string | null;
  body: Buffer;
  replayed: boolean;
}

/** A call whose decisions are made. */
export interface SubmissionCall {
  principal: Principal;
  rows: { task: PlannedTask; record_id: string }[];
  records: RecordDraft[];
  answer: Answer;
  idempotency?: { key: string; bodySha256: Buffer };
}

interface CommitOptions {
  database: Database;
  audit: AuditLogger;
  requirements: Requirements;
  onAccepted: (ready: ReadyTask[], accepted: number) => void;
}

/**
 * One answer or failure for each call, in order. Calls under a key that is taken are answered from what was stored. What cannot
 * be committed together is committed one by one: a call that fails takes no other with it.
 */
export async function commitSubmissions(
  calls: readonly SubmissionCall[],
  options: CommitOptions,
): Promise<(Answer | Error)[]> {
  let taken: Set<number> | undefined;
  try {
    taken = await tryCommit(calls, options);
  } catch (error) {
    const failure = error instanceof Error ? error : new Error('the commit failed');
    if (calls.length === 1 || error instanceof AppError) return calls.map(() => failure);
    return commitOneByOne(calls, options);
  }
  if (taken === undefined) return calls.map(({ answer }) => answer);
  const rest = calls.filter((_, position) => !taken.has(position));
  const committed = rest.length === 0 ? [] : await commitSubmissions(rest, options);
  const answers: (Answer | Error)[] = [];
  for (const [position, call] of calls.entries()) {
    const answer = taken.has(position) ? await replay(call, options).catch(asError) : committed.shift();
    answers.push(answer ?? new Error('a call without an answer'));
  }
  return answers;
}

async function commitOneByOne(calls: readonly SubmissionCall[], options: CommitOptions): Promise<(Answer | Error)[]> {
  const answers: (Answer | Error)[] = [];
  for (const call of calls) answers.push(...(await commitSubmissions([call], options)));
  return answers;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('a replay failed');
}

/** Undefined when all is committed; else the positions of calls whose key is taken, and nothing is committed. */
async function tryCommit(calls: readonly SubmissionCall[], options: CommitOptions): Promise<Set<number> | undefined> {
  const keyed = calls.flatMap((call, position) =>
    call.idempotency === undefined ? [] : [{ call, position, ...call.idempotency }],
  );
  const rows = await internRequirements(calls, options.requirements);
  const records = calls.flatMap((call) => call.records);
  if (keyed.length === 0 && records.length === 0) return undefined;
  const keys: KeyClaim[] = keyed.map(({ call, key, bodySha256 }) => ({
    principal: call.principal.id,
    key,
    body_sha256: bodySha256,
    status: call.answer.status,
    location: call.answer.location,
    answer: call.answer.body,
  }));
  try {
    await insertSubmission(options.database, keys, rows, options.audit.arrays(records));
  } catch (error) {
    const failure = raised(error);
    if (failure?.code !== 'WR003') throw error;
    return new Set(failure.detail.split(' ').flatMap((n) => keyed[Number(n) - 1]?.position ?? []));
  }
  const ready = rows.flatMap(({ task, requirement }) => (task.wake_at === null ? [readyTask(task, requirement)] : []));
  options.onAccepted(ready, rows.length);
  return undefined;
}

async function internRequirements(calls: readonly SubmissionCall[], requirements: Requirements): Promise<TaskRow[]> {
  const rows = calls.flatMap((call) => call.rows);
  const numbers = await requirements.intern(
    rows.map(({ task }) => ({
      tool: task.action.tool,
      tool_digest: task.action.digest,
      constraints: task.constraints,
    })),
  );
  return rows.map(({ task, record_id }, i) => ({ task, record_id, requirement: numbers[i] ?? 0 }));
}

async function replay(call: SubmissionCall, { database }: CommitOptions): Promise<Answer> {
  const key = call.idempotency?.key ?? '';
  const stored = await readAnswer(database, call.principal.id, key);
  if (stored === undefined) {
    throw new AppError('conflict', 'A call with this Idempotency-Key is in progress.', {
      reason: 'idempotency_in_progress',
      retryAfterS: 1,
    });
  }
  if (call.idempotency === undefined || !stored.body_sha256.equals(call.idempotency.bodySha256)) {
    throw idempotencyConflict();
  }
  return { status: stored.status, location: stored.location, body: stored.answer, replayed: true };
}

/** The failure of a call that reuses a key for something else. */
export function idempotencyConflict(): AppError {
  return new AppError('conflict', 'This Idempotency-Key was used with another body. Use a new key for a new request.', {
    reason: 'idempotency_conflict',
  });
}
