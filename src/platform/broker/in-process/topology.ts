/** What may be declared on the in-process broker, and when two declarations are the same. */

import type { QueueSpec } from '../../../domain/broker.ts';
import { AppError } from '../../../domain/error.ts';
import { isShortString } from '../properties.ts';

/** Refuses names that AMQP keeps for itself or cannot carry. */
export function checkExchangeName(name: string): void {
  checkName('exchange', name);
}

/** Refuses what RabbitMQ refuses of a queue's name and arguments. */
export function checkQueueSpec(spec: QueueSpec): void {
  checkName('queue', spec.name);
  const { messageTtlMs, maxLength, deliveryLimit } = spec;
  for (const value of [messageTtlMs, maxLength, deliveryLimit]) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
      throw invalid(`The limits of the queue ${spec.name} must be integers from 0.`);
    }
  }
  if (deliveryLimit !== undefined && spec.type !== 'quorum') {
    throw invalid(`The queue ${spec.name} must be a quorum queue to have a delivery limit.`);
  }
  if (spec.deadLetterRoutingKey !== undefined && spec.deadLetterExchange === undefined) {
    throw invalid(`The queue ${spec.name} has a dead-letter routing key but no dead-letter exchange.`);
  }
}

/** Whether declaring `b` where `a` exists changes nothing. */
export function sameQueueSpec(a: QueueSpec, b: QueueSpec): boolean {
  return (
    a.type === b.type &&
    a.messageTtlMs === b.messageTtlMs &&
    a.maxLength === b.maxLength &&
    a.deliveryLimit === b.deliveryLimit &&
    a.deadLetterExchange === b.deadLetterExchange &&
    a.deadLetterRoutingKey === b.deadLetterRoutingKey
  );
}

function checkName(kind: 'exchange' | 'queue', name: string): void {
  if (name === '' || name.startsWith('amq.') || !isShortString(name)) {
    throw invalid(`The name of the ${kind} must have 1 to 255 bytes and not begin with "amq.".`);
  }
}

function invalid(message: string): AppError {
  return new AppError('invalid', message, { reason: 'broker_topology_invalid' });
}
