/** Tells the orchestrator at an interval that this node lives, what it has in hand, and takes what is answered. */

import { createHash } from 'node:crypto';
import { cpus, freemem, loadavg, totalmem } from 'node:os';
import type { Clock } from '../domain/clock.ts';
import type { BootId } from '../domain/ids.ts';
import type { Heartbeat, HeartbeatAnswer, HeldAttempt } from '../domain/node.ts';
import { clockSkewS } from '../proof/manifest.ts';
import type { ControlLink } from './control-link.ts';
import type { ExecutionWorker } from './execution-worker.ts';
import type { Journal } from './journal.ts';
import type { Receipts } from './receipts.ts';

export interface HeartbeatsOptions {
  link: ControlLink;
  clock: Clock;
  /** The credential to use now. */
  credential: () => string;
  /** A request for another certificate, where one is due. */
  renewal: () => Promise<string | undefined>;
  manifestKids: () => string[];
  nodeId: string;
  bootId: BootId;
  intervalS: number;
  slots: number;
  capabilities: { tool: string; digest: string }[];
  journal: Journal;
  receipts: Receipts;
  worker: ExecutionWorker;
  configVersion: () => number;
  onAnswer: (answer: HeartbeatAnswer) => Promise<void>;
  onFailure: (error: unknown) => void;
  /** The orchestrator's clock is so many seconds ahead of this one's, beyond what is borne; negative for behind. */
  onClockOff: (offsetS: number) => void;
}

/** After so many further receipts it is asked which have arrived, though no heartbeat is due. */
const earlyReceipts = 64;
/** Not so soon after the last heartbeat. */
const earlyPauseMs = 1000;

