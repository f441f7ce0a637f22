/** How a message dies: its history grows by one passage, and automatic circles end. */

import type { Death, QueueSpec } from '../../../domain/broker.ts';
import type { StoredMessage } from './message.ts';

/** Exchange and routing key where a queue's dead letters go; undefined where they are dropped. */
export function deadLetterAddress(
  spec: QueueSpec,
  message: StoredMessage,
): { exchange: string; routingKey: string } | undefined {
  if (spec.deadLetterExchange === undefined) return undefined;
  return { exchange: spec.deadLetterExchange, routingKey: spec.deadLetterRoutingKey ?? message.routingKey };
}

/**
 * The message as it is published to the dead-letter exchange. A time to live of its own is taken off, as RabbitMQ does,
 * so that it does not expire again where it is to be looked at.
 */
export function deadLetter(
  message: StoredMessage,
  address: { exchange: string; routingKey: string },
  queue: string,
  reason: Death['reason'],
): StoredMessage {
  return { ...message, ...address, ttlMs: Infinity, deaths: addDeath(message.deaths, queue, reason), holders: 0 };
}

/** Newest first; one entry for each queue and reason, which counts. */
function addDeath(deaths: readonly Death[], queue: string, reason: Death['reason']): Death[] {
  const earlier = deaths.find((death) => death.queue === queue && death.reason === reason);
  const rest = deaths.filter((death) => death !== earlier);
  return [{ queue, reason, count: (earlier?.count ?? 0) + 1 }, ...rest];
}

/**
 * Whether the dead letter would enter a queue that it died in before with nobody's rejection since: such a circle
 * would turn for ever, so RabbitMQ drops the message, and so does this broker.
 */
export function isAutomaticCycle(deaths: readonly Death[], queue: string): boolean {
  const last = deaths.findIndex((death) => death.queue === queue);
  return last !== -1 && deaths.slice(0, last + 1).every((death) => death.reason !== 'rejected');
}
