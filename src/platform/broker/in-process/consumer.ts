/** A consumer of the in-process broker: what is out with it, and how deliveries reach it. */

import type { Consumer, ConsumerOptions, Delivery } from '../../../domain/broker.ts';
import { closedError, notOutstandingError } from '../properties.ts';
import { toDelivery, type QueueEntry } from './message.ts';

/** What a consumer asks of its queue; every call but the first lets the queue give out what there is. */
export interface ConsumerQueue {
  /** It takes no more. */
  removeConsumer(consumer: InProcessConsumer): void;
  /** It is done with these. */
  forget(entries: readonly QueueEntry[], consumer: InProcessConsumer): void;
  /** It gives these up for good. */
  bury(entries: readonly QueueEntry[], consumer: InProcessConsumer): void;
  /** It gives these back; `countsAsReturn` where that counts against the delivery limit. */
  restore(entries: readonly QueueEntry[], countsAsReturn: boolean, consumer: InProcessConsumer): void;
}

/** `orphaned`: its queue is gone, and what is out with it can be settled without effect. */
type ConsumerState = 'active' | 'orphaned' | 'cancelled' | 'disconnected';

/**
 * Deliveries are assigned at once and handed over in a later turn of the event loop, all that have come by then in one
 * call: a handler never runs inside somebody's publish.
 */
export class InProcessConsumer implements Consumer {
  readonly #queue: ConsumerQueue;
  readonly #options: ConsumerOptions;
  readonly #onEnd: (consumer: InProcessConsumer) => void;
  readonly #outstanding = new Map<number, QueueEntry>();
  #arrived: Delivery[] = [];
  #handOverDue = false;
  #cancelReason: string | undefined;
  #state: ConsumerState = 'active';

  /** `onEnd` is called once, when it will take no more. */
  constructor(queue: ConsumerQueue, options: ConsumerOptions, onEnd: (consumer: InProcessConsumer) => void) {
    this.#queue = queue;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** Whether its prefetch lets it take one more. */
  get hasRoom(): boolean {
    return this.#state === 'active' && this.#outstanding.size < this.#options.prefetch;
  }

  /** The queue assigns a message; the tag is unique in the broker, so another consumer's never fits here. */
  take(entry: QueueEntry, tag: number): void {
    this.#outstanding.set(tag, entry);
    this.#arrived.push(toDelivery(entry, tag));
    this.#handOverLater();
  }

  ack(deliveries: readonly Delivery[]): void {
    const entries = this.#settle(deliveries);
    if (this.#state === 'active') this.#queue.forget(entries, this);
  }

  reject(deliveries: readonly Delivery[], options: { requeue: boolean }): void {
    const entries = this.#settle(deliveries);
    if (this.#state !== 'active') return;
    if (options.requeue) this.#queue.restore(entries, true, this);
    else this.#queue.bury(entries, this);
  }

  cancel(): Promise<void> {
    if (this.#state === 'active') {
      this.#leave('cancelled');
      this.#giveBack(false);
      this.#onEnd(this);
    }
    return Promise.resolve();
  }

  /**
   * Its connection ended: nothing more reaches the handler. Answers how to give back what is out, so that all
   * consumers of the connection are gone before the first message goes to the next consumer.
   */
  disconnect(): () => void {
    if (this.#state === 'active') {
      this.#leave('disconnected');
      return () => {
        this.#giveBack(true);
      };
    }
    this.#state = 'disconnected';
    return () => undefined;
  }

  /** Its queue is gone: what has arrived is still handed over, then the handler is told. Answers what is out with it. */
  orphan(reason: string): QueueEntry[] {
    this.#state = 'orphaned';
    this.#cancelReason = reason;
    this.#handOverLater();
    return [...this.#outstanding.values()];
  }

  #leave(state: 'cancelled' | 'disconnected'): void {
    this.#state = state;
    this.#arrived = [];
    this.#queue.removeConsumer(this);
  }

  #giveBack(countsAsReturn: boolean): void {
    const entries = [...this.#outstanding.values()];
    this.#outstanding.clear();
    this.#queue.restore(entries, countsAsReturn, this);
  }

  /** Takes the deliveries off the list of what is out: all of them, or none where one is not there. */
  #settle(deliveries: readonly Delivery[]): QueueEntry[] {
    if (this.#state === 'disconnected') throw closedError();
    const entries: QueueEntry[] = [];
    for (const { tag } of deliveries) {
      const entry = this.#outstanding.get(tag);
      if (entry === undefined) {
        this.#unsettle(deliveries, entries);
        throw notOutstandingError();
      }
      this.#outstanding.delete(tag);
      entries.push(entry);
    }
    return entries;
  }

  #unsettle(deliveries: readonly Delivery[], entries: readonly QueueEntry[]): void {
    entries.forEach((entry, i) => {
      const delivery = deliveries[i];
      if (delivery !== undefined) this.#outstanding.set(delivery.tag, entry);
    });
  }

  #handOverLater(): void {
    if (this.#handOverDue) return;
    this.#handOverDue = true;
    setImmediate(() => {
      this.#handOver();
    });
  }

  #handOver(): void {
    this.#handOverDue = false;
    const deliveries = this.#state === 'disconnected' ? [] : this.#arrived;
    this.#arrived = [];
    // A handler that throws is a defect of the handler: it surfaces as an uncaught exception, and the message of the
    // queue's end still comes.
    try {
      if (deliveries.length > 0) this.#options.onDeliveries(deliveries);
    } finally {
      this.#tellCancelled();
    }
  }

  #tellCancelled(): void {
    if (this.#state !== 'orphaned' || this.#cancelReason === undefined) return;
    const reason = this.#cancelReason;
    this.#cancelReason = undefined;
    this.#onEnd(this);
    this.#options.onCancelled(reason);
  }
}
