/** A consumer on a channel of its own: what is out with it, and how deliveries reach its owner. */

import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Consumer, ConsumerOptions, Delivery } from '../../../domain/broker.ts';
import { closedError, notOutstandingError, topologyMissing } from '../properties.ts';
import { closeQuietly } from './close.ts';
import { toDelivery } from './delivery.ts';
import { channelFailure, isNotFound } from './failure.ts';

/** Tags are unique in the process, so that another consumer's never fits. */
let lastTag = 0;

/**
 * What arrives in one turn of the event loop is handed over in one call, in a turn of its own: never before `start` has answered. Acknowledgements go out at once and are not answered: where the connection
 * ends first, the broker delivers again.
 */
export class RabbitMqConsumer implements Consumer {
  readonly #channel: Channel;
  readonly #options: ConsumerOptions;
  readonly #onEnd: (consumer: RabbitMqConsumer) => void;
  /** Messages out with the owner by tag, oldest first. */
  readonly #outstanding = new Map<number, ConsumeMessage>();
  #arrived: Delivery[] = [];
  #state: 'active' | 'orphaned' | 'ended' | 'disconnected' = 'active';
  #isCancelling = false;
  #handOverDue = false;

  private constructor(channel: Channel, options: ConsumerOptions, onEnd: (consumer: RabbitMqConsumer) => void) {
    this.#channel = channel;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** Begins to consume. `onEnd` is called once, when nothing more can come. */
  static async start(
    model: ChannelModel,
    queue: string,
    options: ConsumerOptions,
    onEnd: (consumer: RabbitMqConsumer) => void,
  ): Promise<RabbitMqConsumer> {
    const channel = await model.createChannel();
    const consumer = new RabbitMqConsumer(channel, options, onEnd);
    channel.on('error', () => undefined);
    let isBegun = false;
    let isLost = false;
    channel.on('close', () => {
      isLost = true;
      if (isBegun) consumer.lose('connection_lost');
    });
    try {
      await channel.prefetch(options.prefetch);
      await channel.consume(queue, (message) => {
        consumer.#take(message);
      });
    } catch (error) {
      await closeQuietly(channel);
      throw channelFailure(error, (code) => (isNotFound(code) ? topologyMissing('queue', queue) : undefined));
    }
    isBegun = true;
    // The channel may have ended in the very read that brought the last answer.
    if (wasLost(isLost)) throw channelFailure(undefined, () => undefined);
    return consumer;
  }

  ack(deliveries: readonly Delivery[]): void {
    const messages = this.#settle(deliveries);
    const last = messages.at(-1);
    if (last === undefined) return;
    // Where all that is older is settled too, one acknowledgement stands for all.
    const [oldest] = this.#outstanding.values();
    const newest = messages.reduce((a, b) => (b.fields.deliveryTag > a.fields.deliveryTag ? b : a), last);
    if (oldest === undefined || oldest.fields.deliveryTag > newest.fields.deliveryTag) {
      this.#channel.ack(newest, true);
    } else {
      for (const message of messages) this.#channel.ack(message);
    }
    this.#closeWhenSettled();
  }

  reject(deliveries: readonly Delivery[], { requeue }: { requeue: boolean }): void {
    for (const message of this.#settle(deliveries)) this.#channel.nack(message, false, requeue);
    this.#closeWhenSettled();
  }

  /** Ends the channel, which gives back what is out: ending the consumer alone would leave it with the channel. */
  async cancel(): Promise<void> {
    if (this.#state !== 'active' && this.#state !== 'orphaned') return;
    this.#end('ended');
    await closeQuietly(this.#channel);
  }

  /** The owner of the connection closes it: nothing more reaches the consumer's. Acknowledgements are with RabbitMQ when it resolves. */
  async close(): Promise<void> {
    this.#end('disconnected');
    await closeQuietly(this.#channel);
  }

  /** The connection or the channel is gone: what is out can no longer be settled, and the owner is told, once. */
  lose(reason: string): void {
    if (this.#state === 'ended' || this.#state === 'orphaned') return;
    const isTold = this.#state === 'active';
    this.#end('disconnected');
    if (isTold) this.#options.onCancelled(reason);
  }

  #take(message: ConsumeMessage | null): void {
    if (this.#state !== 'active') return;
    if (message === null) {
      this.#state = 'orphaned';
      this.#isCancelling = true;
    } else {
      const tag = ++lastTag;
      this.#outstanding.set(tag, message);
      this.#arrived.push(toDelivery(message, tag));
    }
    if (this.#handOverDue) return;
    this.#handOverDue = true;
    setImmediate(() => {
      this.#handOver();
    });
  }

  #handOver(): void {
    this.#handOverDue = false;
    const deliveries = this.#arrived;
    this.#arrived = [];
    try {
      if (deliveries.length > 0 && this.#state !== 'ended' && this.#state !== 'disconnected') {
        this.#options.onDeliveries(deliveries);
      }
    } finally {
      if (this.#isCancelling) {
        this.#isCancelling = false;
        this.#onEnd(this);
        this.#options.onCancelled('queue_deleted');
        this.#closeWhenSettled();
      }
    }
  }

  /** Its queue is gone: the channel serves to settle what is out, and for nothing after. */
  #closeWhenSettled(): void {
    if (this.#state === 'orphaned' && this.#outstanding.size === 0) void closeQuietly(this.#channel);
  }

  #end(state: 'ended' | 'disconnected'): void {
    this.#state = state;
    this.#arrived = [];
    this.#outstanding.clear();
    this.#onEnd(this);
  }

  /** Takes the deliveries off the list of what is out: all of them, or none where one is not there. */
  #settle(deliveries: readonly Delivery[]): ConsumeMessage[] {
    if (this.#state === 'disconnected') throw closedError();
    const tags = new Set(deliveries.map(({ tag }) => tag));
    if (tags.size !== deliveries.length) throw notOutstandingError();
    const messages = deliveries.map(({ tag }) => {
      const message = this.#outstanding.get(tag);
      if (message === undefined) throw notOutstandingError();
      return message;
    });
    for (const tag of tags) this.#outstanding.delete(tag);
    return messages;
  }
}

/** Asked through a call: what an event changed meanwhile is not seen by the compiler. */
function wasLost(isLost: boolean): boolean {
  return isLost;
}
