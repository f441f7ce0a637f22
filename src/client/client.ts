/** The typed client of Writ's HTTP API, for integrations and for the command line. */

import { AppError } from '../domain/error.ts';
import { systemClock } from '../domain/clock.ts';
import type { Scope } from '../domain/scope.ts';
import { batchMaxTasks, type Submission, type Task } from '../domain/task.ts';
import type { TaskState } from '../domain/task-state.ts';
import type {
  Attempt,
  AuditRecordAnswer,
  BatchOutcome,
  DeadLetter,
  Explanation,
  Node,
  PlanDecision,
  ManifestKey,
  Readiness,
  RecordQuery,
  StoredScope,
  TaskResult,
  TimelineEntry,
  Token,
  TokenRequest,
  Tool,
  WhoAmI,
} from './answer.ts';
import { readPages, type ListOptions } from './page.ts';
import { createSender, type Call, type QueryValue, type Sender, type SenderOptions } from './sender.ts';
import { waitForEnd, type WaitOptions } from './wait.ts';

export { WritApiError, WritUnreachableError } from './client-error.ts';
export type {
  Attempt,
  AuditRecordAnswer,
  BatchOutcome,
  DeadLetter,
  Explanation,
  Node,
  PlanDecision,
  ManifestKey,
  Readiness,
  RecordQuery,
  StoredScope,
  TaskResult,
  TimelineEntry,
  Token,
  TokenRequest,
  Tool,
  WhoAmI,
} from './answer.ts';
export type { ListOptions } from './page.ts';
export type { RetryLimits } from './sender.ts';
export type { WaitOptions } from './wait.ts';
export type { Scope, Submission, Task, TaskState };

export type WritClientOptions = SenderOptions;

/** A body of 1 MiB is the most that the API takes; some of it is for what stands around the tasks. */
const batchMaxBytes = 1_000_000;

export interface CallOptions {
  signal?: AbortSignal;
}

export interface WriteOptions extends CallOptions {
  /** 1 to 255 visible ASCII characters; by default a random one. The same key and body do a thing once, whenever sent. */
  idempotencyKey?: string;
}

export interface TaskFilters {
  state?: TaskState;
  source?: string;
  tool?: string;
  action?: string;
  requested_by?: string;
  tag?: string;
  labels?: Record<string, string>;
  created_from?: string;
  created_to?: string;
}

/**
 * Calls fail with WritApiError where the server refused, and with WritUnreachableError where no answer came. Reads are
 * tried again by themselves, and so are writes, each under an Idempotency-Key, after 429, 503 and lost connections.
 */
export class WritClient {
  readonly #send: Sender;

  constructor(options: WritClientOptions) {
    this.#send = createSender(options);
  }

  /** The task as accepted, or at its end where that comes within `waitS` (60 at most). */
  submit(submission: Submission, options: WriteOptions & { waitS?: number } = {}): Promise<Task> {
    const { waitS } = options;
    const wait = waitS === undefined ? {} : { waitS, query: { wait_s: waitS } };
    return this.#write('POST', '/api/v1/tasks', submission, options, wait);
  }

  /**
   * Submits any number of tasks, at most a thousand a call, and answers each one's outcome in order. `atomic` accepts
   * all or none, and takes what fits into one call.
   */
  async submitBatch(
    submissions: readonly Submission[],
    options: WriteOptions & { atomic?: boolean; onProgress?: (done: number) => void } = {},
  ): Promise<BatchOutcome[]> {
    const { atomic = false, idempotencyKey, onProgress, signal } = options;
    if (atomic && submissions.length > batchMaxTasks) {
      throw new AppError('invalid', `All or none of at most ${batchMaxTasks.toString()} tasks can be accepted.`);
    }
    const outcomes: BatchOutcome[] = [];
    for (const tasks of atomic ? [submissions] : splitBatch(submissions)) {
      const key =
        idempotencyKey === undefined ? {} : { idempotencyKey: `${idempotencyKey}.${outcomes.length.toString()}` };
      const body = { tasks, ...(atomic ? { atomic } : {}) };
      const part = { ...(signal === undefined ? {} : { signal }), ...key };
      const answer = await this.#write<{ results: BatchOutcome[] }>('POST', '/api/v1/tasks/batch', body, part);
      outcomes.push(...answer.results);
      onProgress?.(outcomes.length);
    }
    return outcomes;
  }

