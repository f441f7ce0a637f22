/** Statements on the credentials of nodes. */

import type { Queryable } from '../platform/postgres/pool.ts';

export interface LockedNode {
  status: 'active' | 'unhealthy' | 'quarantined' | 'gone';
  credential_sha256: Buffer;
  generation: number;
  boot_id: string | null;
  promoted_s_ago: number;
}

/** The node, locked: decisions about its credentials go one after the other. */
export async function lockNode(tx: Queryable, nodeId: string): Promise<LockedNode | undefined> {
  const found = await tx.query<LockedNode>({
    name: 'lock_node',
    text: `select status, credential_sha256, generation, boot_id,
                  extract(epoch from clock_timestamp() - promoted_at)::float8 as promoted_s_ago
             from nodes where node_id = $1 for update`,
    values: [nodeId],
  });
  return found.rows[0];
}

export interface FoundCredential {
  generation: number;
  expires_at: Date;
  /** Negative while it is good. */
  expired_s_ago: number;
}

export async function findCredential(
  tx: Queryable,
  nodeId: string,
  sha256: Buffer,
): Promise<FoundCredential | undefined> {
  const found = await tx.query<FoundCredential>({
    name: 'find_node_credential',
    text: `select generation, expires_at, extract(epoch from now() - expires_at)::float8 as expired_s_ago from node_credentials
            where sha256 = $2 and node_id = $1`,
    values: [nodeId, sha256],
  });
  return found.rows[0];
}

export async function insertCredential(
  tx: Queryable,
  credential: { sha256: Buffer; node_id: string; generation: number; lifetime_s: number },
): Promise<void> {
  await tx.query({
    name: 'insert_node_credential',
    text: `insert into node_credentials (sha256, node_id, generation, expires_at)
           values ($1, $2, $3, now() + make_interval(secs => $4))`,
    values: [credential.sha256, credential.node_id, credential.generation, credential.lifetime_s],
  });
}

/** Whether a credential of a generation was handed out less than so long ago. */
export async function isNextFresh(tx: Queryable, nodeId: string, generation: number, ageS: number): Promise<boolean> {
  const found = await tx.query({
    name: 'find_fresh_credential',
    text: `select from node_credentials
            where node_id = $1 and generation = $2 and issued_at > now() - make_interval(secs => $3) limit 1`,
    values: [nodeId, generation, ageS],
  });
  return found.rowCount > 0;
}

/** Makes a credential the current one. Others of its generation stay, so that their use shows. */
export async function promoteCredential(tx: Queryable, nodeId: string, sha256: Buffer, expiresAt: Date): Promise<void> {
  await tx.query({
    name: 'promote_credential',
    text: `update nodes set credential_sha256 = $2, generation = generation + 1, promoted_at = clock_timestamp(),
                  credential_expires_at = $3 where node_id = $1`,
    values: [nodeId, sha256, expiresAt],
  });
}

export async function quarantine(tx: Queryable, nodeId: string): Promise<void> {
  await tx.query({
    name: 'quarantine_node',
    text: `update nodes set status = 'quarantined', slots = 0 where node_id = $1`,
    values: [nodeId],
  });
}
