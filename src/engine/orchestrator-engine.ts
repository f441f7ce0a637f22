/** Runs an orchestrator: collects receipts always, leads when it can, and tells how it is. */

import { raised } from '../platform/postgres/raised.ts';
import { Collector, type NodeProgress } from '../collect/collector.ts';
import type { LostAttempts } from '../collect/recover.ts';
import type { Topology } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import type { PeerWork } from '../domain/peer-work.ts';
import { receiptsExchange, receiptsQueue } from '../domain/queues.ts';
import { FencedError, type FenceReason } from '../ledger/fence.ts';
import { inboxBacklog } from '../ledger/log-sql.ts';
import { countLiveTasks } from '../schedule/schedule-sql.ts';
import { deleteOldKeys } from '../tasks/submit-sql.ts';
import { placesOf } from '../schedule/task-scheduler.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import { telemetryTopology } from '../telemetry/feeds.ts';
import { renewLead, takeLead, yieldLead } from './leadership.ts';
import { Loop } from './loop.ts';
import type { EngineParts } from './parts.ts';
import { Term } from './term.ts';

/** Beyond this, or older than this, privileged calls wait for the sequencer. */
const unsequencedMax = 100_000;
const unsequencedMaxS = 30;
const countMs = 30_000;
const drainMs = 2000;
const collectAgainMs = 1000;
const oldKeysMax = 1000;

/** What receipts need on the broker. */
export const receiptsTopology: Topology = {
  exchanges: [{ name: receiptsExchange, type: 'direct' }],
  queues: [{ name: receiptsQueue, type: 'quorum' }],
  bindings: [{ exchange: receiptsExchange, queue: receiptsQueue, pattern: receiptsQueue }],
};

/** How each part is; `ready` where calls can be taken and work goes on. */
export interface EngineHealth {
  ready: boolean;
  parts: Record<string, { ok: boolean; detail?: string }>;
}

/**
 * Owns the life of an orchestrator's background work. `start` and `stop` are called once each, in this order; between them a
 * failure of any part is waited out, but a log that differs from its mark fences everything until a person acts.
 */
