/** Projects the audit log onto a feed: reads from the cursor, publishes, then moves the cursor. */

import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { EventType } from '../domain/event.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import { readLines } from '../ledger/log-sql.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { AuditRecord } from '../proof/record.ts';
import { checkBrokerMemory } from './broker-memory.ts';
import { ConsumedPosition } from './consumed-position.ts';
import { eventsOf, type ProjectedEvent } from './events-of.ts';
import { feedMessages, type Feed, type FeedMessage, type TelemetryNames } from './feeds.ts';
import { cursorName, noteConsumed } from './rewind.ts';
import { insertDeadEvents, moveCursor, readCursor, type Cursor } from './telemetry-sql.ts';
import type { Refused, TelemetryPublisher } from './telemetry-publisher.ts';

/** Records in one round at most, and events after which a round takes no further record. */
const recordsMax = 256;
const eventsMax = 2000;
/** Records that are held beside the log: a few rounds' worth. */
const recentMax = 1024;
const noteMs = 5000;

export interface TelemetryPipelineOptions {
  database: Database;
  audit: AuditLogger;
  publisher: TelemetryPublisher;
  term: number;
  feed: Feed;
  names: TelemetryNames;
  broker: Broker;
  clock: Clock;
  /** Queue of the feed. */
  queue: string;
  /** At most so many messages wait in it; the rest waits in the log. Absent for no bound. */
  queueMaxLength?: number;
  isWanted: (type: EventType) => boolean;
  /** Declares the queues of telemetry again. */
  declare: () => Promise<void>;
  onDead: (count: number) => void;
  /** The broker has lost its queues: consumers get again what they may not have had. */
  onMemoryLost: () => void;
}

/**
 * Belongs to one term. Delivery is at least once and in log order: a process that dies after the confirms and before the cursor
 * moves makes the same events, with the same ids, go again.
 */
export class TelemetryPipeline {
  readonly #options: TelemetryPipelineOptions;
  #consumed: ConsumedPosition;
  #isMemoryKnown = false;
  /** What the last look at the broker's memory found. */
  #wasLost = false;
  #notedAtMs = Number.NEGATIVE_INFINITY;
  /** Messages that the queue takes before it has to be looked at again; it may have room for more. */
  #room = 0;
  #cursor: Cursor | undefined;
  /** Records that were chained just now, in order, as far as there is room: they need not be read. */
  #recent: { seq: number; line: Buffer }[] = [];
  /** Whether there may be records in the log beyond those that are held. */
  #hasMissed = false;

  constructor(options: TelemetryPipelineOptions) {
    this.#options = options;
    this.#consumed = new ConsumedPosition(options.feed);
  }

  /** Takes records that are in the log now. What does not follow on what is held, or is too much, is read when its turn comes. */
  take(from: number, lines: readonly Buffer[]): void {
    const last = this.#recent.at(-1);
    if (last !== undefined && last.seq + 1 !== from) this.#recent = [];
    if (this.#recent.length + lines.length > recentMax) {
      this.#hasMissed = true;
      return;
    }
    lines.forEach((line, i) => this.#recent.push({ seq: from + i, line }));
  }

  /** One round. True where more waits. Fails `unavailable` while the broker does not take it; nothing is lost then. */
  async runOnce(): Promise<boolean> {
    try {
      return await this.#round();
    } catch (error) {
      // The connection may come back to a broker that has lost its memory.
      this.#isMemoryKnown = false;
      throw error;
    }
  }

  async #round(): Promise<boolean> {
    const { database, feed, names, publisher, term } = this.#options;
    await this.#checkMemory();
    await this.#noteConsumed();
    const cursor = this.#cursor ?? (await this.#readCursor());
    this.#cursor = undefined;
    const lines = await this.#linesFrom(cursor.next_seq);
    if (lines.length === 0) {
      this.#cursor = cursor;
      return false;
    }
    const { events, next } = this.#project(lines, cursor);
    const messages = feedMessages(feed, events, names);
    const { done, confirmed, refused, failure } = await this.#publish(messages);
    if (refused.length > 0) {
      await this.#bury(refused);
      publisher.markBuried(refused);
    }
    const reached = failure === undefined ? next : cursorBefore(messages[done], events, cursor);
    if (reached.next_seq > cursor.next_seq) await moveCursor(database, term, cursorName(feed), reached);
    this.#consumed.moved(confirmed, reached.next_seq);
    this.#cursor = reached;
    if (failure !== undefined) throw failure;
    return this.#hasMissed || lines.length === recordsMax || next.next_seq <= (lines.at(-1)?.seq ?? 0);
  }

