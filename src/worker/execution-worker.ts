/** Runs accepted orders in slots, destructive ones at most once, and answers a result for every one. */

import type { Clock } from '../domain/clock.ts';
import { clockSkewS } from '../proof/manifest.ts';
import { errorMessageMaxCharacters, type Result, type ResultStatus } from '../proof/receipt.ts';
import { RepeatedHash } from '../proof/hash.ts';
import { runAction } from '../tools/run.ts';
import type { ActionResult } from '../tools/result.ts';
import type { AcceptedOrder } from './intake.ts';
import type { Journal } from './journal.ts';

/** A result with the bytes that travel beside it. */
export interface FinishedOrder {
  result: Result;
  output: Buffer | null;
  metadata: Buffer | null;
}

export interface ExecutionWorkerOptions {
  slots: number;
  journal: Journal;
  clock: Clock;
  /** Folder in which attempts get directories of their own. */
  workDir: string;
  /** Takes each result, once. */
  onFinished: (finished: FinishedOrder) => void;
  /** The journal cannot be written: nothing may run any more. */
  onFailure: (error: unknown) => void;
}

/** An attempt that runs. Its controller is made when somebody asks for it: nearly none does. */
class Running {
  readonly attempt: number;
  done: Promise<void> = Promise.resolve();
  #controller: AbortController | undefined;

  constructor(attempt: number) {
    this.attempt = attempt;
  }

  get controller(): AbortController {
    return (this.#controller ??= new AbortController());
  }

  get isStopped(): boolean {
    return this.#controller?.signal.aborted === true;
  }

  /** Why it was stopped; undefined where it was not. */
  get reason(): unknown {
    return this.#controller?.signal.reason as unknown;
  }
}

/** Owns the slots. Orders start in the order they came; an order that has expired meanwhile is refused, not run. */
export class ExecutionWorker {
  readonly #options: ExecutionWorkerOptions;
  readonly #running = new Map<string, Running>();
  #waiting: AcceptedOrder[] = [];
  #nextAt = 0;
  /** Attempts whose beginning is to be noted. */
  #started: string[] = [];
  #isStopping = false;

  constructor(options: ExecutionWorkerOptions) {
    this.#options = options;
  }

  /** Slots in use now. */
  get busy(): number {
    return this.#running.size;
  }

  /** Takes orders that are in the journal. */
  add(orders: readonly AcceptedOrder[]): void {
    for (const order of orders) this.#waiting.push(order);
    this.#fill();
  }

  /** Stops an attempt: a waiting one is answered at once, a running one when its tool has ended. */
  cancel(taskId: string, attempt: number): void {
    const running = this.#running.get(taskId);
    if (running?.attempt === attempt) running.controller.abort();
    const at = this.#waiting.findIndex(
      (order, i) => i >= this.#nextAt && order.task_id === taskId && order.attempt === attempt,
    );
    const order = this.#waiting[at];
    if (order === undefined) return;
    this.#waiting.splice(at, 1);
    this.#options.onFinished(cancelledBefore(order));
  }

