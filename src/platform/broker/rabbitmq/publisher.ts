/** Publishes with confirms and tells for each message what became of it. */

import type { ChannelModel, ConfirmChannel, Message } from 'amqplib';
import type { OutgoingMessage, PublishOutcome } from '../../../domain/broker.ts';
import { AppError } from '../../../domain/error.ts';
import { isEncodable } from '../properties.ts';
import { isNotFound, replyCodeOf } from './failure.ts';

/** Bytes that may wait for their confirms; beyond, publishing fails and what is to be sent stays where it is kept. */
const openMaxBytes = 128 * 1024 * 1024;
/** A queue without a majority of its replicas confirms nothing, for as long as it likes. */
const confirmTimeoutMs = 30_000;

interface PublisherOptions {
  bodyMaxBytes: number;
  /** An exchange or a queue that was published to does not exist. */
  onMissing: () => void;
}

/** One message that waits for its confirm. */
interface Open {
  message: OutgoingMessage;
  isReturned: boolean;
  settle: (outcome: PublishOutcome) => void;
}

const confirmed: PublishOutcome = Object.freeze({ outcome: 'confirmed' });
const returned: PublishOutcome = Object.freeze({ outcome: 'returned', reason: 'no_route' });
const nacked: PublishOutcome = Object.freeze({ outcome: 'refused', reason: 'nack' });

/**
 * Owns the one channel with confirms of a connection. An error on it (an exchange that does not exist) ends it with all that waits,
 * `onMissing` is told, and the next publish opens another.
 */
export class RabbitMqPublisher {
  readonly #model: ChannelModel;
  readonly #options: PublisherOptions;
  readonly #open = new Set<Open>();
  #openBytes = 0;
  #channel: ConfirmChannel | undefined;
  #opening: Promise<ConfirmChannel> | undefined;

  private constructor(model: ChannelModel, options: PublisherOptions) {
    this.#model = model;
    this.#options = options;
  }

  static async start(model: ChannelModel, options: PublisherOptions): Promise<RabbitMqPublisher> {
    const publisher = new RabbitMqPublisher(model, options);
    await publisher.#openChannel();
    return publisher;
  }

  /** As `Broker.publish`. Fails `unavailable` where too much waits for confirms already. */
  async publish(messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    if (messages.length === 0) return [];
    if (this.#openBytes > openMaxBytes) {
      throw new AppError('unavailable', 'RabbitMQ confirms too slowly.', { reason: 'broker_slow', retryAfterS: 1 });
    }
    if (this.#channel !== undefined) return this.#publishOn(this.#channel, messages);
    // The caller may change its buffers when this returns, which is before the channel is open.
    const copies = messages.map((message) => ({
      ...message,
      body: Buffer.from(message.body),
      headers: { ...message.headers },
    }));
    return this.#publishOn(await this.#openChannel(), copies);
  }

  #publishOn(channel: ConfirmChannel, messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    return new Promise((resolve) => {
      const outcomes = new Array<PublishOutcome | undefined>(messages.length);
      let left = messages.length;
      const timer = setTimeout(() => {
        for (let i = 0; i < outcomes.length; i++) settle(i, unconfirmed('confirm_timeout'));
      }, confirmTimeoutMs);
      const settle = (i: number, outcome: PublishOutcome): void => {
        if (outcomes[i] !== undefined) return;
        outcomes[i] = outcome;
        if (--left > 0) return;
        clearTimeout(timer);
        resolve(outcomes as PublishOutcome[]);
      };
      messages.forEach((message, i) => {
        this.#send(channel, message, (outcome) => {
          settle(i, outcome);
        });
      });
    });
  }

  #send(channel: ConfirmChannel, message: OutgoingMessage, settle: Open['settle']): void {
    const { body, exchange, routingKey, messageId, type, contentType, headers, expirationMs } = message;
    if (body.byteLength > this.#options.bodyMaxBytes) {
      settle({ outcome: 'refused', reason: 'too_large' });
      return;
    }
    if (!isEncodable(message)) {
      settle({ outcome: 'refused', reason: 'invalid' });
      return;
    }
    const open: Open = { message, isReturned: false, settle };
    this.#open.add(open);
    this.#openBytes += body.byteLength;
    try {
      channel.publish(
        exchange,
        routingKey,
        body,
        {
          ...{ messageId, type, contentType },
          ...(headers === undefined ? {} : { headers }),
          ...(expirationMs === undefined ? {} : { expiration: expirationMs.toString() }),
          persistent: message.persistent !== false,
          mandatory: message.mandatory !== false,
        },
        (error: unknown) => {
          this.#settle(open, error);
        },
      );
    } catch (error) {
      // Headers that do not fit their buffer, or a channel that has ended this very moment.
      const outcome: PublishOutcome =
        error instanceof RangeError ? { outcome: 'refused', reason: 'invalid' } : unconfirmed('connection_closed');
      this.#forget(open);
      settle(outcome);
    }
  }

  #settle(open: Open, error: unknown): void {
    this.#forget(open);
    if (error === null || error === undefined) open.settle(open.isReturned ? returned : confirmed);
    else if (error instanceof Error && error.message === 'message nacked') open.settle(nacked);
    else open.settle(unconfirmed('connection_closed'));
  }

  #forget(open: Open): void {
    if (this.#open.delete(open)) this.#openBytes -= open.message.body.byteLength;
  }

  /** RabbitMQ returns a message before it confirms it, so it still waits; of several that are alike, the first. */
  #return({ fields, properties }: Message): void {
    for (const open of this.#open) {
      const { message, isReturned } = open;
      const isIt =
        !isReturned &&
        message.messageId === properties.messageId &&
        message.routingKey === fields.routingKey &&
        message.exchange === fields.exchange;
      if (!isIt) continue;
      open.isReturned = true;
      this.#options.onMissing();
      return;
    }
  }

  #openChannel(): Promise<ConfirmChannel> {
    this.#opening ??= this.#model
      .createConfirmChannel()
      .then((channel) => {
        channel.on('error', (error) => {
          if (isNotFound(replyCodeOf(error))) this.#options.onMissing();
        });
        channel.on('return', (message) => {
          this.#return(message);
        });
        channel.on('close', () => {
          if (this.#channel === channel) this.#channel = undefined;
        });
        this.#channel = channel;
        return channel;
      })
      .finally(() => (this.#opening = undefined));
    return this.#opening;
  }
}

function unconfirmed(reason: string): PublishOutcome {
  return { outcome: 'unconfirmed', reason };
}
