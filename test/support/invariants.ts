/** What must hold whatever happened: checked at the end of every end-to-end test, on the database itself. */

import { CompactRange } from '../../src/proof/tree.ts';
import { firstPrev, leafHash, checkRecord, type AuditRecord } from '../../src/proof/record.ts';
import { parseCanonical } from '../../src/proof/canonical-json.ts';
import { parseCheckpoint } from '../../src/proof/checkpoint.ts';
import { parseNote, parseVerifierKey, verifyNote } from '../../src/proof/note.ts';
import { importPublicKey, type PublicKey } from '../../src/proof/public-key.ts';
import { verifyCompactJws } from '../../src/proof/jws.ts';
import { checkManifestPayload } from '../../src/proof/manifest.ts';
import { checkReceiptPayload } from '../../src/proof/receipt.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { eventTypes, type EventType, type TelemetryEvent } from '../../src/domain/event.ts';
import type { Queryable } from '../../src/platform/postgres/pool.ts';
import { eventsOf } from '../../src/telemetry/events-of.ts';

interface LogRow {
  seq: number;
  id: string;
  at: Date;
  type: string;
  outcome: string;
  actor: string | null;
  target: string | null;
  leaf: Buffer;
  line: Buffer;
}

export interface Findings {
  problems: string[];
  counts: Record<string, number>;
}

/**
 * Checks chain, tree and checkpoints; that every accepted task is live or has exactly one end; that every order has a signed
 * manifest and every result an order; that tables, log and, where they are given, the events of a consumer agree. Answers all
 * problems; a system at rest has none.
 */
export async function checkInvariants(db: Queryable, events?: readonly TelemetryEvent[]): Promise<Findings> {
  const problems: string[] = [];
  const report = (holds: boolean, problem: string): void => {
    if (!holds && problems.length < 50) problems.push(problem);
  };
  const { rows: log } = await db.query<LogRow>('select * from audit_log order by seq');
  const records = checkChain(log, report);
  await checkCheckpoints(db, log, report);
  const keys = trustedKeys(records);
  const orders = await checkManifests(db, records, keys, report);
  const answered = await checkReceipts(db, records, keys, orders, report);
  const tasks = await checkTasks(db, records, orders, report);
  if (events !== undefined) checkEvents(records, events, report);
  return {
    problems,
    counts: { records: log.length, orders: orders.size, answered, tasks, events: events?.length ?? 0 },
  };
}

type Report = (holds: boolean, problem: string) => void;

function checkChain(log: readonly LogRow[], report: Report): AuditRecord[] {
  const ids = new Set<string>();
  let prev = firstPrev;
  return log.map((row, i) => {
    const text = row.line.toString('utf8');
    const record = checkRecord(parseCanonical(text));
    const where = `record ${i.toString()}`;
    report(row.seq === i && record.seq === i, `${where}: seq`);
    report(record.prev === prev, `${where}: prev`);
    report(leafHash(text).equals(row.leaf), `${where}: leaf`);
    report(!ids.has(record.id), `${where}: id twice`);
    const columns = [row.id, row.type, row.outcome, row.at.toISOString(), row.actor].join(' ');
    const bytes = [record.id, record.type, record.outcome, record.ts, record.actor?.id ?? null].join(' ');
    report(columns === bytes, `${where}: columns ${columns} differ from bytes ${bytes}`);
    ids.add(record.id);
    prev = row.leaf.toString('base64');
    return record;
  });
}

async function checkCheckpoints(db: Queryable, log: readonly LogRow[], report: Report): Promise<void> {
  const { rows } = await db.query<{ size: number; note: string }>('select size, note from checkpoints order by size');
  const { rows: vkeys } = await db.query<{ vkey: string }>('select vkey from trusted_keys where vkey is not null');
  const keys = vkeys.map(({ vkey }) => parseVerifierKey(vkey));
  const { rows: head } = await db.query<{ size: number }>('select size from audit_head');
  report(head[0]?.size === log.length, `the head says ${String(head[0]?.size)}, the log has ${log.length.toString()}`);
  const range = new CompactRange();
  for (const { size, note } of rows) {
    while (range.size < size) {
      const leaf = log[range.size]?.leaf;
      if (leaf === undefined) break;
      range.append(leaf);
    }
    const signed = parseNote(note);
    const checkpoint = parseCheckpoint(signed.text);
    report(verifyNote(signed, keys).length > 0, `checkpoint ${size.toString()}: signature`);
    report(checkpoint.size === size && checkpoint.root.equals(range.root()), `checkpoint ${size.toString()}: root`);
  }
}

