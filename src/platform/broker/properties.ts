/** What AMQP 0-9-1 can carry beside a body; the same for every broker. */

import type { OutgoingMessage } from '../../domain/broker.ts';
import { AppError } from '../../domain/error.ts';

/** AMQP 0-9-1 §4.2.5.3: a short string has at most 255 bytes. */
const shortStringMaxBytes = 255;
/** AMQP 0-9-1 carries the prefetch count in 16 bits. */
const prefetchMax = 65_535;

/** Longest body of a message, in bytes; a longer one is refused `too_large`. */
export const bodyMaxBytes = 16 * 1024 * 1024;

/** Whether AMQP can carry these properties; without it a message is refused and not thrown out of a batch. */
export function isEncodable(message: OutgoingMessage): boolean {
  const { expirationMs } = message;
  return (
    isShortString(message.exchange) &&
    isShortString(message.routingKey) &&
    isShortString(message.messageId) &&
    isShortString(message.type) &&
    isShortString(message.contentType) &&
    (expirationMs === undefined || (Number.isSafeInteger(expirationMs) && expirationMs >= 0))
  );
}

/** Whether the text fits a short string of AMQP. A UTF-16 unit has at most three bytes in UTF-8. */
export function isShortString(text: string): boolean {
  return text.length * 3 <= shortStringMaxBytes || Buffer.byteLength(text) <= shortStringMaxBytes;
}

/** Refuses what is no prefetch count. */
export function checkPrefetch(prefetch: number): void {
  if (Number.isInteger(prefetch) && prefetch >= 1 && prefetch <= prefetchMax) return;
  throw new AppError('invalid', `The prefetch must be an integer from 1 to ${prefetchMax.toString()}.`);
}

/** What every method answers once its connection is closed. */
export function closedError(): AppError {
  return new AppError('unavailable', 'The connection to the broker is closed.', { reason: 'broker_closed' });
}

/** For a delivery that was settled before, or went back. */
export function notOutstandingError(): AppError {
  return new AppError('conflict', 'This delivery is not outstanding: it was settled before, or went back.', {
    reason: 'delivery_not_outstanding',
  });
}

/** For an exchange or a queue that exists in another form. */
export function topologyConflict(kind: 'exchange' | 'queue', name: string): AppError {
  return new AppError('conflict', `The broker has the ${kind} ${name} with other arguments.`, {
    reason: 'broker_topology_conflict',
  });
}

/** For an exchange or a queue that does not exist. */
export function topologyMissing(kind: 'exchange' | 'queue', name: string): AppError {
  return new AppError('not_found', `The broker has no ${kind} ${name}.`, { reason: `broker_${kind}_not_found` });
}
