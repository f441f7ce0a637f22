/** Statements of the collector. */

import { recordsCall, type RecordArrays } from '../ledger/audit-logger.ts';
import { byteaArray, hexArray } from '../platform/postgres/arrays.ts';
import { placeholders } from '../platform/postgres/placeholders.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { endParameters, endsCalls, endsColumns, type AttemptEnds } from '../tasks/end-attempts.ts';
import type { LiveTask } from './outcome.ts';

/** Live tasks by id, with what decides about a retry. */
export async function readLiveTasks(db: Queryable, taskIds: readonly string[]): Promise<Map<string, LiveTask>> {
  if (taskIds.length === 0) return new Map();
  const found = await db.query<LiveTask>({
    name: 'read_live_tasks',
    text: `select q.task_id, q.state, q.attempt, q.tries, q.node_id, q.manifest, t.effects, t.max_attempts,
                  t.retry_initial_s, t.retry_max_s, c.task_id is not null as is_cancel_requested
             from unnest($1::uuid[]) p (task_id)
            cross join lateral (select * from queue w where w.task_id = p.task_id offset 0) q
             join tasks t on t.task_id = any (array[q.task_id])
             left join cancel_requests c on c.task_id = any (array[q.task_id]) and c.attempt = q.attempt`,
    values: [taskIds],
  });
  return new Map(found.rows.map((row) => [row.task_id, row]));
}

/** A receipt as evidence. Hash as lower-case hex. */
export interface ReceiptRow {
  jti: string;
  sha256: string;
  node_id: string;
  boot_id: string;
  seq: number;
  previous_boot: { boot_id: string; seq: number } | undefined;
  record_id: string;
  jws: Buffer;
}

export interface ReceiptCommit extends AttemptEnds {
  receipts: readonly ReceiptRow[];
}

const receiptParameters = 9;
const endsFirst = 1 + receiptParameters;
const text = `select insert_receipts(${placeholders(1, receiptParameters)}), ${endsCalls(endsFirst)},
  ${recordsCall(endsFirst + endParameters)}`;

/**
 * Stores receipts, moves their tasks, keeps the results and appends the records: all or nothing. Fails with WR002 and task ids, or WR004 and jtis.
 */
export async function commitReceipts(
  db: Queryable,
  { receipts, ...ends }: ReceiptCommit,
  records: RecordArrays,
): Promise<void> {
  await db.query({
    name: 'commit_receipts',
    text,
    values: [
      receipts.map(({ jti }) => jti),
      hexArray(receipts.map(({ sha256 }) => sha256)),
      receipts.map(({ node_id }) => node_id),
      receipts.map(({ boot_id }) => boot_id),
      receipts.map(({ seq }) => seq),
      receipts.map(({ previous_boot }) => previous_boot?.boot_id ?? null),
      receipts.map(({ previous_boot }) => previous_boot?.seq ?? null),
      receipts.map(({ record_id }) => record_id),
      byteaArray(receipts.map(({ jws }) => jws)),
      ...endsColumns(ends),
      ...records,
    ],
  });
}

/** An order that is out with a node. */
export interface OutstandingOrder {
  task_id: string;
  attempt: number;
  state: string;
  node_id: string;
  manifest: string;
  issued_at: Date;
  expires_at: Date;
}

const outstanding = `select q.task_id, q.attempt, q.state, m.node_id, m.jti as manifest, m.issued_at, m.expires_at
   from manifests m cross join lateral unnest(m.task_ids, m.attempts) o (task_id, attempt)
   cross join lateral (select * from queue w where w.task_id = o.task_id and w.attempt = o.attempt and w.manifest = m.jti offset 0) q`;

/** SQL for the orders that a node should have in hand; `nodeId` is an expression. */
export function ordersOfNode(nodeId: string): string {
  return `${outstanding} where m.node_id = ${nodeId} and m.open > 0 and q.state in ('dispatched', 'running')`;
}

/** Orders that a node should have in hand, oldest manifest first. */
export async function readOrdersOfNode(db: Queryable, nodeId: string): Promise<OutstandingOrder[]> {
  const found = await db.query<OutstandingOrder>({
    name: 'read_orders_of_node',
    text: `${ordersOfNode('$1')} order by m.issued_at, m.jti`,
    values: [nodeId],
  });
  return found.rows;
}

/** Orders whose node's lease is over, and whose manifest no node would start any more; none unless the term still leads. */
export async function readLostOrders(
  db: Queryable,
  term: number,
  skewS: number,
  limit: number,
): Promise<OutstandingOrder[]> {
  const found = await db.query<OutstandingOrder>({
    name: 'read_lost_orders',
    text: `${outstanding} join nodes n on n.node_id = m.node_id
            where m.open > 0 and q.state in ('dispatched', 'running') and n.lease_until < now()
              and m.expires_at + make_interval(secs => $1) < now()
              and exists (select from leader where term = $3 and expires_at > clock_timestamp())
            order by m.issued_at, m.jti limit $2`,
    values: [skewS, limit, term],
  });
  return found.rows;
}

/** How many orders each node has in hand by the database. */
export async function countInFlight(db: Queryable): Promise<Map<string, number>> {
  const found = await db.query<{ node_id: string; n: number }>({
    name: 'count_in_flight',
    text: 'select * from count_in_flight()',
    values: [],
  });
  return new Map(found.rows.map(({ node_id, n }) => [node_id, n]));
}

/** A manifest that was issued, with the payloads of its orders. `exp` in seconds. */
export interface SentManifest {
  jti: string;
  node_id: string;
  jws: Buffer;
  exp: number;
  payloads: Buffer[];
}

/** Manifests to be sent again. */
export async function readManifests(db: Queryable, jtis: readonly string[]): Promise<SentManifest[]> {
  const found = await db.query<SentManifest>({
    name: 'read_manifests',
    text: `select m.jti, m.node_id, m.jws, extract(epoch from m.expires_at)::float8 as exp, array_agg(t.payload order by o.n) as payloads
             from manifests m cross join lateral unnest(m.task_ids) with ordinality o (task_id, n)
             join tasks t on t.task_id = any (array[o.task_id]) where m.jti = any ($1::uuid[]) group by m.jti`,
    values: [jtis],
  });
  return found.rows;
}

/** A boot of a node, by the receipts that are stored of it. */
export interface StoredBoot {
  boot_id: string;
  last_seq: number;
  previous_boot: string | null;
  previous_seq: number | null;
}

/** All boots of a node that signed a receipt, the newest first. */
export async function readBoots(db: Queryable, nodeId: string): Promise<StoredBoot[]> {
  const found = await db.query<StoredBoot>({
    name: 'read_boots',
    text: `with recursive b as (
             (select boot_id, seq, previous_boot, previous_seq, received_at from receipts where node_id = $1
               order by boot_id, seq limit 1)
             union all
             select n.* from b cross join lateral (
               select r.boot_id, r.seq, r.previous_boot, r.previous_seq, r.received_at from receipts r
                where r.node_id = $1 and r.boot_id > b.boot_id order by r.boot_id, r.seq limit 1) n)
           select b.boot_id, l.seq as last_seq, b.previous_boot, b.previous_seq
             from b cross join lateral (select r.seq from receipts r where r.node_id = $1 and r.boot_id = b.boot_id
                                         order by r.seq desc limit 1) l
            order by b.received_at desc, b.boot_id desc`,
    values: [nodeId],
  });
  return found.rows;
}