export class OrchestratorEngine {
  readonly #parts: EngineParts;
  readonly #collector: Collector;
  readonly #collecting: Loop;
  readonly #leading: Loop;
  readonly #housekeeping: Loop;
  #term: Term | undefined;
  #fence: { reason: FenceReason; detail: string } | undefined;
  #live = 0;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  #backlog = { waiting: 0, oldest_s: 0 };
  #isBrokerOk = true;
  #isStopped = false;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#collector = new Collector({
      ...parts,
      findNodeKey: (kid) => parts.fleet.registry.findKey(kid),
      reloadNodeKeys: () => parts.fleet.registry.load(),
      recordDenial: (record) => parts.aaa.denials.record(record),
      onCollected: (collected) => {
        this.#takeCollected(collected);
      },
      onRefused: (reason) => {
        parts.log('warn', 'receipt.refused', { reason });
        this.#term?.recordsCommitted();
      },
    });
    this.#collecting = this.#loop('collect', () => this.#collector.runOnce(), null);
    this.#leading = this.#loop('lead', () => this.#lead(), 1000);
    this.#housekeeping = this.#loop('housekeeping', () => this.#keepHouse(), 1000);
  }

  /** Declares what the broker must have and begins. A broker that is away is waited for; one that has it in another form fails. */
  async start(): Promise<void> {
    const { fleet, peers, onPeerTasksEnded } = this.#parts;
    await this.#declare();
    await fleet.registry.load();
    await fleet.declareNodes().catch(waitedOut);
    await peers?.start({
      onWork: (work) => {
        this.#term?.peerWorked(work);
      },
      onEnded: onPeerTasksEnded,
    });
    await this.#lead();
    this.#leading.start();
    this.#housekeeping.start();
    this.#collecting.start();
    await this.#startCollector();
  }

  /** Ends what is under way, chains and signs what was committed, and lets another lead. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#drainReceipts();
    await this.#collector.stop();
    await this.#collecting.stop();
    await this.#leading.stop();
    await this.#housekeeping.stop();
    const term = this.#term;
    this.#term = undefined;
    await this.#parts.aaa.flush({ now: true }).catch(() => undefined);
    await this.#parts.peers?.stop();
    if (term === undefined) return;
    try {
      await term.stop({ drain: true });
    } finally {
      await yieldLead(this.#parts.database, term.term, this.#parts.processId);
    }
  }

  /** Live tasks, about: counted now and then, kept up in between. */
  get liveTasks(): number {
    return this.#live;
  }

  /** Fails `unavailable` where nothing may be changed now: the log is fenced, or cannot keep up. */
  assertWritable(): void {
    if (this.#fence !== undefined) {
      throw new AppError('unavailable', `Nothing can be changed: ${this.#fence.detail}`, {
        reason: 'fenced',
        retryAfterS: 60,
      });
    }
    if (this.#backlog.waiting >= unsequencedMax || this.#backlog.oldest_s >= unsequencedMaxS) {
      throw new AppError('unavailable', 'The audit log cannot keep up. Try again in a moment.', {
        reason: 'log_behind',
        retryAfterS: 5,
      });
    }
  }

  /** For `explain`: what of the whole system keeps tasks from running. */
  get state(): { signer_ok: boolean; broker_ok: boolean; fenced_reason: FenceReason | null; leading: boolean } {
    return {
      broker_ok: this.#isBrokerOk,
      signer_ok: this.#term?.isDispatchFailing !== true,
      fenced_reason: this.#fence?.reason ?? null,
      leading: this.#term !== undefined,
    };
  }

  async health(): Promise<EngineHealth> {
    const { database, broker, fleet } = this.#parts;
    const db = await database.query('select 1').then(
      () => ({ ok: true }),
      () => ({ ok: false, detail: 'cannot be reached' }),
    );
    const fence = this.#fence;
    const nodes = fleet.registry.ready().length;
    const parts: EngineHealth['parts'] = {
      database: db,
      broker: await broker.health(),
      log: fence === undefined ? { ok: true } : { ok: false, detail: `${fence.reason}: ${fence.detail}` },
      signer:
        this.#term?.isDispatchFailing === true
          ? { ok: false, detail: 'orders cannot be signed or stored' }
          : { ok: true },
      leader:
        this.#term === undefined
          ? { ok: true, detail: 'follows' }
          : { ok: true, detail: `leads, term ${this.#term.term.toString()}` },
      nodes: { ok: true, detail: `${nodes.toString()} ready` },
    };
    return { ready: Object.values(parts).every(({ ok }) => ok), parts };
  }

  /** Tasks were accepted here; `ready` are those that can run now. */
  accepted(ready: readonly ReadyTask[], count: number): void {
    this.#live += count;
    this.changed({ places: placesOf(ready) });
    this.#term?.offer(ready);
  }

  /** Tasks were taken out of the queue by a call. */
  ended(taskIds: readonly string[]): void {
    this.#live -= taskIds.length;
    this.#term?.withdraw(taskIds);
    this.changed();
    this.#tellEnded(taskIds);
  }

  /** Tasks were put back into the queue by a call. */
  async requeued(taskIds: readonly string[]): Promise<void> {
    this.changed({ ready: [...taskIds] });
    await this.#term?.offerByIds(taskIds);
  }

  /** Records were committed here; `work` is what the leader, if that is another, has to know beside them. */
  changed(work: PeerWork = {}): void {
    if (this.#term === undefined) this.#parts.peers?.tellWork(work);
    else this.#term.recordsCommitted();
  }

  nodesChanged(): void {
    if (this.#term === undefined) this.#parts.peers?.tellWork({ nodes: true });
    else this.#term.nodesChanged();
  }

  /** Attempts of a node were given up. */
  async lost(nodeId: string, attempts: number, lost: LostAttempts): Promise<void> {
    this.#live -= lost.ended.length;
    this.#term?.finished(nodeId, attempts);
    this.changed({ finished: [{ node_id: nodeId, count: attempts }], ready: [...lost.ready] });
    this.#tellEnded(lost.ended);
    await this.#term?.offerByIds(lost.ready);
  }

  async #lead(): Promise<boolean> {
    const { database, processId } = this.#parts;
    if (this.#fence !== undefined) return false;
    if (this.#term !== undefined) {
      if (await renewLead(database, this.#term.term, processId)) return false;
      await this.#endTerm(new Error('another orchestrator leads'));
    }
    const term = await takeLead(database, processId);
    if (term !== undefined) await this.#beginTerm(term);
    return false;
  }

  async #beginTerm(term: number): Promise<void> {
    let early: unknown;
    const onOver = (over: number, error: unknown): void => {
      if (this.#term === undefined) early = error;
      else if (this.#term.term === over) void this.#endTerm(error);
    };
    try {
      this.#term = await Term.open({ parts: this.#parts, term, onOver });
      this.#parts.log('info', 'leader.began', { term });
      if (early !== undefined) await this.#endTerm(early);
    } catch (error) {
      await this.#endTerm(error);
    }
  }

  async #endTerm(error: unknown): Promise<void> {
    const term = this.#term;
    this.#term = undefined;
    if (error instanceof FencedError && error.reason !== 'mark_unavailable') {
      this.#fence = { reason: error.reason, detail: error.message };
      this.#parts.log('error', 'log.fenced', { reason: error.reason, detail: error.message });
      await this.#collector.stop();
    } else {
      this.#parts.log('warn', 'leader.ended', { error });
    }
    await term?.stop({ drain: false });
  }

  /** Gives receipts that are in the queue already a moment to be committed; those that are not come again from the spools. */
  async #drainReceipts(): Promise<void> {
    const { broker, clock } = this.#parts;
    const untilMs = clock.monotonicMs() + drainMs;
    while (this.#fence === undefined && clock.monotonicMs() < untilMs) {
      const depth = await broker.depth(receiptsQueue).catch(() => 0);
      if (depth === 0 && this.#collector.isIdle) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Goes on trying while the broker does not have it. */
  async #startCollector(): Promise<void> {
    if (this.#isStopped || this.#fence !== undefined) return;
    const again = (): void => {
      setTimeout(() => void this.#startCollector(), collectAgainMs).unref();
    };
    try {
      await this.#collector.start(() => {
        this.#collecting.wake();
      }, again);
    } catch (error) {
      const code = error instanceof AppError ? error.code : undefined;
      if (code !== 'unavailable') this.#parts.log('warn', 'collect.failed', { error });
      // Somebody took the queue away.
      if (code === 'not_found') await this.#declare().catch(() => undefined);
      again();
    }
  }

  async #declare(): Promise<void> {
    const { broker, telemetry } = this.#parts;
    await broker.declare(receiptsTopology).catch(waitedOut);
    await broker.declare(telemetryTopology(telemetry.names, telemetry.feeds)).catch(waitedOut);
  }

  #tellEnded(taskIds: readonly string[]): void {
    if (taskIds.length === 0) return;
    this.#parts.onTasksEnded(taskIds);
    this.#parts.peers?.tellEnded();
  }

  async #keepHouse(): Promise<boolean> {
    const { database, clock, broker, fleet, peers } = this.#parts;
    peers?.sayAlive();
    if (this.#term === undefined) await fleet.registry.load();
    const isBrokerOk = (await broker.health()).ok;
    if (isBrokerOk && !this.#isBrokerOk) this.#term?.brokerIsBack();
    this.#isBrokerOk = isBrokerOk;
    this.#backlog = await inboxBacklog(database, unsequencedMax);
    if (clock.monotonicMs() - this.#countedAtMs < countMs) return false;
    this.#countedAtMs = clock.monotonicMs();
    this.#live = await countLiveTasks(database);
    while ((await deleteOldKeys(database, oldKeysMax)) === oldKeysMax);
    return false;
  }

  #takeCollected({
    byNode,
    ended,
    ready,
  }: {
    byNode: Map<string, NodeProgress>;
    ended: readonly string[];
    ready: string[];
  }): void {
    this.#live -= ended.length;
    for (const [nodeId, { count, spanMs }] of byNode) this.#term?.finished(nodeId, count, spanMs);
    this.changed({
      finished: [...byNode].map(([node_id, { count, spanMs }]) => ({ node_id, count, span_ms: spanMs })),
      ready,
    });
    this.#tellEnded(ended);
    void this.#term?.offerByIds(ready).catch(() => undefined);
  }

  #loop(name: string, runOnce: () => Promise<boolean>, intervalMs: number | null): Loop {
    return new Loop({
      name,
      runOnce,
      intervalMs,
      backoffInitialMs: 200,
      backoffMaxMs: 5000,
      random: this.#parts.random,
      onError: (error, failures) => {
        if (raised(error)?.code === 'WR001') void this.#endTerm(error);
        else if (failures === 1) this.#parts.log('warn', `${name}.failed`, { error });
        return false;
      },
    });
  }
}

/** What a broker that is away must have is declared when it is back. */
function waitedOut(error: unknown): void {
  if (!(error instanceof AppError) || error.code !== 'unavailable') throw error;
}
