/** Statements of the projections. */

import { recordsCall, type RecordArrays } from '../ledger/audit-logger.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

export interface Cursor {
  /** First `seq` that is not dealt with. */
  next_seq: number;
  /** Last `seq` that the feed told of; null for none. */
  last_seq: number | null;
}

/** Where a projection stands; at the beginning where it is new. */
export async function readCursor(db: Queryable, name: string): Promise<Cursor> {
  const found = await db.query<Cursor>({
    name: 'read_cursor',
    text: 'select next_seq, last_seq from projections where name = $1',
    values: [name],
  });
  return found.rows[0] ?? { next_seq: 0, last_seq: null };
}

/** Moves a projection; fenced by the leader's term. */
export async function moveCursor(db: Queryable, term: number, name: string, cursor: Cursor): Promise<void> {
  await db.query({
    name: 'move_cursor',
    text: `with held as (select hold_term($1))
           insert into projections (name, next_seq, last_seq) select $2, $3, $4 from held
           on conflict (name) do update set next_seq = excluded.next_seq, last_seq = excluded.last_seq`,
    values: [term, name, cursor.next_seq, cursor.last_seq],
  });
}

/** What stands for the broker's memory; undefined before the feed is first published. */
export async function readEpoch(db: Queryable, feed: string): Promise<string | undefined> {
  const found = await db.query<{ epoch: string }>({
    name: 'read_feed_epoch',
    text: 'select epoch from feed_epochs where feed = $1',
    values: [feed],
  });
  return found.rows[0]?.epoch;
}

export async function writeEpoch(db: Queryable, feed: string, epoch: string): Promise<void> {
  await db.query({
    name: 'write_feed_epoch',
    text: `insert into feed_epochs (feed, epoch) values ($1, $2)
           on conflict (feed) do update set epoch = excluded.epoch, since = now()`,
    values: [feed, epoch],
  });
}

export interface DeadEvent {
  feed: 'events' | 'batches';
  audit_seq: number;
  message_id: string;
  type: string;
  body: Buffer;
  reason: string;
  attempts: number;
}

export interface StoredDeadEvent extends DeadEvent {
  dead_event_id: number;
  created_at: Date;
}

/** Keeps messages that the broker refused for good, with a record that says so. */
export async function insertDeadEvents(
  db: Queryable,
  dead: readonly DeadEvent[],
  records: RecordArrays,
): Promise<void> {
  await db.query({
    name: 'insert_dead_events',
    text: `with kept as (
             insert into dead_events (feed, audit_seq, message_id, type, body, reason, attempts)
             select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::int[])
             on conflict do nothing)
           select ${recordsCall(8)}`,
    values: [
      dead.map((d) => d.feed),
      dead.map((d) => d.audit_seq),
      dead.map((d) => d.message_id),
      dead.map((d) => d.type),
      dead.map((d) => d.body),
      dead.map((d) => d.reason),
      dead.map((d) => d.attempts),
      ...records,
    ],
  });
}

export async function readDeadEvents(db: Queryable, after: number, limit: number): Promise<StoredDeadEvent[]> {
  const found = await db.query<StoredDeadEvent>({
    name: 'read_dead_events',
    text: `select dead_event_id, feed, audit_seq, message_id, type, body, reason, attempts, created_at from dead_events
            where dead_event_id > $1 order by dead_event_id limit $2`,
    values: [after, limit],
  });
  return found.rows;
}

export async function deleteDeadEvents(db: Queryable, ids: readonly number[]): Promise<void> {
  await db.query({
    name: 'delete_dead_events',
    text: 'delete from dead_events where dead_event_id = any ($1::bigint[])',
    values: [ids],
  });
}