  /** A dry run: what would be decided about each of at most a thousand tasks. Nothing is stored. */
  async plan(submissions: readonly Submission[], options: CallOptions = {}): Promise<PlanDecision[]> {
    const body = { tasks: submissions };
    const call: Call = { method: 'POST', path: '/api/v1/tasks/plan', body, isRead: true, ...options };
    const answer = await this.#send(call, (response) => response.json() as Promise<{ results: PlanDecision[] }>);
    return answer.results;
  }

  get(taskId: string, options: CallOptions & { waitS?: number } = {}): Promise<Task> {
    const { waitS, signal } = options;
    return this.#read(taskPath(taskId), waitS === undefined || waitS === 0 ? {} : { wait_s: waitS }, signal, waitS);
  }

  /** Tasks, newest first. */
  list(filters: TaskFilters = {}, options: ListOptions = {}): AsyncGenerator<Task, void, undefined> {
    const { labels, ...rest } = filters;
    const query: Record<string, QueryValue> = { ...rest };
    for (const [name, value] of Object.entries(labels ?? {})) query[`label.${name}`] = value;
    return readPages(this.#send, '/api/v1/tasks', 'tasks', query, options);
  }

  /** The task at its end, or as it is when the time is up. */
  wait(taskId: string, options: WaitOptions = {}): Promise<Task> {
    const { signal } = options;
    const get = (waitS: number): Promise<Task> =>
      this.get(taskId, { waitS, ...(signal === undefined ? {} : { signal }) });
    return waitForEnd(get, options, systemClock);
  }

  /** Fails 404 `not_finished` before the end. */
  result(taskId: string, options: CallOptions = {}): Promise<TaskResult> {
    return this.#read(`${taskPath(taskId)}/result`, {}, options.signal);
  }

  async attempts(taskId: string, options: CallOptions = {}): Promise<Attempt[]> {
    return this.#list(`${taskPath(taskId)}/attempts`, 'attempts', options);
  }

  /** What the audit log tells of the task, in its order. */
  async timeline(taskId: string, options: CallOptions = {}): Promise<TimelineEntry[]> {
    return this.#list(`${taskPath(taskId)}/timeline`, 'timeline', options);
  }

  explain(taskId: string, options: CallOptions = {}): Promise<Explanation> {
    return this.#read(`${taskPath(taskId)}/explain`, {}, options.signal);
  }

  cancel(taskId: string, body: { reason?: string } = {}, options: WriteOptions = {}): Promise<Task> {
    return this.#write('POST', `${taskPath(taskId)}/cancel`, body, options);
  }

  /** Queues a task again that failed, expired or was cancelled. */
  redrive(taskId: string, body: { reason?: string } = {}, options: WriteOptions = {}): Promise<Task> {
    return this.#write('POST', `${taskPath(taskId)}/redrive`, body, options);
  }

  /** Says what became of a task that is `in_doubt`. */
  settle(
    taskId: string,
    body: { as: 'succeeded' | 'failed' | 'run_again'; reason: string },
    options: WriteOptions = {},
  ): Promise<Task> {
    return this.#write('POST', `${taskPath(taskId)}/settle`, body, options);
  }

  deadLetters(options: ListOptions = {}): AsyncGenerator<DeadLetter, void, undefined> {
    return readPages(this.#send, '/api/v1/dead-letters', 'dead_letters', {}, options);
  }

  async tools(options: CallOptions = {}): Promise<Tool[]> {
    return this.#list('/api/v1/tools', 'tools', options);
  }

  tool(name: string, options: CallOptions = {}): Promise<Tool> {
    return this.#read(`/api/v1/tools/${encodeURIComponent(name)}`, {}, options.signal);
  }

  whoami(options: CallOptions = {}): Promise<WhoAmI> {
    return this.#read('/api/v1/whoami', {}, options.signal);
  }

  /** A new credential. Its text is answered this once: where it was lost on the way, the call fails `conflict`. */
  async createToken(request: TokenRequest, options: WriteOptions = {}): Promise<Token & { token: string }> {
    type Answer = Token & { token: string | null };
    const { token, ...view } = await this.#write<Answer>('POST', '/api/v1/tokens', request, options);
    if (token === null) {
      const said = `The token ${view.token_id} was made, but its text was lost on the way. Revoke it and create another.`;
      throw new AppError('conflict', said);
    }
    return { ...view, token };
  }

  listTokens(options: ListOptions = {}): AsyncGenerator<Token, void, undefined> {
    return readPages(this.#send, '/api/v1/tokens', 'tokens', {}, options);
  }

  async revokeToken(tokenId: string, options: WriteOptions = {}): Promise<void> {
    const call: Call = { method: 'DELETE', path: `/api/v1/tokens/${encodeURIComponent(tokenId)}`, ...options };
    await this.#send(call, (response) => response.text());
  }

  async scopes(options: CallOptions = {}): Promise<StoredScope[]> {
    return this.#list('/api/v1/scopes', 'scopes', options);
  }

  /** Makes a scope, or replaces the one of this name. */
  setScope(scope: Scope, options: WriteOptions = {}): Promise<StoredScope> {
    return this.#write('PUT', `/api/v1/scopes/${encodeURIComponent(scope.name)}`, scope, options);
  }

  /** Keys that sign manifests, in the order of their trust. */
  async keys(options: CallOptions = {}): Promise<ManifestKey[]> {
    return this.#list('/api/v1/keys', 'keys', options);
  }

  /** Trusts a new version of the manifest key. */
  rotateKey(request: { activate_in_s?: number } = {}, options: WriteOptions = {}): Promise<ManifestKey> {
    return this.#write('POST', '/api/v1/keys/rotate', request, options);
  }

  nodes(options: ListOptions = {}): AsyncGenerator<Node, void, undefined> {
    return readPages(this.#send, '/api/v1/nodes', 'nodes', {}, options);
  }

  /** Records of the audit log, newest first. */
  auditRecords(query: RecordQuery = {}, options: ListOptions = {}): AsyncGenerator<AuditRecordAnswer, void, undefined> {
    return readPages(this.#send, '/api/v1/audit/records', 'records', { ...query }, options);
  }

  /** A bundle of the records from `from` to `to` as a tar, byte by byte while it is made. */
  exportBundle(
    range: { from?: number; to?: number } = {},
    options: CallOptions = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const call: Call = { method: 'GET', path: '/api/v1/audit/export', query: range, ...options };
    return this.#send(call, (response) => {
      if (response.body === null) throw new AppError('internal', 'The server answered an export without a bundle.');
      return Promise.resolve(response.body);
    });
  }

  /** The log's last checkpoint, a signed note. */
  checkpoint(options: CallOptions = {}): Promise<string> {
    return this.#text('/api/v1/audit/log/checkpoint', options);
  }

  /** Never fails for a server that is not ready. */
  ready(options: CallOptions = {}): Promise<Readiness> {
    const call: Call = { method: 'GET', path: '/api/v1/ready', accepts: [503], ...options };
    return this.#send(call, async (response) => {
      const body = (await response.json()) as { parts?: Readiness['parts'] };
      return { ready: response.ok, parts: body.parts ?? {} };
    });
  }

  /** Fails where the server is not alive. */
  async health(options: CallOptions = {}): Promise<void> {
    await this.#text('/api/v1/health', options);
  }

  #read<Answer>(
    path: string,
    query: Record<string, QueryValue> = {},
    signal?: AbortSignal,
    waitS?: number,
  ): Promise<Answer> {
    const wait = waitS === undefined ? {} : { waitS };
    const call: Call = { method: 'GET', path, query, ...wait, ...(signal === undefined ? {} : { signal }) };
    return this.#send(call, (response) => response.json() as Promise<Answer>);
  }