/** Owns the rhythm. A heartbeat that fails is made up for by the next; the lease bears several. */
export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  /** Whether that which is under way is nothing but an early one. */
  #isEarly = false;
  /** From when on one may be early, on the monotonic clock; and the last receipt that one has told of. */
  #earlyFromMs = Number.NEGATIVE_INFINITY;
  #toldSeq = -1;
  #through = -1;
  #earlier = 0;
  #isClockOff = false;
  #clockOffsetS = 0;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.beat().catch(this.#options.onFailure), this.#options.intervalS * 1000);
  }

  /** Ends the rhythm after a last heartbeat that says so. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating?.catch(() => undefined);
    await this.#exchange({ withList: false, status: 'terminating' }).catch(this.#options.onFailure);
  }

  /** One heartbeat now; concurrent calls share it. `withList` tells each attempt in hand. */
  beat(options: { withList?: boolean } = {}): Promise<void> {
    this.#isEarly = false;
    return this.#beat(options.withList ?? false);
  }

  /** A receipt was signed: each is held in memory and on disk until its arrival is known, so that many are not left to wait for the rhythm. */
  receiptSigned(): void {
    const { receipts, clock, onFailure, intervalS } = this.#options;
    if (receipts.seq < this.#toldSeq + earlyReceipts || clock.monotonicMs() < this.#earlyFromMs) return;
    if (this.#timer === undefined || this.#beating !== undefined) return;
    this.#isEarly = true;
    this.#beat(false).catch((error: unknown) => {
      // Who does not answer is not asked more often than by the rhythm.
      this.#pauseEarly(intervalS * 1000);
      onFailure(error);
    });
  }

  #pauseEarly(ms: number): void {
    this.#earlyFromMs = this.#options.clock.monotonicMs() + ms;
  }

  #beat(withList: boolean): Promise<void> {
    if (this.#beating === undefined) {
      this.#toldSeq = this.#options.receipts.seq;
      this.#pauseEarly(earlyPauseMs);
      this.#beating = this.#exchange({ withList, status: 'active' }).finally(() => (this.#beating = undefined));
    }
    return this.#beating;
  }

  async #exchange({ withList, status }: { withList: boolean; status: Heartbeat['status'] }): Promise<void> {
    const { link, credential, nodeId, receipts, worker, clock, renewal, onAnswer } = this.#options;
    const csr = await renewal();
    const sentMs = clock.now();
    const beat = { ...this.#compose(withList, status), ...(csr === undefined ? {} : { csr }) };
    const answer = await link.heartbeat(credential(), nodeId, beat);
    this.#compareClocks(answer, sentMs);
    await this.#acknowledge(answer);
    for (const { task_id, attempt } of answer.cancel ?? []) worker.cancel(task_id, attempt);
    await onAnswer(answer);
    if (answer.list_attempts === true && status === 'active') {
      await link.heartbeat(credential(), nodeId, this.#compose(true, status));
    }
    // What was signed a moment ago has not been dropped.
    if (this.#isEarly) return;
    // No progress since the last heartbeat means that something was dropped on the way.
    const earlier = this.#earlierReceipts();
    const isStuck = answer.receipts_through < receipts.seq && answer.receipts_through === this.#through;
    const isEarlierStuck = earlier > 0 && earlier === this.#earlier;
    this.#earlier = earlier;
    if (isStuck || isEarlierStuck) {
      // Not waited for: the broker may take its time, and the lease does not.
      receipts.resend(answer.receipts_through).catch(this.#options.onFailure);
    }
    this.#through = answer.receipts_through;
  }

  /** A clock that is off makes a node refuse what others take for fresh: it says so, and goes on saying so in its metrics. */
  #compareClocks({ time }: HeartbeatAnswer, sentMs: number): void {
    if (time === undefined) return;
    const offsetS = (Date.parse(time) - (sentMs + this.#options.clock.now()) / 2) / 1000;
    const isOff = Math.abs(offsetS) > clockSkewS;
    if (isOff && !this.#isClockOff) this.#options.onClockOff(Math.round(offsetS));
    this.#isClockOff = isOff;
    this.#clockOffsetS = Number(offsetS.toFixed(3));
  }

  /** Receipts of earlier boots that are not acknowledged yet. */
  #earlierReceipts(): number {
    const { journal, bootId } = this.#options;
    return journal.spool.filter(({ boot_id }) => boot_id !== bootId).length;
  }

  async #acknowledge(answer: HeartbeatAnswer): Promise<void> {
    const { journal, bootId } = this.#options;
    for (const { boot_id, seq } of answer.receipts_through_boots) await journal.acknowledge(boot_id, seq);
    await journal.acknowledge(bootId, answer.receipts_through);
  }

  #compose(withList: boolean, status: Heartbeat['status']): Heartbeat {
    const { bootId, slots, capabilities, journal, receipts, worker, configVersion } = this.#options;
    const held = journal.orders
      .filter(({ state }) => state !== 'finished')
      .map(({ task_id, attempt, state }): HeldAttempt => ({ task_id, attempt, is_started: state === 'started' }));
    const lines = held.map((h) => `${h.task_id} ${h.attempt.toString()} ${h.is_started ? '1' : '0'}\n`).sort();
    const earlier = new Map(journal.spool.filter((r) => r.boot_id !== bootId).map((r) => [r.boot_id, r.seq]));
    return {
      boot_id: bootId,
      status,
      metrics: {
        cpu: Math.min(1, (loadavg()[0] ?? 0) / cpus().length),
        memory: 1 - freemem() / totalmem(),
        load: loadavg()[0] ?? 0,
        slots_used: worker.busy,
        clock_offset_s: this.#clockOffsetS,
      },
      slots,
      capabilities,
      attempts: {
        count: held.length,
        sha256: createHash('sha256').update(lines.join('')).digest('hex'),
        ...(withList ? { list: held } : {}),
      },
      receipts_seq: receipts.seq,
      spooled_boots: [...earlier].map(([boot_id, seq]) => ({ boot_id, seq })),
      config_version: configVersion(),
      manifest_kids: this.#options.manifestKids(),
    };
  }
}
