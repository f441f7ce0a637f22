/** What an orchestrator tells Prometheus: counts what its parts hand over, and reads the rest when it is asked. */

import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import type { Signer, SigningKey } from '../domain/signer.ts';
import { endStates, liveStates } from '../domain/task-state.ts';
import type { Answered } from '../doors/http/answered.ts';
import type { NodeStatus } from '../fleet/fleet-sql.ts';
import type { Log } from '../platform/observability/log.ts';
import { MetricRegistry, type GaugeMetric, type MetricDescription } from '../platform/observability/metrics.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { Feed } from '../telemetry/feeds.ts';
import { cursorName } from '../telemetry/rewind.ts';
import { countedBroker, timedSigner, timedSigningKey, type OnSigned } from './measured-parts.ts';
import { defineMetrics, type MetricSet } from './metric-definitions.ts';
import { countEndStates, readFigures, type DatabaseFigures } from './metrics-sql.ts';
import type { Orchestrator } from './orchestrator.ts';

/** What was read is good for so long, whoever asks, and for so many times as long as the reading took. */
const freshMs = 1000;
const freshFactor = 20;
/** Ended tasks whose state is still to be looked up, at most; further ones count as `unknown`. */
const endedMax = 100_000;
const endedChunk = 10_000;

const nodeStatuses: Readonly<Record<NodeStatus, true>> = {
  active: true,
  unhealthy: true,
  quarantined: true,
  gone: true,
};
const outcomes = ['confirmed', 'returned', 'refused', 'unconfirmed'] as const;
/** Parts that work can wait for. */
const waitedFor = ['database', 'broker', 'signer'] as const;

export interface OrchestratorMetricsOptions {
  clock: Clock;
  version: string;
  feeds: readonly Feed[];
}

/** What is asked at a scrape. */
export type MetricsSource = Pick<Orchestrator, 'database'> & {
  engine: Pick<Orchestrator['engine'], 'state' | 'health'>;
};

/** Owns the metrics of one orchestrator. Where nobody wants them there is none of these, and nothing is counted. */
export class OrchestratorMetrics {
  readonly #clock: Clock;
  readonly #feeds: readonly Feed[];
  readonly #registry = new MetricRegistry();
  readonly #set: MetricSet;
  #ended: (readonly string[])[] = [];
  #endedCount = 0;
  #freshUntilMs = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | undefined;

  constructor({ clock, version, feeds }: OrchestratorMetricsOptions) {
    this.#clock = clock;
    this.#feeds = feeds;
    this.#set = defineMetrics(this.#registry);
    this.#set.build.set({ version }, 1);
    for (const state of endStates) this.#set.tasksEnded.add({ state }, 0);
    for (const outcome of outcomes) this.#set.published.add({ outcome }, 0);
  }

  list(): readonly MetricDescription[] {
    return this.#registry.list();
  }

  timedLogSigner(signer: Signer): Signer {
    return timedSigner(signer, this.#clock, this.#onSigned('log'));
  }

  timedManifestKey(key: SigningKey): SigningKey {
    return timedSigningKey(key, this.#clock, this.#onSigned('manifest'));
  }

  /** Counts what is published to the exchange of telemetry. */
  countedBroker(broker: Broker, exchange: string): Broker {
    return countedBroker(broker, exchange, (published) => {
      for (const { outcome } of published) this.#set.published.add({ outcome });
    });
  }

  /** Counts refused receipts, of which the log is told one by one. Their reasons are codes of the program. */
  countedLog(log: Log): Log {
    return (level, event, fields) => {
      if (event === 'receipt.refused' && typeof fields?.['reason'] === 'string') {
        this.#set.refusals.add({ reason: fields['reason'] });
      }
      log(level, event, fields);
    };
  }

  /** For the HTTP door. */
  readonly onAnswered = ({ method, route, status, seconds }: Answered): void => {
    this.#set.calls.add({ method, route, status });
    this.#set.callSeconds.observe({ method, route }, seconds);
  };

  /** Tasks ended here. Their states are looked up at the next scrape, so that nothing is done for each task now. */
  tasksEnded(taskIds: readonly string[]): void {
    if (this.#endedCount + taskIds.length > endedMax) {
      this.#set.tasksEnded.add({ state: 'unknown' }, taskIds.length);
      return;
    }
    this.#ended.push(taskIds);
    this.#endedCount += taskIds.length;
  }

  /** The metrics as text. Asking often reads the database no more often. */
  async read(source: MetricsSource): Promise<{ contentType: string; text: string }> {
    if (this.#clock.monotonicMs() >= this.#freshUntilMs) {
      await (this.#refreshing ??= this.#refresh(source).finally(() => {
        this.#refreshing = undefined;
      }));
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.text() };
  }

