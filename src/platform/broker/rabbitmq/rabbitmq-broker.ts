/** RabbitMQ behind the port `Broker`. */

import type { Channel, ChannelModel } from 'amqplib';
import type {
  Broker,
  Consumer,
  ConsumerOptions,
  OutgoingMessage,
  PublishOutcome,
  Topology,
} from '../../../domain/broker.ts';
import { systemClock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/error.ts';
import { bodyMaxBytes, checkPrefetch, topologyMissing } from '../properties.ts';
import { RabbitMqConsumer } from './consumer.ts';
import { channelFailure, isNotFound } from './failure.ts';
import { RabbitMqLink, type LinkOptions } from './link.ts';
import { RabbitMqPublisher } from './publisher.ts';
import { DeclaredTopology, declareAgain, declareTopology, withChannel } from './topology.ts';

/**
 * Connects to RabbitMQ and stays connected until `close`. Resolves after the first try, also where that failed: then `failure` says
 * why, and trying goes on.
 */
export async function connectRabbitMq(options: RabbitMqOptions): Promise<RabbitMqBroker> {
  const broker = new RabbitMqBroker(options);
  await broker.start();
  return broker;
}

export interface RabbitMqOptions extends LinkOptions {
  /** Longest body of a message; a longer one is refused `too_large`. RabbitMQ's own `max_message_size` must not be smaller. Default 16 MiB. */
  bodyMaxBytes?: number;
}

/** At most once in this time is everything declared again. */
const repairMs = 2000;

/** Owns one connection, its publisher and its consumers. */
export class RabbitMqBroker implements Broker {
  readonly #link: RabbitMqLink;
  readonly #options: RabbitMqOptions;
  readonly #declared = new DeclaredTopology();
  readonly #consumers = new Set<RabbitMqConsumer>();
  #publisher: RabbitMqPublisher | undefined;
  /** What could not be declared the last time. */
  #failures: readonly AppError[] = [];
  #declaredAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RabbitMqOptions) {
    this.#options = options;
    this.#link = new RabbitMqLink(options, {
      onOpen: (model) => this.#prepare(model),
      onLost: () => {
        this.#forgetConnection('connection_lost');
      },
    });
  }

  start(): Promise<void> {
    return this.#link.start();
  }

  /** Why there is no connection now; its code is `unavailable` where that may pass by itself. */
  get failure(): AppError | undefined {
    return this.#link.failure;
  }

  async declare(topology: Topology, { once = false } = {}): Promise<void> {
    if (this.#link.isClosed) throw this.#link.unavailable();
    if (!once) this.#declared.add(topology);
    try {
      await this.#onChannel((channel) => declareTopology(channel, topology));
    } catch (error) {
      // What cannot be there is not tried again at every connection; what could not be asked is.
      if (error instanceof AppError && error.code !== 'unavailable') {
        for (const { name } of topology.queues) this.#declared.removeQueue(name);
      }
      throw error;
    }
  }

  async deleteQueue(name: string): Promise<void> {
    this.#declared.removeQueue(name);
    // RabbitMQ answers the deletion of a queue that is not there as a success.
    await this.#onChannel((channel) => channel.deleteQueue(name));
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    const publisher = this.#publisher;
    if (publisher === undefined || this.#link.model === undefined) throw this.#link.unavailable();
    if (this.#link.blockedBy !== undefined) {
      throw new AppError('unavailable', `RabbitMQ takes no messages: ${this.#link.blockedBy}.`, {
        reason: 'broker_blocked',
        retryAfterS: 5,
      });
    }
    return publisher.publish(messages).catch((error: unknown) => {
      throw channelFailure(error, () => undefined);
    });
  }

  async consume(queue: string, options: ConsumerOptions): Promise<Consumer> {
    const model = this.#model();
    checkPrefetch(options.prefetch);
    const consumer = await RabbitMqConsumer.start(model, queue, options, (ended) => this.#consumers.delete(ended));
    if (this.#link.model !== model) {
      await consumer.close();
      throw this.#link.unavailable();
    }
    this.#consumers.add(consumer);
    return consumer;
  }

  async depth(queue: string): Promise<number> {
    return this.#onChannel(async (channel) => {
      const { messageCount } = await channel.checkQueue(queue).catch((error: unknown) => {
        throw channelFailure(error, (code) => (isNotFound(code) ? topologyMissing('queue', queue) : undefined));
      });
      return messageCount;
    });
  }

  health(): Promise<{ ok: boolean; detail?: string }> {
    const { failure, blockedBy, model, isClosed } = this.#link;
    // What is out of reach for a while, such as the queue of one node, holds nobody else up.
    const conflict = this.#failures.find(({ code }) => code === 'conflict' || code === 'forbidden');
    if (model === undefined) {
      const detail = isClosed ? 'the connection is closed' : (failure?.message ?? 'not connected');
      return Promise.resolve({ ok: false, detail });
    }
    if (this.#failures.length > 0) this.#repair(model);
    if (blockedBy !== undefined) return Promise.resolve({ ok: false, detail: `takes no messages: ${blockedBy}` });
    return Promise.resolve(conflict === undefined ? { ok: true } : { ok: false, detail: conflict.message });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await this.#link.close();
  }

  /** Before a connection counts as there: what was declared is declared again, since the broker may have lost all it had. */
  async #prepare(model: ChannelModel): Promise<void> {
    await this.#declareAll(model);
    this.#publisher = await RabbitMqPublisher.start(model, {
      bodyMaxBytes: this.#options.bodyMaxBytes ?? bodyMaxBytes,
      // Somebody took an exchange or a queue away: what is published next finds it again.
      onMissing: () => {
        this.#repair(model);
      },
    });
  }

  async #declareAll(model: ChannelModel): Promise<void> {
    this.#declaredAtMs = systemClock.monotonicMs();
    this.#failures = await declareAgain(model, this.#declared);
    for (const { reason, message } of this.#failures) this.#options.log('broker.topology', { reason, message });
  }

  /** Declares everything again, now and then: a queue may be out of reach for a while, or somebody took it away. */
  #repair(model: ChannelModel): void {
    if (systemClock.monotonicMs() - this.#declaredAtMs < repairMs || model !== this.#link.model) return;
    this.#declareAll(model).catch(() => undefined);
  }

  #forgetConnection(reason: string): void {
    this.#publisher = undefined;
    for (const consumer of [...this.#consumers]) consumer.lose(reason);
  }

  #model(): ChannelModel {
    const { model } = this.#link;
    if (model === undefined) throw this.#link.unavailable();
    return model;
  }

  async #onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const model = this.#model();
    try {
      return await withChannel(model, work);
    } catch (error) {
      throw channelFailure(error, () => undefined);
    }
  }
}
