/** Takes receipts from the queue: verified, committed, then acknowledged. */

import type { Broker, Consumer, Delivery } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { receiptMessage, receiptsQueue, refusalMessage } from '../domain/queues.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { sqlState } from '../platform/postgres/failure.ts';
import { raised } from '../platform/postgres/raised.ts';
import { sha256Hex } from '../proof/hash.ts';
import { ProofError } from '../proof/proof-error.ts';
import type { Result } from '../proof/receipt.ts';
import { commitReceipts, readLiveTasks } from './collect-sql.ts';
import { Boots } from './boots.ts';
import { openReceipt, type FindNodeKey, type OpenReceipt } from './open-receipt.ts';
import { openRefusal } from './open-refusal.ts';
import { planCollection, type Collection } from './plan-collection.ts';

/** Messages out with one orchestrator at most: some transactions' worth. */
const prefetch = 32;
/** Receipts in one transaction at most. */
const roundMax = 16;
/** Tries of one commit whose tasks move meanwhile. */
const retriesMax = 10;

/** What a node has finished, and in what time it ran that: its rate while it has work. */
export interface NodeProgress {
  count: number;
  spanMs: number;
}

export interface CollectorOptions {
  database: Database;
  broker: Broker;
  audit: AuditLogger;
  clock: Clock;
  findNodeKey: FindNodeKey;
  /** Reads the nodes again: one may have joined through another orchestrator a moment ago. */
  reloadNodeKeys: () => Promise<void>;
  random: () => number;
  /** Called after each commit: results by node, tasks that ended, and tasks that can go again at once. */
  onCollected: (collected: { byNode: Map<string, NodeProgress>; ended: string[]; ready: string[] }) => void;
  onRefused: (reason: string) => void;
  /** Records what was refused; a flood is counted instead. */
  recordDenial: (record: RecordDraft) => Promise<void>;
}