function trustedKeys(records: readonly AuditRecord[]): Map<string, PublicKey> {
  const keys = new Map<string, PublicKey>();
  for (const record of records) {
    if (record.type !== 'key.trust') continue;
    const key = importPublicKey(record.data?.jwk);
    keys.set(key.kid, key);
  }
  return keys;
}

/** Orders by `task attempt`, with their node. */
type Orders = Map<string, { node: string; jti: string }>;

async function checkManifests(
  db: Queryable,
  records: readonly AuditRecord[],
  keys: ReadonlyMap<string, PublicKey>,
  report: Report,
): Promise<Orders> {
  const { rows } = await db.query<{ jti: string; sha256: Buffer; jws: Buffer; open: number }>(
    'select jti, sha256, jws, open from manifests order by issued_at, jti',
  );
  const named = new Map(
    records.filter(({ type }) => type === 'manifest.issue').map((r) => [r.data?.manifest_sha256 as string, r.seq]),
  );
  report(named.size === rows.length, `${named.size.toString()} manifests in the log, ${rows.length.toString()} stored`);
  const orders: Orders = new Map();
  for (const { jti, sha256, jws } of rows) {
    const text = jws.toString('latin1');
    report(sha256Hex(text) === sha256.toString('hex'), `manifest ${jti}: hash`);
    report(named.has(sha256.toString('hex')), `manifest ${jti}: not in the log`);
    const payload = checkManifestPayload(verifyCompactJws(text, 'writ-manifest+jws', (kid) => keys.get(kid)).payload);
    for (const { task_id, attempt } of payload.orders) {
      const key = `${task_id} ${attempt.toString()}`;
      report(!orders.has(key), `attempt ${key}: in two manifests`);
      orders.set(key, { node: payload.aud, jti });
    }
  }
  return orders;
}

async function checkReceipts(
  db: Queryable,
  records: readonly AuditRecord[],
  keys: ReadonlyMap<string, PublicKey>,
  orders: Orders,
  report: Report,
): Promise<number> {
  const { rows } = await db.query<{ jti: string; sha256: Buffer; jws: Buffer }>(
    'select jti, sha256, jws from receipts',
  );
  const told = new Map<string, string[]>();
  const accepted = new Set<string>();
  for (const record of records) {
    if (record.type !== 'receipt.accept' && record.type !== 'receipt.late') continue;
    const results = record.data?.results as unknown as [string, number, string][];
    const sha256 = record.data?.receipt_sha256 as string;
    told.set(sha256, [...(told.get(sha256) ?? []), ...results.map((r) => r.join(' '))]);
    if (record.type === 'receipt.late') continue;
    for (const [task, attempt] of results) {
      const key = `${task} ${attempt.toString()}`;
      report(!accepted.has(key), `attempt ${key}: accepted twice`);
      report(orders.get(key)?.node === record.actor?.id, `attempt ${key}: answered without an order of that node`);
      accepted.add(key);
    }
  }
  report(told.size === rows.length, `${told.size.toString()} receipts in the log, ${rows.length.toString()} stored`);
  for (const { jti, sha256, jws } of rows) {
    const payload = checkReceiptPayload(verifyCompactJws(jws, 'writ-receipt+jws', (kid) => keys.get(kid)).payload);
    const signed = payload.results.map((r) => `${r.task_id} ${r.attempt.toString()} ${r.status}`).sort();
    const named = [...(told.get(sha256.toString('hex')) ?? [])].sort();
    report(signed.join() === named.join(), `receipt ${jti}: the log names other results than were signed`);
  }
  for (const record of records) {
    if (record.type !== 'attempt.lost') continue;
    for (const [task, attempt] of record.data?.attempts as unknown as [string, number][]) {
      const key = `${task} ${attempt.toString()}`;
      report(orders.has(key), `attempt ${key}: lost without an order`);
      report(!accepted.has(key), `attempt ${key}: lost and accepted`);
    }
  }
  return accepted.size;
}

