/** A message of RabbitMQ's in the form of the port. */

import type { ConsumeMessage } from 'amqplib';
import type { Death, Delivery } from '../../../domain/broker.ts';

const deathReasons: ReadonlySet<string> = new Set<Death['reason']>(['rejected', 'expired', 'maxlen', 'delivery_limit']);
/** What RabbitMQ writes beside the publisher's own headers. */
const ownHeaders = /^x-(first-|last-)?death|^x-delivery-count$|^x-acquired-count$|^x-opt-/;

/** `tag` is the consumer's own name for the delivery. Whatever is in the message was written by whoever may publish. */
export function toDelivery({ content, fields, properties }: ConsumeMessage, tag: number): Delivery {
  const given: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const headers: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!ownHeaders.test(name) && (typeof value === 'string' || typeof value === 'number')) headers[name] = value;
  }
  return {
    body: content,
    messageId: textOf(properties.messageId),
    type: textOf(properties.type),
    contentType: textOf(properties.contentType),
    headers,
    routingKey: fields.routingKey,
    exchange: fields.exchange,
    redelivered: fields.redelivered,
    deaths: deathsOf(given['x-death']),
    tag,
  };
}

/** RabbitMQ's `x-death`: one table for each queue and reason, the newest first. */
function deathsOf(value: unknown): Death[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown) => {
    const { queue, reason, count } = (entry ?? {}) as Record<string, unknown>;
    if (typeof queue !== 'string' || typeof reason !== 'string' || !deathReasons.has(reason)) return [];
    return [{ queue, reason: reason as Death['reason'], count: Number(count) }];
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
