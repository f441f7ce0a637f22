/** One queue of the in-process broker: order, turns of its consumers, expiry, limits. */

import type { Death, QueueSpec } from '../../../domain/broker.ts';
import type { ConsumerQueue, InProcessConsumer } from './consumer.ts';
import type { QueueEntry, StoredMessage } from './message.ts';
import { ReadyList } from './ready-list.ts';

/** The longest time a timer of Node can wait. */
const timerMaxMs = 2 ** 31 - 1;

/** What a queue needs of the broker that it is in. */
export interface QueueHost {
  /** Milliseconds that never step back. */
  nowMs(): number;
  /** A tag that no other delivery of this broker has. */
  nextTag(): number;
  /** This queue holds the message no longer. */
  release(message: StoredMessage): void;
  /** The message died in a queue; called before `release`, never answers by calling the queue. */
  bury(message: StoredMessage, spec: QueueSpec, reason: Death['reason']): void;
}

/**
 * Invariant: while a consumer has room, nothing is ready. Whatever becomes ready is assigned at once, in order, to the
 * consumer whose turn it is.
 */
export class InProcessQueue implements ConsumerQueue {
  readonly spec: QueueSpec;
  readonly #host: QueueHost;
  readonly #ready = new ReadyList();
  readonly #consumers = new Set<InProcessConsumer>();
  /** Consumers with room, in the order of their turns. */
  #turns: InProcessConsumer[] = [];
  #nextPosition = 0;
  #expiryTimer: NodeJS.Timeout | undefined;
  #expiryTimerAtMs = Infinity;
  #deleted = false;

  constructor(spec: QueueSpec, host: QueueHost) {
    this.spec = { ...spec };
    this.#host = host;
  }

  /** Ready messages, without those that are out with consumers. */
  depth(): number {
    this.#dropExpired();
    return this.#ready.size;
  }

  /** Whether a message more would be over the queue's length. */
  isFull(): boolean {
    const { maxLength } = this.spec;
    return maxLength !== undefined && this.#ready.size >= maxLength && this.depth() >= maxLength;
  }

  /** Takes a message in at the end. The caller has looked at `isFull`. */
  add(message: StoredMessage): void {
    message.holders++;
    const ttlMs = Math.min(message.ttlMs, this.spec.messageTtlMs ?? Infinity);
    const entry: QueueEntry = {
      message,
      position: this.#nextPosition++,
      expiresAtMs: ttlMs === Infinity ? Infinity : this.#host.nowMs() + ttlMs,
      redelivered: false,
      returns: 0,
    };
    if (this.#hasTurn()) {
      this.#assign(entry);
    } else {
      this.#ready.push(entry);
      this.#armExpiry();
    }
  }

  addConsumer(consumer: InProcessConsumer): void {
    this.#consumers.add(consumer);
    this.#turns.push(consumer);
    this.#pump();
  }

  removeConsumer(consumer: InProcessConsumer): void {
    this.#consumers.delete(consumer);
    this.#turns = this.#turns.filter((other) => other !== consumer);
  }

  /** A consumer is done with these. */
  forget(entries: readonly QueueEntry[], consumer: InProcessConsumer): void {
    for (const { message } of entries) this.#host.release(message);
    this.#giveTurn(consumer);
  }

  /** A consumer gives these up for good: they die `rejected`. */
  bury(entries: readonly QueueEntry[], consumer: InProcessConsumer): void {
    for (const entry of entries) this.#die(entry, 'rejected');
    this.#giveTurn(consumer);
  }

  /**
   * These come back from a consumer, to their old places. `countsAsReturn` where it counts against the delivery limit:
   * a consumer's reject or its connection's end does, a consumer that took its leave does not.
   */
  restore(entries: readonly QueueEntry[], countsAsReturn: boolean, consumer: InProcessConsumer): void {
    const { deliveryLimit = Infinity } = this.spec;
    const kept: QueueEntry[] = [];
    for (const entry of entries) {
      entry.redelivered = true;
      if (countsAsReturn) entry.returns++;
      if (entry.returns > deliveryLimit) this.#die(entry, 'delivery_limit');
      else kept.push(entry);
    }
    if (kept.length > 0) this.#ready.restore(kept);
    this.#giveTurn(consumer);
  }

  /** The queue goes away with all its messages; none of them is dead-lettered. */
  delete(reason: string): void {
    this.#deleted = true;
    this.stopTimer();
    for (const consumer of this.#consumers) {
      for (const { message } of consumer.orphan(reason)) this.#host.release(message);
    }
    this.#consumers.clear();
    this.#turns = [];
    for (let entry = this.#ready.take(); entry !== undefined; entry = this.#ready.take()) {
      this.#host.release(entry.message);
    }
  }

  stopTimer(): void {
    clearTimeout(this.#expiryTimer);
    this.#expiryTimer = undefined;
    this.#expiryTimerAtMs = Infinity;
  }

  #hasTurn(): boolean {
    return this.#turns.length > 0;
  }

  /** The consumer has room again and waits behind those that already do. */
  #giveTurn(consumer: InProcessConsumer): void {
    if (consumer.hasRoom && !this.#turns.includes(consumer)) this.#turns.push(consumer);
    this.#pump();
  }

  #pump(): void {
    this.#dropExpired();
    while (this.#hasTurn()) {
      const entry = this.#ready.take();
      if (entry === undefined) break;
      this.#assign(entry);
      this.#dropExpired();
    }
    this.#armExpiry();
  }

  #assign(entry: QueueEntry): void {
    const consumer = this.#turns.shift();
    if (consumer === undefined) throw new Error('a message was assigned while no consumer had room');
    consumer.take(entry, this.#host.nextTag());
    if (consumer.hasRoom) this.#turns.push(consumer);
  }

  /** As in RabbitMQ, only what stands at the head expires; what stands behind a younger message waits for it. */
  #dropExpired(): void {
    for (let head = this.#ready.peek(); head !== undefined; head = this.#ready.peek()) {
      if (head.expiresAtMs === Infinity || head.expiresAtMs > this.#host.nowMs()) return;
      this.#ready.take();
      this.#die(head, 'expired');
    }
  }

  #die(entry: QueueEntry, reason: Death['reason']): void {
    this.#host.bury(entry.message, this.spec, reason);
    this.#host.release(entry.message);
  }

  /** Sets the timer for the head's end; one that rings too early only looks and is set again. */
  #armExpiry(): void {
    const expiresAtMs = this.#ready.peek()?.expiresAtMs ?? Infinity;
    if (expiresAtMs >= this.#expiryTimerAtMs || this.#deleted) return;
    this.stopTimer();
    this.#expiryTimerAtMs = expiresAtMs;
    const waitMs = Math.min(Math.max(Math.ceil(expiresAtMs - this.#host.nowMs()), 1), timerMaxMs);
    this.#expiryTimer = setTimeout(() => {
      this.#expiryTimerAtMs = Infinity;
      this.#dropExpired();
      this.#armExpiry();
    }, waitMs).unref();
  }
}
