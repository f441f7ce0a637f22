/** Statements of exports: pages of the log and of its evidence, each bounded in rows and in bytes. */

import type { Queryable } from '../platform/postgres/pool.ts';

/** Rows of one page at most, and bytes after which no row is added to it. */
const pageMaxRows = 1000;
const pageBytes = 4 * 1024 * 1024;

/** A record's place and its exact line. */
export interface LogLine {
  seq: number;
  line: Buffer;
}

/** Records `from` … `to` - 1 in pages. What is missing in the table is missing in the pages. */
export async function* readLinePages(db: Queryable, from: number, to: number): AsyncGenerator<LogLine[]> {
  for (let next = from; next < to;) {
    const end = Math.min(to, next + pageMaxRows);
    const { rows } = await db.query<LogLine>({
      text: `select seq, line from (
               select seq, line, sum(length(line)) over (order by seq) - length(line) as bytes_before
                 from audit_log where seq >= $1 and seq < $2) l
              where bytes_before < $3 order by seq`,
      values: [next, end, pageBytes],
    });
    const last = rows.at(-1);
    next = last === undefined ? end : last.seq + 1;
    if (last !== undefined) yield rows;
  }
}

/**
 * Records `from` … `to` - 1 of some types in pages, in the order of the log. Rows are compared as (type, seq), which only the
 * index on both can answer: rare types are found without reading the log.
 */
export async function* readTypedPages(
  db: Queryable,
  types: readonly string[],
  from: number,
  to: number,
): AsyncGenerator<LogLine[]> {
  for (let next = from; ;) {
    const { rows } = await db.query<LogLine>({
      text: `select seq, line from (
               select seq, line, sum(length(line)) over (order by seq) - length(line) as bytes_before from (
                 select l.seq, l.line from unnest($1::text[]) t (type) cross join lateral (
                   select a.seq, a.line from audit_log a
                    where (a.type, a.seq) >= (t.type, $2::bigint) and (a.type, a.seq) < (t.type, $3::bigint)
                    order by a.type, a.seq limit $4) l
                  order by l.seq limit $4) l) l
              where bytes_before < $5 order by seq`,
      values: [types, next, to, pageMaxRows, pageBytes],
    });
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    next = last.seq + 1;
  }
}

export type EvidenceTable = 'manifests' | 'receipts';

/** Stored evidence. `n` is the position of its hash among those asked for, from 1. */
export interface EvidenceRow {
  n: number;
  jws: Buffer;
  /** Of the record that was written with it; null where the log does not have it. */
  recorded_seq: number | null;
}

/** Evidence by hash (lower-case hex), in the order of the hashes; ends before all where the page is full. */
export async function readEvidencePage(
  db: Queryable,
  table: EvidenceTable,
  sha256s: readonly string[],
): Promise<EvidenceRow[]> {
  const found = await db.query<EvidenceRow>({
    text: `select e.n, e.jws, l.seq as recorded_seq from (
             select s.n, e.record_id, e.jws, sum(length(e.jws)) over (order by s.n) - length(e.jws) as bytes_before
               from unnest($1::bytea[]) with ordinality s (sha256, n)
               join ${table} e on e.sha256 = s.sha256 where e.jws is not null) e
             left join audit_log l on l.id = e.record_id
            where e.bytes_before < $2 order by e.n`,
    values: [sha256s.map((sha256) => `\\x${sha256}`), pageBytes],
  });
  return found.rows;
}

/** The checkpoint that an export ends with, and when it was read, by the database's clock. */
export interface ExportEnd {
  size: number;
  note: string;
  now: Date;
}

/** The first checkpoint that covers record `to`; the newest one where `to` is undefined. */
export async function readExportEnd(db: Queryable, to: number | undefined): Promise<ExportEnd | undefined> {
  const columns = 'size, note, clock_timestamp() as now';
  const found = await db.query<ExportEnd>(
    to === undefined
      ? { text: `select ${columns} from checkpoints order by size desc limit 1` }
      : { text: `select ${columns} from checkpoints where size > $1 order by size limit 1`, values: [to] },
  );
  return found.rows[0];
}

/** Checkpoints between two sizes, both excluded, in pages. */
export async function* readCheckpointPages(
  db: Queryable,
  after: number,
  before: number,
): AsyncGenerator<{ size: number; note: string }[]> {
  for (let last = after; ;) {
    const { rows } = await db.query<{ size: number; note: string }>({
      text: 'select size, note from checkpoints where size > $1 and size < $2 order by size limit $3',
      values: [last, before, pageMaxRows],
    });
    const end = rows.at(-1);
    if (end === undefined) return;
    yield rows;
    last = end.size;
  }
}
