/** What the contract suite of `Broker` is written with: unique names, messages, and consumers that can be waited for. */

import { randomUUID } from 'node:crypto';
import type {
  Broker,
  Consumer,
  Delivery,
  OutgoingMessage,
  PublishOutcome,
  QueueSpec,
} from '../../src/domain/broker.ts';

/** One implementation, ready to be connected to. */
export interface BrokerHarness {
  /** A connection of its own. */
  connect(): Promise<Broker>;
  /** Ends a connection without goodbye, as a killed process or a cut cable does; the broker has noticed when it returns. */
  sever(broker: Broker): Promise<void>;
  stop(): Promise<void>;
}

/** A connection for each test, and another for what a second process would do. */
export interface BrokerPair {
  broker: Broker;
  other: Broker;
  harness: BrokerHarness;
}

/** A name that no other test and no other run uses. */
export function uniqueName(what: string): string {
  return `contract.${what}.${randomUUID()}`;
}

/** A message to a queue by the default exchange, whose body and id are `id`. */
export function message(queue: string, id: string, changes: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    exchange: '',
    routingKey: queue,
    body: Buffer.from(id),
    messageId: id,
    type: 'contract.test',
    contentType: 'text/plain',
    ...changes,
  };
}

/** Declares one queue and answers its name. */
export async function makeQueue(broker: Broker, changes: Partial<QueueSpec> = {}): Promise<string> {
  const name = uniqueName('queue');
  await broker.declare({ exchanges: [], queues: [{ name, type: 'classic', ...changes }], bindings: [] });
  return name;
}

/** Publishes to a queue by the default exchange, one message for each id. */
export function send(broker: Broker, queue: string, ...ids: string[]): Promise<PublishOutcome[]> {
  return broker.publish(ids.map((id) => message(queue, id)));
}

export function outcomesOf(outcomes: readonly PublishOutcome[]): string[] {
  return outcomes.map(({ outcome }) => outcome);
}

export function idsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ messageId }) => messageId);
}

/** A consumer that keeps what it got until a test asks for it. */
export interface Collector {
  consumer: Consumer;
  /** The next `count` deliveries, when they are there. */
  next: (count: number) => Promise<Delivery[]>;
  /** The reason, when the broker ends the consumer. */
  cancelled: Promise<string>;
  /** Sizes of the arrays handed over so far. */
  batchSizes: number[];
  /** Deliveries handed over so far. */
  total: () => number;
}

export async function collect(broker: Broker, queue: string, prefetch = 100): Promise<Collector> {
  const waiting: Delivery[] = [];
  const batchSizes: number[] = [];
  let wake: (() => void) | undefined;
  let tellCancelled: (reason: string) => void = () => undefined;
  const cancelled = new Promise<string>((resolve) => {
    tellCancelled = resolve;
  });
  const consumer = await broker.consume(queue, {
    prefetch,
    onDeliveries(deliveries) {
      batchSizes.push(deliveries.length);
      waiting.push(...deliveries);
      wake?.();
    },
    onCancelled: (reason) => {
      tellCancelled(reason);
    },
  });
  return {
    consumer,
    cancelled,
    batchSizes,
    total: () => batchSizes.reduce((sum, size) => sum + size, 0),
    async next(count) {
      while (waiting.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return waiting.splice(0, count);
    },
  };
}
