/** The queues of telemetry on the shared RabbitMQ, in a virtual host of their own, and events as Writ makes them. */

import { randomUUID } from 'node:crypto';
import { eventDescriptions } from '../../scripts/event-examples.ts';
import type { OutgoingMessage } from '../../src/domain/broker.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { eventsOf } from '../../src/telemetry/events-of.ts';
import {
  feedMessages,
  telemetryTopology,
  type Feed,
  type FeedMessage,
  type TelemetryNames,
} from '../../src/telemetry/feeds.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { connectTestRabbitMq } from '../support/rabbitmq-client.ts';
import { testRabbitMq } from '../support/services.ts';

export interface TelemetryQueues {
  /** `amqps://localhost:PORT/VHOST` */
  url: string;
  names: TelemetryNames;
  /** As Writ does; resolves when RabbitMQ has confirmed all. */
  publish(feed: Feed, events: readonly TelemetryEvent[]): Promise<void>;
  /** Resolves when RabbitMQ has confirmed all. */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
  /** The bodies of dead letters when there are `count`, oldest first; takes them off their queue. */
  deadLetters(count: number): Promise<string[]>;
  /** Messages that nobody has. */
  depth(queue: string): Promise<number>;
  /** Takes the queue of single events away, with what is in it. */
  remove(): Promise<void>;
  /** Declares what Writ declares. */
  declare(): Promise<void>;
  close(): Promise<void>;
}

/** With all that Writ declares. */
export async function openTelemetryQueues(): Promise<TelemetryQueues> {
  const service = await testRabbitMq();
  const vhost = `consumer-${randomUUID()}`;
  await service.createVhost(vhost);
  const broker = await connectTestRabbitMq({ service, vhost });
  const names = telemetryNames();
  const declare = (): Promise<void> => broker.declare(telemetryTopology(names, ['events', 'batches']));
  await declare();
  const send = async (messages: readonly OutgoingMessage[]): Promise<void> => {
    const outcomes = await broker.publish(messages);
    const refused = outcomes.filter(({ outcome }) => outcome !== 'confirmed');
    if (refused.length > 0) throw new Error(JSON.stringify(refused));
  };
  return {
    url: `amqps://localhost:${service.port}/${vhost}`,
    names,
    send,
    declare,
    remove: () => broker.deleteQueue(names.queue),
    publish: (feed, events) => send(messagesOf(feed, events, names).map(({ message }) => message)),
    deadLetters: async (count) => {
      const bodies: string[] = [];
      const consumer = await broker.consume(names.deadLetterQueue, {
        prefetch: 100,
        onDeliveries: (deliveries) => {
          for (const { body } of deliveries) bodies.push(Buffer.from(body).toString());
          consumer.ack(deliveries);
        },
        onCancelled: () => undefined,
      });
      await eventually(() => (bodies.length >= count ? true : undefined));
      await consumer.cancel();
      return bodies;
    },
    depth: (queue) => broker.depth(queue),
    close: async () => {
      await broker.close();
      await service.deleteVhost(vhost);
    },
  };
}

function telemetryNames(): TelemetryNames {
  const { settings } = loadSettings({ environment: {} });
  return {
    exchange: settings.telemetry_exchange,
    routingKey: settings.telemetry_routing_key,
    queue: settings.telemetry_queue,
    deadLetterQueue: settings.telemetry_dlq,
  };
}

/** The messages that carry these events. */
export function messagesOf(feed: Feed, events: readonly TelemetryEvent[], names: TelemetryNames): FeedMessage[] {
  const projected = events.map((event) => ({
    event_id: event.event_id,
    event_type: event.event_type,
    audit_seq: event.attributes.audit_seq,
    json: JSON.stringify(event),
  }));
  return feedMessages(feed, projected, names);
}

/** The first `count` events of a log that has records of every type in turn, some with several events. */
export function makeEvents(count: number): TelemetryEvent[] {
  const records = Object.values(eventDescriptions).map(({ example }) => example);
  const events: TelemetryEvent[] = [];
  for (let seq = 0; events.length < count; seq += 1) {
    const record = records[seq % records.length];
    const projected = record === undefined ? [] : eventsOf({ ...record, seq }, seq - 1, () => true);
    for (const { json } of projected) events.push(JSON.parse(json) as TelemetryEvent);
  }
  return events.slice(0, count);
}
