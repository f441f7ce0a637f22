/** The one statement of a heartbeat: renews leases and reads all that an answer needs, for many nodes at once. */

import { byteaArray, bigintArray, intArray, textArray, uuidArray } from '../platform/postgres/arrays.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { ordersOfNode } from '../collect/collect-sql.ts';

export interface LeaseRenewal {
  node_id: string;
  credential_sha256: Buffer;
  boot_id: string;
  metrics: Record<string, number>;
  slots: number;
  capabilities: Record<string, string>;
  /** Receipts of the boot are known to have arrived up to this `seq`; -1 for none. */
  receipts_through: number;
}

export interface RenewedLease {
  lease_until: Date;
  boot_before: string | null;
  slots_before: number;
  credential_s_left: number;
  /** Sequence numbers of the boot's receipts that have arrived beyond `receipts_through`, ascending, so many at most. */
  receipt_seqs: number[];
  /** Over the orders that the node should have in hand, as a heartbeat's `attempts.sha256`. */
  attempts_sha256: string;
  has_cancel_requests: boolean;
  config_version: number;
}

/** Of one node: the answer to a batch is to stay small where nothing is known after a restart. */
const receiptSeqsMax = 500;

/** Rows that somebody else has locked are waited for, or told of as such. */
const textOf = (waits: boolean): string => `
  with b as (
    select * from unnest($1::integer[], $2::uuid[], $3::bytea[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::bigint[])
      as b (n, node_id, credential_sha256, boot_id, metrics, slots, capabilities, receipts_through)),
  known as (
    select b.n from b join nodes n on n.node_id = any (array[b.node_id])
     where n.credential_sha256 = b.credential_sha256 and n.credential_expires_at > now() and n.status = 'active'),
  f as (
    select b.*, n.boot_id as boot_before, n.slots as slots_before from b join nodes n on n.node_id = any (array[b.node_id])
     where n.credential_sha256 = b.credential_sha256 and n.credential_expires_at > now() and n.status = 'active'
     order by n.node_id for update of n ${waits ? '' : 'skip locked'}),
  r as (
    update nodes n set last_heartbeat = now(), lease_until = now() + make_interval(secs => $9), boot_id = f.boot_id,
           metrics = f.metrics::jsonb, slots = f.slots, capabilities = f.capabilities::jsonb,
           described_at = case when n.capabilities = f.capabilities::jsonb then n.described_at else now() end
      from f where n.node_id = any (array[f.node_id])
    returning f.n, f.node_id, f.boot_id, f.receipts_through, n.lease_until, f.boot_before, f.slots_before,
              extract(epoch from n.credential_expires_at - now())::float8 as credential_s_left)
  select known.n, r.lease_until, r.boot_before, r.slots_before, r.credential_s_left,
         array(select c.seq from receipts c where c.node_id = r.node_id and c.boot_id = r.boot_id and c.seq > r.receipts_through
                order by c.seq limit ${receiptSeqsMax}) as receipt_seqs,
         (select encode(sha256(convert_to(coalesce(string_agg(
                   o.task_id || ' ' || o.attempt || case o.state when 'running' then E' 1\\n' else E' 0\\n' end,
                   '' order by o.task_id), ''), 'UTF8')), 'hex')
            from (${ordersOfNode('r.node_id')}) o) as attempts_sha256,
         exists (select from cancel_requests q where q.node_id = r.node_id) as has_cancel_requests,
         (select coalesce(max(version), 0) from scopes) as config_version
    from known left join r on r.n = known.n`;

const waitingText = textOf(true);
const passingText = textOf(false);

/** Whether there may be more receipts than an answer holds. */
export function hasMoreReceipts({ receipt_seqs }: RenewedLease): boolean {
  return receipt_seqs.length === receiptSeqsMax;
}

/** What became of a heartbeat: undefined where the node is not active, or the credential is not its current one. */
export type Renewed = RenewedLease | 'locked' | undefined;

/**
 * Notes heartbeats of different nodes and renews their leases; one answer for each, in order. `locked` where somebody else is changing the
 * node, unless it `waits` for that.
 */
export async function renewLeases(
  db: Queryable,
  renewals: readonly LeaseRenewal[],
  { leaseS, waits }: { leaseS: number; waits: boolean },
): Promise<Renewed[]> {
  const found = await db.query<RenewedLease & { n: number; lease_until: Date | null }>({
    name: waits ? 'renew_leases_waiting' : 'renew_leases',
    text: waits ? waitingText : passingText,
    values: [
      intArray(renewals.map((_, n) => n)),
      uuidArray(renewals.map(({ node_id }) => node_id)),
      byteaArray(renewals.map(({ credential_sha256 }) => credential_sha256)),
      uuidArray(renewals.map(({ boot_id }) => boot_id)),
      textArray(renewals.map(({ metrics }) => JSON.stringify(metrics))),
      intArray(renewals.map(({ slots }) => slots)),
      textArray(renewals.map(({ capabilities }) => JSON.stringify(capabilities))),
      bigintArray(renewals.map(({ receipts_through }) => receipts_through)),
      leaseS,
    ],
  });
  const renewed: Renewed[] = renewals.map(() => undefined);
  for (const { n, ...lease } of found.rows) renewed[n] = isRenewed(lease) ? lease : 'locked';
  return renewed;
}

function isRenewed(lease: Omit<RenewedLease, 'lease_until'> & { lease_until: Date | null }): lease is RenewedLease {
  return lease.lease_until !== null;
}

/** Makes a node active that fell silent. False where it is not unhealthy, or the credential is not its current one. */
export async function reviveNode(
  tx: Queryable,
  nodeId: string,
  credentialSha256: Buffer,
  leaseS: number,
): Promise<boolean> {
  const updated = await tx.query({
    name: 'revive_node',
    text: `update nodes set status = 'active', last_heartbeat = now(), lease_until = greatest(lease_until, now() + make_interval(secs => $3))
            where node_id = $1 and status = 'unhealthy'
              and credential_sha256 = $2 and credential_expires_at > now()`,
    values: [nodeId, credentialSha256, leaseS],
  });
  return updated.rowCount === 1;
}
