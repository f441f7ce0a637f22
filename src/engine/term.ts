/** One term of leadership: everything that only the leader does, begun and ended together. */

import { systemActor } from '../aaa/accounting.ts';
import type { PeerWork, Place } from '../domain/peer-work.ts';
import { Dispatcher } from '../dispatch/dispatcher.ts';
import { Checkpointer } from '../ledger/checkpointer.ts';
import { FencedError } from '../ledger/fence.ts';
import { readHead } from '../ledger/log-sql.ts';
import { Sequencer } from '../ledger/sequencer.ts';
import { raised } from '../platform/postgres/raised.ts';
import { Placement } from '../schedule/placement.ts';
import { listWindows, msUntilNextDue, readReadyTasks, readWindowFrom } from '../schedule/schedule-sql.ts';
import { TaskScheduler } from '../schedule/task-scheduler.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import { TelemetryPipeline } from '../telemetry/telemetry-pipeline.ts';
import { TelemetryPublisher } from '../telemetry/telemetry-publisher.ts';
import { queueOf, telemetryTopology, type Feed } from '../telemetry/feeds.ts';
import { Loop, type LoopOptions } from './loop.ts';
import type { EngineParts } from './parts.ts';
import { appendHeartbeat, expireTasks, roundMax, wakeDue } from './rounds.ts';

const secondMs = 1000;
const resyncMs = 5000;
/** Places that others told of and that are not looked at yet; with more, all queues are. */
const placesMax = 512;
const keysMs = 2000;
const silenceMs = 60_000;
/** A pause between two looks at the nodes in which their heartbeats may have been missed. */
const deafMs = 5000;

export interface TermOptions {
  parts: EngineParts;
  term: number;
  /** The term is over, or the log is not the one that the mark knows: nothing of it may go on. */
  onOver: (term: number, error: unknown) => void;
}

/** Owns the loops of the leader. What it holds in memory is read anew by the next term. */
export class Term {
  readonly term: number;
  readonly #parts: EngineParts;
  readonly #onOver: (term: number, error: unknown) => void;
  readonly #scheduler: TaskScheduler;
  readonly #placement: Placement;
  readonly #checkpointer: Checkpointer;
  readonly #sequencer: Sequencer;
  readonly #dispatcher: Dispatcher;
  readonly #sequencing: Loop;
  readonly #dispatching: Loop;
  readonly #feeds: readonly Loop[];
  readonly #pipelines: TelemetryPipeline[] = [];
  readonly #resyncing: Loop;
  /** Reads what other orchestrators have told of. */
  readonly #looking: Loop;
  readonly #rereading: Loop;
  #places: Place[] = [];
  readonly #others: readonly Loop[];
  /** Since when nodes could be heard without a pause. */
  #listensSinceMs: number;
  #watchedAtMs: number;
  #size: number;
  #grewAtMs: number;

