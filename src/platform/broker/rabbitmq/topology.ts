/** Declares exchanges, queues and bindings on RabbitMQ, and remembers them for a broker that has lost its own memory. */

import type { Channel, ChannelModel } from 'amqplib';
import type { QueueSpec, Topology } from '../../../domain/broker.ts';
import type { AppError } from '../../../domain/error.ts';
import { topologyConflict, topologyMissing } from '../properties.ts';
import { closeQuietly } from './close.ts';
import { channelFailure, isConflict, isNotFound } from './failure.ts';

type Exchange = Topology['exchanges'][number];
type Binding = Topology['bindings'][number];

/** Everything that was declared over one broker and not taken away since, each thing once. */
export class DeclaredTopology {
  readonly #exchanges = new Map<string, Exchange>();
  readonly #queues = new Map<string, QueueSpec>();
  readonly #bindings = new Map<string, Binding>();

  add({ exchanges, queues, bindings }: Topology): void {
    for (const exchange of exchanges) this.#exchanges.set(exchange.name, exchange);
    for (const queue of queues) this.#queues.set(queue.name, queue);
    for (const binding of bindings) {
      this.#bindings.set(JSON.stringify([binding.exchange, binding.queue, binding.pattern]), binding);
    }
  }

  removeQueue(name: string): void {
    this.#queues.delete(name);
    for (const [key, { queue }] of this.#bindings) if (queue === name) this.#bindings.delete(key);
  }

  /** Parts of at most one thing each, in an order in which they can be declared. */
  parts(): Topology[] {
    return [
      ...[...this.#exchanges.values()].map((exchange) => ({ exchanges: [exchange], queues: [], bindings: [] })),
      ...[...this.#queues.values()].map((queue) => ({ exchanges: [], queues: [queue], bindings: [] })),
      ...[...this.#bindings.values()].map((binding) => ({ exchanges: [], queues: [], bindings: [binding] })),
    ];
  }
}

/** Runs `work` with a channel of its own: RabbitMQ ends the channel of an operation that fails. */
export async function withChannel<T>(model: ChannelModel, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  try {
    return await work(channel);
  } finally {
    await closeQuietly(channel);
  }
}

/** Makes what is missing, in order. Fails `conflict` and `not_found` as the port says, `forbidden` without the permission. */
export async function declareTopology(channel: Channel, { exchanges, queues, bindings }: Topology): Promise<void> {
  for (const { name, type } of exchanges) {
    await channel.assertExchange(name, type, { durable: true }).catch((error: unknown) => {
      throw declareFailure(error, 'exchange', name);
    });
  }
  for (const spec of queues) {
    await channel.assertQueue(spec.name, { durable: true, arguments: queueArguments(spec) }).catch((error: unknown) => {
      throw declareFailure(error, 'queue', spec.name);
    });
  }
  for (const { exchange, queue, pattern } of bindings) {
    await channel.bindQueue(queue, exchange, pattern).catch((error: unknown) => {
      throw declareFailure(error, 'exchange', exchange);
    });
  }
}

/** What became of a topology that was declared again: what is there in another form, or may not be made. */
export async function declareAgain(model: ChannelModel, declared: DeclaredTopology): Promise<AppError[]> {
  const failures: AppError[] = [];
  let parts = declared.parts();
  while (parts.length > 0) {
    // One channel for all, and a new one after each thing that failed.
    parts = await withChannel(model, async (channel) => {
      for (const [i, part] of parts.entries()) {
        const failure = await declareTopology(channel, part).then(
          () => undefined,
          (error: unknown) => error as AppError,
        );
        if (failure === undefined) continue;
        if (failure.code === 'unavailable') throw failure;
        failures.push(failure);
        return parts.slice(i + 1);
      }
      return [];
    });
  }
  return failures;
}

/** Arguments of `queue.declare` for RabbitMQ 3.10 and newer. */
export function queueArguments(spec: QueueSpec): Record<string, string | number> {
  const { type, messageTtlMs, maxLength, deliveryLimit, deadLetterExchange, deadLetterRoutingKey } = spec;
  // At-least-once dead-lettering is for quorum queues, and wants publishers to be refused rather than the oldest dropped.
  const isSafeDeath = type === 'quorum' && deadLetterExchange !== undefined;
  return {
    'x-queue-type': type,
    ...(messageTtlMs === undefined ? {} : { 'x-message-ttl': messageTtlMs }),
    ...(maxLength === undefined ? {} : { 'x-max-length': maxLength }),
    ...(maxLength !== undefined || isSafeDeath ? { 'x-overflow': 'reject-publish' } : {}),
    ...(deliveryLimit === undefined ? {} : { 'x-delivery-limit': deliveryLimit }),
    ...(deadLetterExchange === undefined ? {} : { 'x-dead-letter-exchange': deadLetterExchange }),
    ...(deadLetterRoutingKey === undefined ? {} : { 'x-dead-letter-routing-key': deadLetterRoutingKey }),
    ...(isSafeDeath ? { 'x-dead-letter-strategy': 'at-least-once' } : {}),
  };
}

function declareFailure(error: unknown, kind: 'exchange' | 'queue', name: string): AppError {
  return channelFailure(error, (code) => {
    if (isConflict(code)) return topologyConflict(kind, name);
    return isNotFound(code) ? topologyMissing(kind, name) : undefined;
  });
}