  async #refresh({ database, engine }: MetricsSource): Promise<void> {
    const { parts } = await engine.health();
    const { leading, fenced_reason: fenced } = engine.state;
    for (const part of waitedFor) this.#set.breaker.set({ part }, parts[part]?.ok === true ? 0 : 1);
    this.#set.leading.set({}, leading ? 1 : 0);
    this.#set.logFenced.set({}, fenced === null ? 0 : 1);
    const fromMs = this.#clock.monotonicMs();
    const figures = parts['database']?.ok === true ? await this.#ask(database) : undefined;
    const nowMs = this.#clock.monotonicMs();
    const tookMs = figures === undefined ? 0 : nowMs - fromMs;
    this.#freshUntilMs = nowMs + Math.max(freshMs, freshFactor * tookMs);
    // Numbers of before would look like those of now.
    if (figures === undefined) this.#forgetFigures();
    else this.#tell(figures);
  }

  /** Undefined where the database does not answer: that is told by the state of the part. */
  async #ask(database: Database): Promise<DatabaseFigures | undefined> {
    try {
      await this.#countEnded(database);
      return await readFigures(database, this.#feeds.map(cursorName));
    } catch {
      this.#set.breaker.set({ part: 'database' }, 1);
      return undefined;
    }
  }

  async #countEnded(database: Database): Promise<void> {
    const ids = this.#ended.flat();
    this.#ended = [];
    this.#endedCount = 0;
    for (let from = 0; from < ids.length; from += endedChunk) {
      const chunk = ids.slice(from, from + endedChunk);
      try {
        for (const [state, n] of await countEndStates(database, chunk)) this.#set.tasksEnded.add({ state }, n);
      } catch (error) {
        this.tasksEnded(ids.slice(from));
        throw error;
      }
    }
  }

  #tell(figures: DatabaseFigures): void {
    const set = this.#set;
    for (const state of liveStates) set.queueDepth.set({ state }, figures.queue?.[state] ?? 0);
    for (const status of Object.keys(nodeStatuses) as NodeStatus[]) {
      set.nodes.set({ status }, figures.nodes?.[status] ?? 0);
    }
    set.queueOldest.set({}, Math.max(0, figures.queue_oldest_s ?? 0));
    set.deadLetters.set({}, figures.dead_letters);
    set.deadEvents.set({}, figures.dead_events);
    set.auditSize.set({}, figures.audit_size ?? 0);
    if (figures.checkpoint_age_s !== null) set.checkpointAge.set({}, Math.max(0, figures.checkpoint_age_s));
    for (const feed of this.#feeds) {
      const lag = figures.feeds?.[cursorName(feed)] ?? { records: 0, seconds: 0 };
      set.feedLagRecords.set({ feed }, lag.records);
      set.feedLagSeconds.set({ feed }, Math.max(0, lag.seconds));
    }
  }

  #forgetFigures(): void {
    const { nodes, queueDepth, queueOldest, deadLetters, deadEvents, auditSize, checkpointAge } = this.#set;
    const { feedLagRecords, feedLagSeconds } = this.#set;
    const figures: Pick<GaugeMetric<never>, 'clear'>[] = [nodes, queueDepth, queueOldest, deadLetters, deadEvents];
    for (const gauge of [...figures, auditSize, checkpointAge, feedLagRecords, feedLagSeconds]) gauge.clear();
  }

  #onSigned(key: 'log' | 'manifest'): OnSigned {
    return (seconds, failure) => {
      this.#set.signSeconds.observe({ key }, seconds);
      if (failure !== undefined) this.#set.signErrors.add({ key, reason: failure });
    };
  }
}
