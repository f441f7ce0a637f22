/** Statements on nodes and on the join tokens that make them. */

import type { Queryable } from '../platform/postgres/pool.ts';
import type { PublicJwk } from '../domain/signer.ts';
import { nilUuid } from '../proof/ids.ts';

export type NodeStatus = 'active' | 'unhealthy' | 'quarantined' | 'gone';

/** A node as it is shown. */
export interface NodeRow {
  node_id: string;
  name: string;
  status: NodeStatus;
  slots: number;
  labels: Record<string, string>;
  capabilities: Record<string, string>;
  metrics: Record<string, number> | null;
  registered_at: Date;
  last_heartbeat: Date | null;
  lease_until: Date;
}

/** Nodes that have not gone beyond an id, in the order of ids, at most `limit`; and how many there are in all. */
export async function readNodePage(
  db: Queryable,
  after: string | null,
  limit: number,
): Promise<{ nodes: NodeRow[]; total: number }> {
  const [page, counted] = await Promise.all([
    db.query<NodeRow>({
      name: 'read_node_page',
      text: `select node_id, name, status, slots, labels, capabilities, metrics, registered_at, last_heartbeat, lease_until
               from nodes where status <> 'gone' and node_id > $1 order by node_id limit $2`,
      values: [after ?? nilUuid, limit],
    }),
    db.query<{ n: number }>({
      name: 'count_nodes',
      text: `select count(*) as n from nodes where status <> 'gone'`,
      values: [],
    }),
  ]);
  return { nodes: page.rows, total: counted.rows[0]?.n ?? 0 };
}

export interface JoinToken {
  token_id: string;
  name: string;
  used_by: string | null;
}

/** A join token that is good now, or was used within its time. Locks it: joins by one token go one after the other. */
export async function lockJoinToken(tx: Queryable, sha256: Buffer): Promise<JoinToken | undefined> {
  const found = await tx.query<JoinToken>({
    name: 'lock_join_token',
    text: `select token_id, name, used_by from tokens
            where sha256 = $1 and kind = 'join' and revoked_at is null and expires_at > now() for update`,
    values: [sha256],
  });
  return found.rows[0];
}

export async function useJoinToken(tx: Queryable, tokenId: string, nodeId: string): Promise<void> {
  await tx.query({
    name: 'use_join_token',
    text: 'update tokens set used_by = $2, last_used_at = now() where token_id = $1',
    values: [tokenId, nodeId],
  });
}

export interface NewNode {
  node_id: string;
  name: string;
  slots: number;
  labels: Record<string, string>;
  capabilities: Record<string, string>;
  kid: string;
  jwk: PublicJwk;
  credential_sha256: Buffer;
  join_token: string;
  lease_s: number;
  credential_lifetime_s: number;
}

/** Adds a node with its first credential. */
export async function insertNode(tx: Queryable, node: NewNode): Promise<void> {
  await tx.query({
    name: 'insert_node',
    text: `with node as (
             insert into nodes (node_id, name, status, slots, labels, capabilities, kid, jwk, credential_sha256, join_token,
                                lease_until, credential_expires_at)
             values ($1, $2, 'active', $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10),
                     now() + make_interval(secs => $11)) returning *)
           insert into node_credentials (sha256, node_id, generation, expires_at)
           select credential_sha256, node_id, generation, credential_expires_at from node`,
    values: [
      node.node_id,
      node.name,
      node.slots,
      JSON.stringify(node.labels),
      JSON.stringify(node.capabilities),
      node.kid,
      JSON.stringify(node.jwk),
      node.credential_sha256,
      node.join_token,
      node.lease_s,
      node.credential_lifetime_s,
    ],
  });
}

/**
 * Gives a node another credential in place of the first: its join is repeated by the holder of the same key, who has not reported yet.
 * False where the key is another, or the node has reported.
 */
export async function replaceCredential(
  tx: Queryable,
  nodeId: string,
  kid: string,
  credentialSha256: Buffer,
): Promise<boolean> {
  const updated = await tx.query({
    name: 'replace_credential',
    text: `with node as (
             update nodes set credential_sha256 = $3 where node_id = $1 and kid = $2 and last_heartbeat is null
             returning node_id, generation, credential_expires_at),
           former as (delete from node_credentials where node_id in (select node_id from node))
           insert into node_credentials (sha256, node_id, generation, expires_at)
           select $3, node_id, generation, credential_expires_at from node`,
    values: [nodeId, kid, credentialSha256],
  });
  return updated.rowCount === 1;
}

/** Nodes that were heard of too long ago become unhealthy; answers which. */
export async function markUnhealthy(db: Queryable, silentS: number): Promise<string[]> {
  const updated = await db.query<{ node_id: string }>({
    name: 'mark_unhealthy',
    // A row that is locked is mostly a node that reports just now.
    text: `with silent as (select node_id from nodes where status = 'active'
                              and coalesce(last_heartbeat, registered_at) < now() - make_interval(secs => $1)
                            order by node_id for update skip locked)
           update nodes n set status = 'unhealthy' from silent s where n.node_id = s.node_id returning n.node_id`,
    values: [silentS],
  });
  return updated.rows.map(({ node_id }) => node_id);
}

/** Sequence numbers of a boot's receipts that have arrived beyond `after`, ascending. */
export async function readReceiptSeqs(db: Queryable, nodeId: string, bootId: string, after: number): Promise<number[]> {
  const found = await db.query<{ seq: number }>({
    name: 'read_receipt_seqs',
    text: 'select seq from receipts where node_id = $1 and boot_id = $2 and seq > $3 order by seq limit 20000',
    values: [nodeId, bootId, after],
  });
  return found.rows.map(({ seq }) => seq);
}

/** Requests to stop work of this node that still is its work; requests that are settled go. */
export async function readCancelRequests(
  db: Queryable,
  nodeId: string,
): Promise<{ task_id: string; attempt: number }[]> {
  const found = await db.query<{ task_id: string; attempt: number }>({
    name: 'read_cancel_requests',
    text: `with settled as (
             delete from cancel_requests c where c.node_id = $1
               and not exists (select from queue q where q.task_id = any (array[c.task_id]) and q.attempt = c.attempt))
           select c.task_id, c.attempt from cancel_requests c
            cross join lateral (select * from queue w where w.task_id = c.task_id and w.attempt = c.attempt offset 0) q
            where c.node_id = $1 and q.state in ('dispatched', 'running')`,
    values: [nodeId],
  });
  return found.rows;
}

/** Whether a receipt key was registered before, by whatever node. */
export async function isKeyKnown(tx: Queryable, kid: string): Promise<boolean> {
  const found = await tx.query({
    name: 'is_key_known',
    text: 'select from trusted_keys where kid = $1',
    values: [kid],
  });
  return found.rowCount > 0;
}