  private constructor({ parts, term, onOver }: TermOptions, checkpointer: Checkpointer, size: number) {
    this.term = term;
    this.#parts = parts;
    this.#onOver = onOver;
    this.#checkpointer = checkpointer;
    this.#size = size;
    this.#listensSinceMs = parts.clock.monotonicMs();
    this.#watchedAtMs = this.#listensSinceMs;
    this.#grewAtMs = this.#listensSinceMs;
    this.#scheduler = new TaskScheduler(readWindowFrom(parts.database));
    this.#placement = new Placement({ ...parts, findRequirement: (n) => parts.requirements.find(n) });
    this.#sequencer = this.#makeSequencer();
    this.#dispatcher = this.#makeDispatcher();
    this.#sequencing = this.#loop('sequence', () => this.#sequencer.runOnce(), { intervalMs: secondMs });
    this.#dispatching = this.#loop('dispatch', () => this.#dispatcher.runOnce(), { backoffMaxMs: 10_000 });
    this.#feeds = parts.telemetry.feeds.map((feed) => this.#feedLoop(feed));
    this.#resyncing = this.#loop('resync', () => this.#resync(), { intervalMs: resyncMs });
    this.#looking = this.#loop('look', () => this.#look(), { intervalMs: null });
    this.#rereading = this.#loop('nodes', () => this.#readNodes(), { intervalMs: null });
    this.#others = [
      this.#loop('checkpoint', () => this.#checkpoint(), { intervalMs: secondMs }),
      this.#loop('due', () => this.#wakeDue(), { intervalMs: secondMs / 4 }),
      this.#loop('expire', () => this.#expire(), { intervalMs: secondMs }),
      this.#loop('watch', () => this.#watch(), { intervalMs: secondMs }),
      this.#resyncing,
      this.#looking,
      this.#rereading,
      this.#loop('keys', () => this.#advanceKeys(), { intervalMs: keysMs }),
    ];
  }

  /** Begins a term. Throws FencedError where the log is not the one that the mark knows. */
  static async open(options: TermOptions): Promise<Term> {
    const { parts, term } = options;
    const checkpointer = await Checkpointer.open({
      ...parts,
      term,
      signer: parts.logSigner,
      onCheckpoint: () => undefined,
    });
    const opened = new Term(options, checkpointer, (await readHead(parts.database))?.size ?? 0);
    await opened.#begin();
    return opened;
  }

  /** Whether the last try to sign and commit orders failed. */
  get isDispatchFailing(): boolean {
    return this.#dispatching.failures > 0;
  }

  /** Tasks that were accepted here and can run. */
  offer(tasks: readonly ReadyTask[]): void {
    this.#scheduler.offer(tasks);
    this.#dispatching.wake();
  }

  /** Tasks that can run again, by id. */
  async offerByIds(taskIds: readonly string[]): Promise<void> {
    for (let i = 0; i < taskIds.length; i += roundMax) {
      const tasks = await readReadyTasks(this.#parts.database, taskIds.slice(i, i + roundMax));
      await this.#learn(tasks);
      this.offer(tasks);
    }
  }

  /** Tasks that are not queued any more, whatever their attempt. */
  withdraw(taskIds: readonly string[]): void {
    this.#scheduler.forget(taskIds.map((task_id) => ({ task_id, attempt: Number.MAX_SAFE_INTEGER })));
  }

  /** Records were committed. */
  recordsCommitted(): void {
    this.#sequencing.wake();
  }

  /** A node answered, or its attempts were given up: it has room again. `spanMs` is the time in which it ran what it answered. */
  finished(nodeId: string, count: number, spanMs?: number): void {
    this.#placement.finished(nodeId, count, spanMs);
    this.#dispatching.wake();
  }

  /** Another orchestrator committed records, and `work` beside them; undefined where that may be anything. */
  peerWorked(work: PeerWork | undefined): void {
    this.#sequencing.wake();
    if (work === undefined) {
      this.#resyncing.wake();
      return;
    }
    const { places = [], ready = [], finished = [], nodes = false } = work;
    for (const { node_id, count, span_ms } of finished) this.finished(node_id, count, span_ms);
    if (this.#places.length + places.length <= placesMax) this.#places.push(...places);
    else this.#resyncing.wake();
    if (places.length > 0) this.#looking.wake();
    if (ready.length > 0) void this.offerByIds(ready).catch(() => undefined);
    if (nodes) this.#rereading.wake();
  }

  /** The broker takes manifests again. */
  brokerIsBack(): void {
    this.#dispatching.wake();
  }

  nodesChanged(): void {
    this.#placement.setNodes(this.#parts.fleet.registry.ready());
    this.#dispatching.wake();
  }

  /** Ends all loops. With `drain`, what was committed is sent, chained and signed first. */
  async stop(options: { drain: boolean }): Promise<void> {
    await Promise.all([this.#dispatching, ...this.#others].map((loop) => loop.stop()));
    await this.#sequencing.stop();
    try {
      if (options.drain) {
        await this.#dispatcher.drain();
        while (await this.#sequencer.runOnce());
        await this.#checkpointer.runOnce(this.#size);
      }
    } finally {
      await Promise.all(this.#feeds.map((loop) => loop.stop()));
    }
  }

  async #begin(): Promise<void> {
    const { requirements, manifestKeys, fleet, database } = this.#parts;
    await requirements.load();
    await manifestKeys.refresh();
    await fleet.registry.load();
    this.#placement.setNodes(fleet.registry.ready(), await fleet.inFlight());
    this.#scheduler.discover(await listWindows(database));
    for (const loop of [this.#sequencing, this.#dispatching, ...this.#feeds, ...this.#others]) loop.start();
  }

  #makeSequencer(): Sequencer {
    return new Sequencer({
      database: this.#parts.database,
      term: this.term,
      onSequenced: (sequenced) => {
        this.#checkpointer.take(sequenced);
        this.#size = sequenced.from + sequenced.lines.length;
        this.#grewAtMs = this.#parts.clock.monotonicMs();
        for (const pipeline of this.#pipelines) pipeline.take(sequenced.from, sequenced.lines);
        for (const feed of this.#feeds) feed.wake();
      },
    });
  }

  #makeDispatcher(): Dispatcher {
    const { parts } = { parts: this.#parts };
    return new Dispatcher({
      ...parts,
      signer: () => parts.manifestKeys.signer,
      scheduler: this.#scheduler,
      placement: this.#placement,
      term: this.term,
      onCommitted: () => {
        this.#sequencing.wake();
      },
      onRefused: (taskIds) => {
        parts.onTasksEnded(taskIds);
        parts.peers?.tellEnded();
      },
      onPublished: ({ failed }) => {
        if (failed > 0) parts.log('warn', 'manifest.unsent', { failed });
      },
    });
  }

  #feedLoop(feed: Feed): Loop {
    const { parts } = { parts: this.#parts };
    const { names, isWanted, maxAttempts, backoffInitialS, backoffMaxS, queueMaxLength } = parts.telemetry;
    const pipeline = new TelemetryPipeline({
      ...parts,
      publisher: new TelemetryPublisher(parts.broker, maxAttempts),
      term: this.term,
      ...{ feed, names, isWanted },
      queue: queueOf(feed, names),
      ...(queueMaxLength === undefined ? {} : { queueMaxLength }),
      declare: () => parts.broker.declare(telemetryTopology(names, parts.telemetry.feeds)),
      onMemoryLost: () => {
        parts.log('warn', 'telemetry.rewound', { feed });
      },
      onDead: (count) => {
        parts.log('warn', 'telemetry.dead', { feed, count });
        this.#sequencing.wake();
      },
    });
    this.#pipelines.push(pipeline);
    return this.#loop(`feed.${feed}`, () => pipeline.runOnce(), {
      intervalMs: secondMs,
      backoffInitialMs: backoffInitialS * 1000,
      backoffMaxMs: backoffMaxS * 1000,
    });
  }

  #loop(name: string, runOnce: () => Promise<boolean>, options: Partial<LoopOptions>): Loop {
    return new Loop({
      name,
      runOnce,
      intervalMs: secondMs,
      backoffInitialMs: 200,
      backoffMaxMs: 5000,
      random: this.#parts.random,
      onError: (error, failures) => this.#takeFailure(name, error, failures),
      ...options,
    });
  }

  #takeFailure(name: string, error: unknown, failures: number): boolean {
    const isOver = error instanceof FencedError || raised(error)?.code === 'WR001';
    if (isOver) this.#onOver(this.term, error);
    // The queue of telemetry may be full for long: that is told once.
    else if (failures === 1) this.#parts.log('warn', `${name}.failed`, { error });
    return isOver;
  }

  async #checkpoint(): Promise<boolean> {
    const { clock } = this.#parts;
    await this.#checkpointer.runOnce(this.#size);
    if (clock.monotonicMs() - this.#grewAtMs >= silenceMs) {
      this.#grewAtMs = clock.monotonicMs();
      await appendHeartbeat(this.#parts, this.term);
      this.#sequencing.wake();
    }
    return false;
  }

  async #wakeDue(): Promise<boolean> {
    const next = await msUntilNextDue(this.#parts.database);
    if (next === null || next > 0) return false;
    const woken = await wakeDue(this.#parts, this.term);
    await this.offerByIds(woken);
    return woken.length === roundMax;
  }

  async #expire(): Promise<boolean> {
    const expired = await expireTasks(this.#parts);
    if (expired.length === 0) return false;
    this.#scheduler.forget(expired);
    this.#sequencing.wake();
    this.#parts.onTasksEnded(expired.map(({ task_id }) => task_id));
    this.#parts.peers?.tellEnded();
    return expired.length === roundMax;
  }

  async #watch(): Promise<boolean> {
    const { fleet, aaa, clock, leaseS } = this.#parts;
    await fleet.watch();
    await aaa.flush();
    // An outage of the control plane loses nobody's work: nodes get a whole lease to be heard by this leader, and again after
    // it could not hear them for a while.
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#watchedAtMs > deafMs) this.#listensSinceMs = nowMs;
    this.#watchedAtMs = nowMs;
    if (nowMs - this.#listensSinceMs < leaseS * 1000) return false;
    return fleet.recover(this.term);
  }

  async #advanceKeys(): Promise<boolean> {
    const { manifestKeys, processId } = this.#parts;
    await manifestKeys.advance({ actor: systemActor(processId) });
    return false;
  }

  async #look(): Promise<boolean> {
    const places = this.#places;
    this.#places = [];
    try {
      await this.#learn(places);
      for (const place of places) {
        // What is not known is no queue of this system's.
        if (this.#parts.requirements.find(place.requirement) === undefined) continue;
        await this.#scheduler.look(place);
        this.#dispatching.wake();
      }
    } catch (error) {
      this.#resyncing.wake();
      throw error;
    }
    return false;
  }

  /** Reads requirements that another orchestrator was the first to have. */
  async #learn(queued: readonly { requirement: number }[]): Promise<void> {
    const { requirements } = this.#parts;
    if (queued.some(({ requirement }) => requirements.find(requirement) === undefined)) await requirements.load();
  }

  async #readNodes(): Promise<boolean> {
    await this.#parts.fleet.registry.load();
    this.nodesChanged();
    return false;
  }

  async #resync(): Promise<boolean> {
    const { requirements, database, fleet } = this.#parts;
    await requirements.load();
    this.#scheduler.discover(await listWindows(database));
    await this.#scheduler.resync();
    this.#placement.setNodes(fleet.registry.ready(), await fleet.inFlight());
    this.#dispatching.wake();
    return false;
  }
}
