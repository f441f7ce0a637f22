/** Finds records of the log by the columns beside them; what is answered is read from the records' own bytes. */

import type { Queryable } from '../platform/postgres/pool.ts';
import type { AuditRecord } from '../proof/record.ts';

/** What a search is narrowed to; members that are absent narrow nothing. */
export interface RecordFilters {
  seq?: number;
  type?: string;
  actor?: string;
  outcome?: string;
  /** Id of a record's target; with `ids`, records of either. */
  target?: string;
  ids?: readonly string[];
  from?: Date;
  to?: Date;
}

/** One record with the hash that its successor and the tree know it by. */
export interface FoundRecord {
  record: AuditRecord;
  /** The record's exact line. */
  line: string;
  /** Standard base64. */
  leaf: string;
}

interface Row {
  line: Buffer;
  leaf: Buffer;
}

const columns = 'l.line, l.leaf';

/** Outcomes that are rare in the log: the only ones in its index. */
const exceptions: ReadonlySet<string | undefined> = new Set(['deny', 'failure', 'error']);

/** The clock of the database may be set; checkpoints tell the time of records within this. */
const clockDrift = `interval '1 minute'`;

/** Records below a sequence number, newest first. Without a name: planned for its own filters. */
export async function searchRecords(
  db: Queryable,
  filters: RecordFilters,
  before: number | null,
  limit: number,
): Promise<FoundRecord[]> {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value).toString()}`;
  const conditions = ['true'];
  for (const column of ['seq', 'type', 'actor', 'outcome'] as const) {
    const wanted = filters[column];
    if (wanted !== undefined) conditions.push(`l.${column} = ${bind(wanted)}`);
  }
  if (exceptions.has(filters.outcome)) conditions.push(`l.outcome in ('deny', 'failure', 'error')`);
  if (filters.from !== undefined) conditions.push(...since(bind(filters.from)));
  if (filters.to !== undefined) conditions.push(...until(bind(filters.to)));
  if (before !== null) conditions.push(`l.seq < ${bind(before)}`);
  const where = conditions.join(' and ');
  const newest = `order by l.seq desc limit ${bind(limit)}`;
  if (filters.target === undefined) {
    return found(await db.query<Row>({ text: `select ${columns} from audit_log l where ${where} ${newest}`, values }));
  }
  const target = bind(filters.target);
  const ids = bind(filters.ids ?? []);
  const text = `select ${columns} from (
      (select l.seq from audit_log l where ${where} and l.target = ${target} ${newest})
      union select l.seq from audit_log l where ${where} and l.id = any (${ids}::uuid[])
    ) s join audit_log l on l.seq = s.seq ${newest}`;
  return found(await db.query<Row>({ text, values }));
}

/** A checkpoint tells of all records that were chained before it. */
function since(from: string): string[] {
  const covered = `select c.size from checkpoints c where c.at < ${from}::timestamptz - ${clockDrift} order by c.at desc limit 1`;
  return [`l.at >= ${from}`, `l.seq >= coalesce((${covered}), 0)`];
}

/** The second checkpoint after a time was begun after it, however long the first was being signed. */
function until(to: string): string[] {
  const begun = `select c.size from checkpoints c where c.at > ${to}::timestamptz + ${clockDrift} order by c.at offset 1 limit 1`;
  return [`l.at < ${to}`, `l.seq < coalesce((${begun}), ${Number.MAX_SAFE_INTEGER.toString()})`];
}

/** One record; undefined where the log has not come so far. */
export async function readRecord(db: Queryable, seq: number): Promise<FoundRecord | undefined> {
  const row = await db.query<Row>({
    name: 'read_record',
    text: `select ${columns} from audit_log l where l.seq = $1`,
    values: [seq],
  });
  return found(row)[0];
}

/** Records by id, in the order of the log; those that are not chained yet are left out. */
export async function readRecordsById(db: Queryable, ids: readonly string[]): Promise<FoundRecord[]> {
  const rows = await db.query<Row>({
    text: `select ${columns} from audit_log l where l.id = any ($1::uuid[]) order by l.seq`,
    values: [ids],
  });
  return found(rows);
}

function found({ rows }: { rows: Row[] }): FoundRecord[] {
  return rows.map(({ line, leaf }) => {
    const text = line.toString('utf8');
    return { record: JSON.parse(text) as AuditRecord, line: text, leaf: leaf.toString('base64') };
  });
}