/**
 * Owns the consumer of `writ.receipts`. Every orchestrator may collect: the attempt number is the fence. A message is
 * acknowledged after its commit; one that comes again is known by its `jti` and changes nothing.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #boots = new Boots();
  /** Deliveries whose refusal is recorded: they may be tried again with others that could not be committed. */
  readonly #recorded = new WeakSet<Delivery>();
  #waiting: Delivery[] = [];
  #consumer: Consumer | undefined;
  #isStopping = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** Begins to consume; `onWork` is called when something has arrived for `runOnce`, `onLost` when the consumer is gone. */
  async start(onWork: () => void, onLost: () => void): Promise<void> {
    this.#isStopping = false;
    const consumer = await this.#options.broker.consume(receiptsQueue, {
      prefetch,
      onDeliveries: (deliveries) => {
        this.#waiting.push(...deliveries);
        onWork();
      },
      onCancelled: () => {
        this.#consumer = undefined;
        this.#waiting = [];
        onLost();
      },
    });
    if (this.#isStopped()) {
      await consumer.cancel();
      return;
    }
    this.#consumer = consumer;
    // Deliveries may have arrived before the consumer was known.
    onWork();
  }

  #isStopped(): boolean {
    return this.#isStopping;
  }

  /** Whether everything that has arrived is committed. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    this.#waiting = [];
    await consumer?.cancel();
  }

  /** Commits what has arrived. True where more waits. What could not be committed stays and is tried again. */
  async runOnce(): Promise<boolean> {
    const deliveries = this.#waiting.slice(0, roundMax);
    const consumer = this.#consumer;
    if (deliveries.length === 0 || consumer === undefined) return false;
    const receipts = await this.#open(deliveries);
    await this.#commitAll(receipts);
    if (this.#consumer !== consumer) return false;
    this.#waiting = this.#waiting.slice(deliveries.length);
    consumer.ack(deliveries);
    return this.#waiting.length > 0;
  }

  async #open(deliveries: readonly Delivery[]): Promise<OpenReceipt[]> {
    const receipts = new Map<string, OpenReceipt>();
    const refused = new Map<Delivery, RecordDraft>();
    let isReloaded = false;
    const open = (delivery: Delivery): Promise<OpenReceipt | RecordDraft> =>
      this.#openOne(delivery).catch(async (error: unknown) => {
        if (isReloaded || !(error instanceof ProofError) || error.code !== 'unknown_key') throw error;
        isReloaded = true;
        await this.#options.reloadNodeKeys();
        return this.#openOne(delivery);
      });
    for (const delivery of deliveries) {
      try {
        const opened = await open(delivery);
        if ('payload' in opened) receipts.set(opened.payload.jti, opened);
        else refused.set(delivery, opened);
      } catch (error) {
        if (!(error instanceof ProofError)) throw error;
        this.#options.onRefused(error.code);
        refused.set(delivery, refusedRecord(delivery, error));
      }
    }
    for (const [delivery, record] of refused) {
      if (this.#recorded.has(delivery)) continue;
      await this.#options.recordDenial(record);
      this.#recorded.add(delivery);
    }
    return [...receipts.values()];
  }

  /** A receipt, or the record of a refusal that a node told of. Throws a ProofError where it is neither. */
  async #openOne(delivery: Delivery): Promise<OpenReceipt | RecordDraft> {
    const { database, clock, findNodeKey } = this.#options;
    if (delivery.type === refusalMessage) return openRefusal(delivery, findNodeKey);
    if (delivery.type !== receiptMessage) throw new ProofError('bad_type', 'neither a receipt nor a refusal');
    const receipt = openReceipt(delivery, findNodeKey, Math.floor(clock.now() / 1000));
    await this.#boots.check(database, receipt.payload);
    return receipt;
  }

  /** One receipt that cannot be stored does not keep the others out: then each goes by itself, and it is refused. */
  async #commitAll(receipts: readonly OpenReceipt[]): Promise<void> {
    try {
      await this.#commit(receipts);
    } catch (error) {
      if (error instanceof AppError || raised(error) !== undefined || sqlState(error) === undefined) throw error;
      if (receipts.length > 1) {
        for (const receipt of receipts) await this.#commitAll([receipt]);
        return;
      }
      this.#options.onRefused('not_storable');
      await this.#options.recordDenial({
        type: 'receipt.refuse',
        outcome: 'deny',
        reason: 'not_storable',
        data: { message_sha256: receipts[0]?.sha256 ?? '' },
      });
    }
  }

  async #commit(opened: readonly OpenReceipt[]): Promise<void> {
    const { database, audit, clock, random } = this.#options;
    let receipts = [...opened];
    let retries = 0;
    // Success is taken on trust at first, since the commit checks every task: so the common case is one round trip.
    const read = new Set(
      receipts.flatMap(({ payload }) => payload.results.filter((r) => r.status !== 'succeeded').map((r) => r.task_id)),
    );
    while (receipts.length > 0) {
      const live = await readLiveTasks(database, [...read]);
      const isUnread = (taskId: string): boolean => !read.has(taskId);
      const collection = planCollection(receipts, { live, isUnread, nowMs: clock.now(), random });
      try {
        await commitReceipts(database, collection, audit.arrays(collection.records));
        this.#report(receipts, collection);
        return;
      } catch (error) {
        const failure = raised(error);
        if (failure?.code === 'WR002') {
          const moved = failure.detail.split(' ');
          // What was read and still could not move has moved again since; more often than that is a defect, and not waited out.
          if (moved.every((taskId) => read.has(taskId)) && ++retries > retriesMax) throw error;
          for (const taskId of moved) read.add(taskId);
        } else if (failure?.code === 'WR004') {
          const known = new Set(failure.detail.split(' '));
          receipts = receipts.filter(({ payload }) => !known.has(payload.jti));
        } else {
          throw error;
        }
      }
    }
  }

  #report(receipts: readonly OpenReceipt[], { ended, handedBack }: Collection): void {
    const byNode = new Map<string, NodeProgress>();
    for (const { payload } of receipts) {
      const progress = byNode.get(payload.iss) ?? { count: 0, spanMs: 0 };
      progress.spanMs += spanMs(payload.results);
      byNode.set(payload.iss, progress);
    }
    const endedTasks: string[] = [];
    for (const { node_id, state, task_id } of ended) {
      const progress = byNode.get(node_id ?? '');
      if (progress !== undefined) progress.count++;
      if (state !== null) endedTasks.push(task_id);
    }
    this.#options.onCollected({ byNode, ended: endedTasks, ready: handedBack });
  }
}

/** From the first start to the last end of a receipt's results, a millisecond at least. */
function spanMs(results: readonly Result[]): number {
  let first: string | undefined;
  let last: string | undefined;
  for (const { started_at, ended_at } of results) {
    if (started_at === null || ended_at === null) continue;
    // Times are of one form, so that their texts are in the order of time.
    if (first === undefined || started_at < first) first = started_at;
    if (last === undefined || ended_at > last) last = ended_at;
  }
  return first === undefined || last === undefined ? 1 : Math.max(1, Date.parse(last) - Date.parse(first));
}

/** What does not verify is kept out, and the log says that it came. */
function refusedRecord(delivery: Delivery, error: ProofError): RecordDraft {
  return {
    type: 'receipt.refuse',
    outcome: 'deny',
    reason: error.code,
    data: { message_sha256: sha256Hex(delivery.body), bytes: delivery.body.length },
  };
}