  async #linesFrom(seq: number): Promise<{ seq: number; line: Buffer }[]> {
    const first = this.#recent[0]?.seq ?? seq;
    if (first < seq) this.#recent = this.#recent.slice(seq - first);
    if (this.#recent[0]?.seq === seq) return this.#recent.slice(0, recordsMax);
    // What was not held follows on what is: it is read when that is told of.
    if (this.#recent.length === 0) this.#hasMissed = false;
    return readLines(this.#options.database, seq, Number.MAX_SAFE_INTEGER, recordsMax);
  }

  /**
   * Publishes as much as the queue has room for. A queue that refused what is over its length would refuse some of what is under way
   * together and take what comes after it: the order would be lost.
   */
  async #publish(messages: readonly FeedMessage[]): ReturnType<TelemetryPublisher['publish']> {
    const { publisher, broker, queue, queueMaxLength } = this.#options;
    if (queueMaxLength === undefined) return publisher.publish(messages);
    if (this.#room < messages.length) this.#room = Math.max(0, queueMaxLength - (await broker.depth(queue)));
    const room = this.#room;
    this.#room -= Math.min(room, messages.length);
    return publisher.publish(messages, room);
  }

  async #checkMemory(): Promise<void> {
    const { database, broker, feed, publisher, onMemoryLost } = this.#options;
    if (this.#isMemoryKnown) return;
    this.#wasLost = (await checkBrokerMemory(database, broker, feed)) === 'lost';
    if (this.#wasLost) {
      this.#cursor = undefined;
      this.#room = 0;
      this.#consumed = new ConsumedPosition(feed);
      publisher.forget();
      onMemoryLost();
    }
    this.#isMemoryKnown = true;
  }

  async #noteConsumed(): Promise<void> {
    const { database, broker, queue, feed, clock } = this.#options;
    if (clock.monotonicMs() - this.#notedAtMs < noteMs) return;
    this.#notedAtMs = clock.monotonicMs();
    const depth = await broker.depth(queue).catch(async (error: unknown) => {
      // Somebody took the queue away: it is made again, and what was in it is gone.
      if (error instanceof AppError && error.code === 'not_found') await this.#options.declare();
      throw error;
    });
    const seq = this.#consumed.at(depth);
    // A broker that was wiped and is back has an empty queue, which says nothing: it is looked at after the queue was.
    this.#isMemoryKnown = false;
    await this.#checkMemory();
    if (seq !== undefined && !this.#wasLost) await noteConsumed(database, feed, seq);
  }

  /** A feed that was set back does not know which record it told of last: that is looked up, so that events stay the same. */
  async #readCursor(): Promise<Cursor> {
    const { database, feed, isWanted } = this.#options;
    const cursor = await readCursor(database, cursorName(feed));
    for (let end = cursor.next_seq; end > 0 && cursor.last_seq === null; end -= recordsMax) {
      const lines = await readLines(database, Math.max(0, end - recordsMax), end, recordsMax);
      const told = lines.findLast(({ line }) => eventsOf(parseRecord(line), -1, isWanted).length > 0);
      cursor.last_seq = told?.seq ?? null;
    }
    return cursor;
  }

  #project(
    lines: readonly { seq: number; line: Buffer }[],
    cursor: Cursor,
  ): { events: ProjectedEvent[]; next: Cursor } {
    const events: ProjectedEvent[] = [];
    const next = { ...cursor };
    for (const { seq, line } of lines) {
      const record = parseRecord(line);
      const told = eventsOf(record, next.last_seq ?? -1, this.#options.isWanted);
      for (const event of told) events.push(event);
      next.next_seq = seq + 1;
      if (told.length > 0) next.last_seq = seq;
      if (events.length >= eventsMax) break;
    }
    return { events, next };
  }

  async #bury(refused: readonly Refused[]): Promise<void> {
    const { database, audit, feed, onDead } = this.#options;
    const dead = refused.map(({ refused: { message, audit_seq }, reason, attempts }) => ({
      feed,
      audit_seq,
      message_id: message.messageId,
      type: message.type,
      body: Buffer.from(message.body),
      reason,
      attempts,
    }));
    const reason = dead[0]?.reason ?? 'refused';
    // The notice of undeliverable events may be undeliverable too; that is not announced again.
    const isNotice = dead.every(({ type }) => type === 'telemetry.undeliverable');
    const data = { feed, messages: dead.length };
    const records = audit.arrays(isNotice ? [] : [{ type: 'telemetry.dead', outcome: 'failure', reason, data }]);
    await insertDeadEvents(database, dead, records);
    onDead(dead.length);
  }
}

/** The cursor before a message that has to go again: records that are told of whole are done. */
function cursorBefore(message: FeedMessage | undefined, events: readonly ProjectedEvent[], cursor: Cursor): Cursor {
  const nextSeq = message?.first_seq ?? cursor.next_seq;
  const told = events.findLast(({ audit_seq }) => audit_seq < nextSeq);
  return { next_seq: Math.max(cursor.next_seq, nextSeq), last_seq: told?.audit_seq ?? cursor.last_seq };
}

/** A line of the log, which the sequencer wrote. */
function parseRecord(line: Buffer): AuditRecord {
  return JSON.parse(line.toString('utf8')) as AuditRecord;
}
