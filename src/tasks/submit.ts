/** Accepts tasks: decides about each, and commits what arrives together in one transaction. */

import type { AAAServiceAdapter } from '../aaa/aaa-service-adapter.ts';
import { actorOf, authzOf } from '../aaa/accounting.ts';
import type { ScopeStore } from '../aaa/scope-store.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import type { Principal } from '../domain/principal.ts';
import { problemOf } from '../domain/problem.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import { createBatcher, type Batcher } from '../platform/batch.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { sha256Hex } from '../proof/hash.ts';
import type { Catalog } from '../tools/catalog.ts';
import { planTask, type PlannedTask, type TaskDefaults } from './plan.ts';
import type { ReadyTask } from './ready-task.ts';
import type { Requirements } from './requirements.ts';
import { commitSubmissions, type Answer, type SubmissionCall } from './submit-commit.ts';
import { plannedTaskAnswer, PlannedTaskWriter } from './task-answer.ts';

/** A record tells of at most so many tasks. */
const recordTasksMax = 500;
/** Calls that may wait for the commit in flight. */
const pendingCallsMax = 10_000;

/** One call of the API: one task, or a batch. `items` are whatever the caller sent. */
export interface SubmitCall {
  principal: Principal;
  items: readonly unknown[];
  /** `single`: the answer is the task, or the call fails. `atomic`: all or nothing. */
  mode: 'single' | 'batch' | 'atomic';
  requestId: string;
  idempotency?: { key: string; bodySha256: Buffer };
}

export interface SubmitterOptions {
  database: Database;
  audit: AuditLogger;
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  catalog: Catalog;
  requirements: Requirements;
  clock: Clock;
  defaults: TaskDefaults;
  /** Fails `unavailable` where nothing may be changed now. */
  assertWritable: () => void;
  /** How many tasks are live now, and how many may be. */
  backlog: () => { live: number; max: number };
  /** Called after the commit with what can run now, in order; and with how many were accepted in all. */
  onAccepted: (ready: ReadyTask[], accepted: number) => void;
}

/** Owns the way in. Calls that arrive while a commit is in flight share the next one. */
export class Submitter {
  readonly #options: SubmitterOptions;
  readonly #batcher: Batcher<SubmissionCall, Answer | Error>;

  constructor(options: SubmitterOptions) {
    this.#options = options;
    this.#batcher = createBatcher({
      maxItems: 256,
      maxPending: pendingCallsMax,
      run: (calls) => commitSubmissions(calls, options),
    });
  }

  /**
   * Accepts what may be accepted and answers when it is committed. For `single` and `atomic` a refused task fails the
   * call with its AppError; in a `batch` each refused item has its own problem in the answer.
   */
  async submit(call: SubmitCall): Promise<Answer> {
    this.#options.assertWritable();
    const { live, max } = this.#options.backlog();
    if (live + call.items.length > max) {
      throw new AppError('rate_limited', 'Too many tasks are waiting. Send this again later.', {
        reason: 'backlog_full',
        retryAfterS: 5,
      });
    }
    const outcomes = await this.#plan(call);
    const planned = outcomes.filter((outcome): outcome is PlannedTask => !(outcome instanceof AppError));
    await this.#recordDenials(call, outcomes);
    if (call.mode !== 'batch') throwRefusal(call, outcomes);
    const recordIds: RecordId[] = [];
    for (let i = 0; i < planned.length; i += recordTasksMax) recordIds.push(newId<RecordId>());
    const answer = await this.#batcher.add({
      principal: call.principal,
      rows: planned.map((task, i) => ({
        task,
        record_id: recordIds[Math.floor(i / recordTasksMax)] ?? newId<RecordId>(),
      })),
      records: recordIds.map((id, i) =>
        submitRecord(call, id, planned.slice(i * recordTasksMax, (i + 1) * recordTasksMax)),
      ),
      answer: answerOf(call, outcomes),
      ...(call.idempotency === undefined ? {} : { idempotency: call.idempotency }),
    });
    if (answer instanceof Error) throw answer;
    return answer;
  }

  /** Decides as `submit` would, and stores nothing. */
  async plan(principal: Principal, items: readonly unknown[]): Promise<(PlannedTask | AppError)[]> {
    return this.#plan({ principal, items });
  }

  async #plan({ principal, items }: Pick<SubmitCall, 'principal' | 'items'>): Promise<(PlannedTask | AppError)[]> {
    const { catalog, clock, defaults } = this.#options;
    const scopes = await this.#options.scopes.current();
    const context = { principal, catalog, clock, defaults, scopes, hashers: new Map() };
    return items.map((item) => {
      try {
        return planTask(item, context);
      } catch (error) {
        if (error instanceof AppError) return error;
        throw error;
      }
    });
  }

  async #recordDenials(call: SubmitCall, outcomes: readonly (PlannedTask | AppError)[]): Promise<void> {
    const reasons = new Map<string, number>();
    for (const outcome of outcomes) {
      if (outcome instanceof AppError && outcome.code === 'forbidden') {
        reasons.set(outcome.reason, (reasons.get(outcome.reason) ?? 0) + 1);
      }
    }
    for (const [reason, denied] of reasons) {
      await this.#options.aaa.denials.record({
        type: 'task.submit',
        outcome: 'deny',
        reason,
        actor: actorOf(call.principal),
        authz: authzOf(call.principal, 'tasks:submit'),
        data: { denied },
        request_id: call.requestId,
      });
    }
  }
}

function throwRefusal(call: SubmitCall, outcomes: readonly (PlannedTask | AppError)[]): void {
  const refused = outcomes.filter((outcome) => outcome instanceof AppError);
  const first = refused[0];
  if (first === undefined) return;
  if (call.mode === 'single') throw first;
  throw new AppError(
    'invalid',
    `${refused.length.toString()} of ${outcomes.length.toString()} tasks are refused: none is accepted.`,
    {
      reason: 'batch_rejected',
      errors: outcomes.flatMap((outcome, i) =>
        outcome instanceof AppError
          ? [{ path: `tasks.${i.toString()}`, message: `${outcome.reason}: ${outcome.message}` }]
          : [],
      ),
    },
  );
}

function submitRecord(call: SubmitCall, id: RecordId, tasks: readonly PlannedTask[]): RecordDraft {
  const actions = [...new Set(tasks.map(({ action }) => `${action.tool}.${action.action}`))].sort();
  return {
    id,
    type: 'task.submit',
    outcome: 'allow',
    actor: actorOf(call.principal),
    authz: authzOf(call.principal, 'tasks:submit'),
    target: { kind: 'task', ids: tasks.map(({ task_id }) => task_id) },
    data: {
      tasks_sha256: sha256Hex(Buffer.concat(tasks.map(({ task_sha256 }) => Buffer.from(task_sha256, 'hex')))),
      actions,
    },
    request_id: call.requestId,
  };
}

function answerOf(call: SubmitCall, outcomes: readonly (PlannedTask | AppError)[]): Answer {
  const first = outcomes[0];
  if (call.mode === 'single' && first !== undefined && !(first instanceof AppError)) {
    return {
      status: 202,
      location: `/api/v1/tasks/${first.task_id}`,
      body: Buffer.from(JSON.stringify(plannedTaskAnswer(first))),
      replayed: false,
    };
  }
  const writer = new PlannedTaskWriter();
  const results = outcomes.map((outcome) =>
    outcome instanceof AppError ? JSON.stringify({ error: problemOf(outcome) }) : `{"task":${writer.json(outcome)}}`,
  );
  return { status: 202, location: null, body: Buffer.from(`{"results":[${results.join()}]}`), replayed: false };
}
