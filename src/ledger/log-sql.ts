/** Statements on the log's own tables. */

import { bigintArray, byteaArray } from '../platform/postgres/arrays.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

export interface LogHead {
  origin: string;
  size: number;
  /** Leaf hash of the last record; 32 zero bytes where there is none. */
  leaf: Buffer;
}

/** The head of the log; undefined in a database that has none yet. */
export async function readHead(db: Queryable): Promise<LogHead | undefined> {
  const found = await db.query<LogHead>({
    name: 'read_head',
    text: 'select origin, size, leaf from audit_head',
    values: [],
  });
  return found.rows[0];
}

/** Begins a log; nothing happens where there is one. */
export async function insertHead(db: Queryable, origin: string): Promise<void> {
  await db.query({
    name: 'insert_head',
    text: 'insert into audit_head (origin, size, leaf) values ($1, 0, $2) on conflict do nothing',
    values: [origin, Buffer.alloc(32)],
  });
}

export interface InboxRow {
  pos: number;
  at: Date;
  before_prev: string;
  before_seq: string;
  before_ts: string;
  after_ts: string;
}

export async function readInbox(db: Queryable, limit: number): Promise<InboxRow[]> {
  const found = await db.query<InboxRow>({
    name: 'read_inbox',
    text: 'select pos, at, before_prev, before_seq, before_ts, after_ts from audit_inbox order by pos limit $1',
    values: [limit],
  });
  return found.rows;
}

/** How many records wait to be chained, up to `max`, and for how long the oldest has. */
export async function inboxBacklog(db: Queryable, max: number): Promise<{ waiting: number; oldest_s: number }> {
  const found = await db.query<{ waiting: number; oldest_s: number | null }>({
    name: 'inbox_backlog',
    text: `select count(*) as waiting, extract(epoch from clock_timestamp() - min(at))::float8 as oldest_s
             from (select at from audit_inbox order by pos limit $1) i`,
    values: [max],
  });
  return { waiting: found.rows[0]?.waiting ?? 0, oldest_s: found.rows[0]?.oldest_s ?? 0 };
}

/** Moves chained records into the log. Fails with WR001 when the term is over or the head moved. */
export async function sequenceRecords(
  db: Queryable,
  chained: { term: number; head: LogHead; pos: number[]; leaves: Buffer[]; lines: Buffer[] },
): Promise<void> {
  await db.query({
    name: 'sequence_records',
    text: 'select sequence_records($1, $2, $3, $4, $5, $6)',
    values: [
      chained.term,
      chained.head.size,
      chained.head.leaf,
      bigintArray(chained.pos),
      byteaArray(chained.leaves),
      byteaArray(chained.lines),
    ],
  });
}

/** Leaf hashes of records `from` … `to` - 1. */
export async function readLeaves(db: Queryable, from: number, to: number): Promise<Buffer[]> {
  const found = await db.query<{ leaf: Buffer }>({
    name: 'read_leaves',
    text: 'select leaf from audit_log where seq >= $1 and seq < $2 order by seq',
    values: [from, to],
  });
  return found.rows.map(({ leaf }) => leaf);
}

/** Lines of records from `from` on, at most `limit`, below `to`. */
export async function readLines(
  db: Queryable,
  from: number,
  to: number,
  limit: number,
): Promise<{ seq: number; line: Buffer }[]> {
  const found = await db.query<{ seq: number; line: Buffer }>({
    name: 'read_lines',
    text: 'select seq, line from audit_log where seq >= $1 and seq < $2 order by seq limit $3',
    values: [from, to, limit],
  });
  return found.rows;
}

/** Roots of full tiles `from` … `to` - 1 of a level. */
export async function readTileRoots(db: Queryable, level: number, from: number, to: number): Promise<Buffer[]> {
  const found = await db.query<{ root: Buffer }>({
    name: 'read_tile_roots',
    text: 'select root from audit_tiles where level = $1 and n >= $2 and n < $3 order by n',
    values: [level, from, to],
  });
  return found.rows.map(({ root }) => root);
}

/** A tile that has become full. */
export interface FullTile {
  level: number;
  n: number;
  hashes: Buffer;
  root: Buffer;
}

export interface CheckpointRow {
  size: number;
  root: Buffer;
  note: string;
  at: Date;
}

/** The newest checkpoint; undefined before the first. */
export async function readLastCheckpoint(db: Queryable): Promise<CheckpointRow | undefined> {
  const found = await db.query<CheckpointRow>({
    name: 'read_last_checkpoint',
    text: 'select size, root, note, at from checkpoints order by size desc limit 1',
    values: [],
  });
  return found.rows[0];
}

/** Stores a checkpoint with the tiles that it made full; fenced by the term. */
export async function insertCheckpoint(
  db: Queryable,
  term: number,
  checkpoint: { size: number; root: Buffer; note: string },
  tiles: readonly FullTile[],
): Promise<void> {
  await db.query({
    name: 'insert_checkpoint',
    text: `with held as (select hold_term($1)), tiles as (
             insert into audit_tiles (level, n, hashes, root)
             select t.* from held, unnest($5::smallint[], $6::bigint[], $7::bytea[], $8::bytea[]) t)
           insert into checkpoints (size, root, note) select $2, $3, $4 from held`,
    values: [
      term,
      checkpoint.size,
      checkpoint.root,
      checkpoint.note,
      tiles.map(({ level }) => level),
      tiles.map(({ n }) => n),
      tiles.map(({ hashes }) => hashes),
      tiles.map(({ root }) => root),
    ],
  });
}
