/** Statements of the dispatcher. */

import { recordsCall, type RecordArrays } from '../ledger/audit-logger.ts';
import { byteaArray, hexArray, intArray, uuidArray } from '../platform/postgres/arrays.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

/** Payloads by task id. */
export async function readPayloads(db: Queryable, taskIds: readonly string[]): Promise<Map<string, Buffer>> {
  const found = await db.query<{ task_id: string; payload: Buffer }>({
    name: 'read_payloads',
    text: 'select t.task_id, t.payload from unnest($1::uuid[]) p (task_id) join tasks t on t.task_id = any (array[p.task_id])',
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
  jws: Buffer;
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
  const orders = manifests.flatMap((manifest) => manifest.orders);
  await db.query({
    name: 'issue_manifests',
    text: `select issue_manifests($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11), ${recordsCall(12)}`,
    values: [
      term,
      manifests.map(({ jti }) => jti),
      hexArray(manifests.map(({ sha256 }) => sha256)),
      manifests.map(({ node_id }) => node_id),
      manifests.map(({ iat }) => new Date(iat * 1000)),
      manifests.map(({ exp }) => new Date(exp * 1000)),
      manifests.map(({ record_id }) => record_id),
      byteaArray(manifests.map(({ jws }) => jws)),
      intArray(manifests.flatMap((manifest, i) => manifest.orders.map(() => i + 1))),
      uuidArray(orders.map(({ task_id }) => task_id)),
      intArray(orders.map(({ attempt }) => attempt - 1)),
      ...records,
    ],
  });
}
