/** The two feeds of events: their queues, and the messages that carry events on each. */

import type { OutgoingMessage, Topology } from '../domain/broker.ts';
import type { ProjectedEvent } from './events-of.ts';

/** Names on the broker; all are settings. */
export interface TelemetryNames {
  exchange: string;
  routingKey: string;
  queue: string;
  deadLetterQueue: string;
}

export type Feed = 'events' | 'batches';

export const batchesKey = 'telemetry.batches';
/** Events in one message of the feed of batches, at most. */
const batchMax = 500;
const lineFeed = 0x0a;

/** The queue of a feed. */
export function queueOf(feed: Feed, names: TelemetryNames): string {
  return feed === 'events' ? names.queue : batchesKey;
}

/** What must be on the broker. */
export function telemetryTopology(names: TelemetryNames, feeds: readonly Feed[]): Topology {
  const deadLetter = { deadLetterExchange: '', deadLetterRoutingKey: names.deadLetterQueue };
  const queues = feeds.map((feed) => queueOf(feed, names));
  return {
    exchanges: [{ name: names.exchange, type: 'topic' }],
    queues: [
      ...queues.map((name) => ({ name, type: 'quorum' as const, ...deadLetter })),
      { name: names.deadLetterQueue, type: 'quorum' },
    ],
    bindings: queues.map((queue) => ({
      exchange: names.exchange,
      queue,
      pattern: queue === batchesKey ? batchesKey : names.routingKey,
    })),
  };
}

/** A message, and the records that its first and last event tell of. */
export interface FeedMessage {
  message: OutgoingMessage;
  first_seq: number;
  audit_seq: number;
}

/** Messages that carry the events, in order; every event is in one of them. */
export function feedMessages(feed: Feed, events: readonly ProjectedEvent[], names: TelemetryNames): FeedMessage[] {
  return feed === 'events' ? events.map((event) => eventMessage(event, names)) : batchMessages(events, names);
}

function eventMessage(event: ProjectedEvent, names: TelemetryNames): FeedMessage {
  return {
    message: {
      exchange: names.exchange,
      routingKey: names.routingKey,
      body: Buffer.from(event.json),
      messageId: event.event_id,
      type: event.event_type,
      contentType: 'application/json',
    },
    first_seq: event.audit_seq,
    audit_seq: event.audit_seq,
  };
}

function batchMessages(events: readonly ProjectedEvent[], names: TelemetryNames): FeedMessage[] {
  const messages: FeedMessage[] = [];
  for (let i = 0; i < events.length; i += batchMax) {
    const batch = events.slice(i, i + batchMax);
    messages.push({
      message: {
        exchange: names.exchange,
        routingKey: batchesKey,
        body: linesOf(batch),
        messageId: batch[0]?.event_id ?? '',
        type: 'telemetry.batch',
        contentType: 'application/x-ndjson',
        headers: { 'x-event-count': batch.length },
      },
      first_seq: batch[0]?.audit_seq ?? 0,
      audit_seq: batch.at(-1)?.audit_seq ?? 0,
    });
  }
  return messages;
}

/** Each event in a line. One text of them all would be written twice. */
function linesOf(events: readonly ProjectedEvent[]): Buffer {
  let length = events.length;
  for (const { json } of events) length += Buffer.byteLength(json);
  const lines = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { json } of events) {
    at += lines.write(json, at);
    at = lines.writeUInt8(lineFeed, at);
  }
  return lines;
}