  /**
   * Takes no more, hands back what waits, gives what runs `graceMs` and then stops it. Resolves when all are answered.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    const waiting = this.#waiting.slice(this.#nextAt);
    this.#waiting = [];
    this.#nextAt = 0;
    for (const order of waiting) this.#options.onFinished(handedBack(order));
    const timer = setTimeout(() => {
      for (const { controller } of this.#running.values()) controller.abort('stopping');
    }, graceMs);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    clearTimeout(timer);
  }

  #fill(): void {
    while (!this.#isStopping && this.#running.size < this.#options.slots && this.#nextAt < this.#waiting.length) {
      const order = this.#waiting[this.#nextAt++];
      if (order === undefined) break;
      const running = new Running(order.attempt);
      this.#running.set(order.task_id, running);
      running.done = this.#run(order, running);
    }
    if (this.#nextAt === this.#waiting.length) {
      this.#waiting = [];
      this.#nextAt = 0;
    }
  }

  async #run(order: AcceptedOrder, running: Running): Promise<void> {
    let finished: FinishedOrder;
    try {
      finished = await this.#execute(order, running);
    } catch (error) {
      // Nothing below is expected to throw: what ran before it did is not known.
      this.#options.onFailure(error);
      finished = withoutRun(order, 'interrupted', 'node_failed', 'the node failed while it ran');
    }
    this.#running.delete(order.task_id);
    this.#options.onFinished(finished);
    this.#fill();
  }

  async #execute(order: AcceptedOrder, running: Running): Promise<FinishedOrder> {
    const { clock, journal, workDir } = this.#options;
    const startedMs = clock.now();
    if (Math.floor(startedMs / 1000) >= order.exp + clockSkewS) {
      return withoutRun(order, 'refused', 'expired', 'the manifest expired before the order could start');
    }
    const isDestructive = order.grant.effects === 'destructive';
    if (!isDestructive) this.#noteStart(order.task_id);
    else if (!(await this.#isOnDisk(journal.start([order.task_id], true)))) {
      return withoutRun(order, 'not_started', 'journal_failed', 'the journal of the node cannot be written');
    }
    // Stopped while the note that it begins was synced: nothing has had its effect.
    if (running.isStopped) return running.reason === 'stopping' ? handedBack(order) : cancelledBefore(order);
    const result = await runAction(order.action, order.payload, {
      scope: order.scope,
      allowPrivate: order.allowPrivate,
      timeoutMs: order.grant.timeout_s * 1000,
      signal: () => running.controller.signal,
      workDir,
      traceparent: order.traceparent,
      clock,
    });
    const status = result.status === 'cancelled' && running.reason === 'stopping' ? 'interrupted' : result.status;
    return finishedOf(order, result, status, startedMs, clock.now());
  }

  /**
   * Work that may be repeated does not wait for the note that it began; notes of one turn of the event loop go together, and what has ended in that
   * turn needs none.
   */
  #noteStart(taskId: string): void {
    if (this.#started.push(taskId) > 1) return;
    setImmediate(() => {
      const started = this.#started.filter((id) => this.#running.has(id));
      this.#started = [];
      if (started.length > 0) void this.#isOnDisk(this.#options.journal.start(started, false));
    });
  }

  async #isOnDisk(written: Promise<void>): Promise<boolean> {
    try {
      await written;
      return true;
    } catch (error) {
      this.#options.onFailure(error);
      return false;
    }
  }
}

const metadataHash = new RepeatedHash();
let lastTime = { ms: 0, text: new Date(0).toISOString() };

/** Work that ends at once ends in the millisecond in which other work has ended. */
function timeText(ms: number): string {
  if (ms !== lastTime.ms) lastTime = { ms, text: new Date(ms).toISOString() };
  return lastTime.text;
}

function finishedOf(
  order: AcceptedOrder,
  action: ActionResult,
  status: ResultStatus,
  startedMs: number,
  endedMs: number,
): FinishedOrder {
  const facts = {
    ...action.metadata,
    ...(action.retryable ? { retryable: true } : {}),
    ...(action.truncated ? { truncated: true } : {}),
  };
  const metadata = Buffer.from(JSON.stringify(facts));
  return {
    // In the order of canonical JSON.
    result: {
      attempt: order.attempt,
      ended_at: timeText(endedMs),
      error: action.error === null ? null : errorOf(action.error.code, action.error.message),
      metadata_sha256: metadataHash.hex(metadata),
      output_bytes: action.output_bytes,
      output_sha256: action.output_sha256,
      started_at: timeText(startedMs),
      status,
      task_id: order.task_id,
    },
    output: action.output,
    metadata,
  };
}

function cancelledBefore(order: AcceptedOrder): FinishedOrder {
  return withoutRun(order, 'cancelled', 'cancelled', 'cancelled before it began');
}

function handedBack(order: AcceptedOrder): FinishedOrder {
  return withoutRun(order, 'not_started', 'node_stopping', 'the node is stopping');
}

/** The result of an order that did not run. */
export function withoutRun(
  order: { task_id: string; attempt: number },
  status: ResultStatus,
  code: string,
  message: string,
): FinishedOrder {
  return {
    result: {
      task_id: order.task_id,
      attempt: order.attempt,
      status,
      started_at: null,
      ended_at: null,
      output_sha256: null,
      output_bytes: null,
      error: errorOf(code, message),
      metadata_sha256: null,
    },
    output: null,
    metadata: null,
  };
}

function errorOf(code: string, message: string): { code: string; message: string } {
  return {
    code: code.slice(0, 64),
    message: message.toWellFormed().replaceAll('\0', '\ufffd').slice(0, errorMessageMaxCharacters).toWellFormed(),
  };
}
