/** A message as the in-process broker keeps it, and its place in a queue. */

import type { Death, Delivery, OutgoingMessage } from '../../../domain/broker.ts';

/** What a message costs beyond its body: bodies of no bytes count against the memory limit too. */
const overheadBytes = 256;

/** Kept once however many queues hold it; nothing in it changes but `holders`. */
export interface StoredMessage {
  readonly body: Buffer;
  readonly messageId: string;
  readonly type: string;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly exchange: string;
  readonly routingKey: string;
  /** Time to live of its own; Infinity where it has none. */
  readonly ttlMs: number;
  readonly deaths: readonly Death[];
  /** What it counts against the memory limit. */
  readonly costBytes: number;
  /** Queues that hold it, ready or out with a consumer. */
  holders: number;
}

/** One message in one queue. */
export interface QueueEntry {
  readonly message: StoredMessage;
  /** Rises with every message of the queue and is kept when the message comes back: its place in the order. */
  readonly position: number;
  /** On the clock's monotonic scale; Infinity for never. */
  readonly expiresAtMs: number;
  redelivered: boolean;
  /** How often it came back in a way that counts against the delivery limit. */
  returns: number;
}

/** What a message will count against the memory limit. */
export function costOf(body: Uint8Array): number {
  return body.byteLength + overheadBytes;
}

/** Copies what the publisher handed in: what it does to its buffers and objects afterwards changes nothing. */
export function storeMessage(message: OutgoingMessage): StoredMessage {
  return {
    body: Buffer.from(message.body),
    messageId: message.messageId,
    type: message.type,
    contentType: message.contentType,
    headers: { ...message.headers },
    exchange: message.exchange,
    routingKey: message.routingKey,
    ttlMs: message.expirationMs ?? Infinity,
    deaths: [],
    costBytes: costOf(message.body),
    holders: 0,
  };
}

/** What a consumer gets. The body is not copied again; headers and deaths are, so that consumers share nothing else. */
export function toDelivery(entry: QueueEntry, tag: number): Delivery {
  const { message } = entry;
  return {
    body: message.body,
    messageId: message.messageId,
    type: message.type,
    contentType: message.contentType,
    headers: { ...message.headers },
    routingKey: message.routingKey,
    exchange: message.exchange,
    redelivered: entry.redelivered,
    deaths: message.deaths.map((death) => ({ ...death })),
    tag,
  };
}