async function checkTasks(
  db: Queryable,
  records: readonly AuditRecord[],
  orders: Orders,
  report: Report,
): Promise<number> {
  const accepted = new Set<string>();
  for (const record of records) {
    if (record.type !== 'task.submit' || record.outcome !== 'allow') continue;
    for (const id of (record.target as unknown as { ids: string[] }).ids) accepted.add(id);
  }
  const { rows } = await db.query<{
    task_id: string;
    live: string | null;
    ends: number;
    last: string | null;
    redrives: number;
  }>(
    `select t.task_id, q.state as live, (select count(*) from results r where r.task_id = t.task_id and r.state is not null) as ends,
            (select r.state from results r where r.task_id = t.task_id order by attempt desc limit 1) as last,
            (select count(*) from task_records x join audit_log a on a.id = x.record_id
              where x.task_id = t.task_id and a.type = 'task.redrive') as redrives
       from tasks t left join queue q on q.task_id = t.task_id`,
  );
  report(
    rows.length === accepted.size,
    `${accepted.size.toString()} tasks in the log, ${rows.length.toString()} stored`,
  );
  for (const { task_id, live, ends, last, redrives } of rows) {
    report(accepted.has(task_id), `task ${task_id}: not in the log`);
    report(
      ends === redrives + (live === null ? 1 : 0),
      `task ${task_id}: ${ends.toString()} ends, live ${String(live)}`,
    );
    report(live !== null || last !== null, `task ${task_id}: neither live nor ended`);
  }
  const { rows: results } = await db.query<{
    task_id: string;
    attempt: number;
    manifest: string | null;
    status: string;
  }>('select task_id, attempt, manifest, status from results where status is not null');
  for (const { task_id, attempt, manifest } of results) {
    const order = orders.get(`${task_id} ${attempt.toString()}`);
    report(manifest !== null && order?.jti === manifest, `result ${task_id} ${attempt.toString()}: no order`);
  }
  const { rows: inHand } = await db.query<{ task_id: string; attempt: number; manifest: string }>(
    `select task_id, attempt, manifest from queue where state in ('dispatched', 'running', 'in_doubt')`,
  );
  for (const { task_id, attempt, manifest } of inHand) {
    report(
      orders.get(`${task_id} ${attempt.toString()}`)?.jti === manifest,
      `task ${task_id}: in hand without an order`,
    );
  }
  const { rows: open } = await db.query<{ jti: string; open: number; found: number }>(
    `select m.jti, m.open, (select count(*) from unnest(m.task_ids, m.attempts) o (t, a)
        where not exists (select from results r where r.task_id = o.t and r.attempt = o.a)) as found from manifests m`,
  );
  for (const { jti, open: counted, found } of open) {
    report(
      counted === found,
      `manifest ${jti}: ${counted.toString()} open by the counter, ${found.toString()} by the results`,
    );
  }
  return rows.length;
}

/** Every event that the log gives reached the consumer, at least once, the same each time, in order at the first time. */
function checkEvents(records: readonly AuditRecord[], events: readonly TelemetryEvent[], report: Report): void {
  const wanted = new Set<EventType>(eventTypes.filter((type) => type !== 'task.dispatched'));
  const received = new Map<string, TelemetryEvent>();
  let seq = -1;
  for (const event of events) {
    const before = received.get(event.event_id);
    report(
      before === undefined || JSON.stringify(before) === JSON.stringify(event),
      `event ${event.event_id}: twice, and not the same`,
    );
    if (before !== undefined) continue;
    const { audit_seq, previous_audit_seq } = event.attributes;
    report(audit_seq >= seq, `event ${event.event_id}: out of order`);
    report(audit_seq === seq || previous_audit_seq === seq, `event ${event.event_id}: a gap after ${seq.toString()}`);
    seq = audit_seq;
    received.set(event.event_id, event);
  }
  let previous = -1;
  for (const record of records) {
    const expected = eventsOf(record, previous, (type) => wanted.has(type));
    if (expected.length > 0) previous = record.seq;
    for (const event of expected) {
      const found = received.get(event.event_id);
      report(found !== undefined, `event ${event.event_type} of record ${record.seq.toString()}: never received`);
      if (found !== undefined)
        report(JSON.stringify(found) === event.json, `event ${event.event_id}: differs from the log`);
    }
  }
}
