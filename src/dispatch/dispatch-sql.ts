/** Statements of the dispatcher. */

import type { RecordArrays } from '../ledger/audit-logger.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

/** Payloads by task id. */
export async function readPayloads(db: Queryable, taskIds: readonly string[]): Promise<Map<string, Buffer>> {
  const found = await db.query<{ task_id: string; payload: Buffer }>({
    name: 'read_payloads',
    text: 'select t.task_id, t.payload from unnest($1::uuid[]) p (task_id) join tasks t on t.task_id = p.task_id',
    values: [taskIds],
  });
  return new Map(found.rows.map(({ task_id, payload }) => [task_id, payload]));
}

/** A signed manifest, ready to be issued. Hash as lower-case hex; times in seconds. */
export interface SignedManifest {
  jti: string;
  sha256: string;
  node_id: string;
  iat: number;
  exp: number;
  record_id: string;
  jws: string;
  orders: readonly { task_id: string; attempt: number }[];
}

/**
 * Issues manifests: queue rows to `dispatched`, manifests stored, records appended, fenced by the term; all or nothing. Fails
 * with WR001 when the term is over, with WR002 and the ids of tasks that are not queued any more.
 */
export async function issueManifests(
  db: Queryable,
  term: number,
  manifests: readonly SignedManifest[],
  records: RecordArrays,
): Promise<void> {
  const orders = manifests.flatMap((manifest, i) => manifest.orders.map((order) => ({ ...order, of: i + 1 })));
  await db.query({
    name: 'issue_manifests',
    text: `select issue_manifests($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11),
             append_records($12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    values: [
      term,
      manifests.map(({ jti }) => jti),
      manifests.map(({ sha256 }) => `\\x${sha256}`),
      manifests.map(({ node_id }) => node_id),
      manifests.map(({ iat }) => new Date(iat * 1000)),
      manifests.map(({ exp }) => new Date(exp * 1000)),
      manifests.map(({ record_id }) => record_id),
      manifests.map(({ jws }) => Buffer.from(jws, 'latin1')),
      orders.map(({ of }) => of),
      orders.map(({ task_id }) => task_id),
      orders.map(({ attempt }) => attempt),
      ...records,
    ],
  });
}