  #text(path: string, options: CallOptions): Promise<string> {
    return this.#send({ method: 'GET', path, ...options }, (response) => response.text());
  }

  async #list<Item>(path: string, noun: string, options: CallOptions): Promise<Item[]> {
    const body = await this.#read<Record<string, Item[] | undefined>>(path, {}, options.signal);
    return body[noun] ?? [];
  }

  #write<Answer>(
    method: 'POST' | 'PUT',
    path: string,
    body: object,
    options: WriteOptions,
    wait: Pick<Call, 'waitS' | 'query'> = {},
  ): Promise<Answer> {
    const { idempotencyKey, signal } = options;
    const key = idempotencyKey === undefined ? {} : { idempotencyKey };
    const call: Call = { method, path, body, ...wait, ...key, ...(signal === undefined ? {} : { signal }) };
    return this.#send(call, (response) => response.json() as Promise<Answer>);
  }
}

/** Parts that fit into one call each, in order. */
function* splitBatch(submissions: readonly Submission[]): Generator<readonly Submission[], void, undefined> {
  let from = 0;
  let bytes = 0;
  for (const [at, submission] of submissions.entries()) {
    const size = Buffer.byteLength(JSON.stringify(submission)) + 1;
    if (at > from && (at - from === batchMaxTasks || bytes + size > batchMaxBytes)) {
      yield submissions.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < submissions.length) yield submissions.slice(from);
}

function taskPath(taskId: string): string {
  return `/api/v1/tasks/${encodeURIComponent(taskId)}`;
}
