/** Statements that keep the registry of nodes up to date. */

import { uuidArray } from '../platform/postgres/arrays.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { PublicJwk } from '../domain/signer.ts';
import type { NodeStatus } from './fleet-sql.ts';

/** What changes by itself: small, since all of it is read each second. */
export interface NodeState {
  node_id: string;
  status: NodeStatus;
  slots: number;
  /** It has reported, and its lease runs by the database's clock. */
  is_leased: boolean;
  /** When its description changed last, microseconds since the Unix epoch. */
  described_at: number;
}

/** What a node told of itself, and its key. */
export interface NodeDescription {
  node_id: string;
  labels: Record<string, string>;
  capabilities: Record<string, string>;
  kid: string;
  jwk: PublicJwk;
  /** From when its key is trusted, by the log. */
  trusted_from: Date;
}

const states = `select node_id, status, slots, last_heartbeat is not null and lease_until > now() as is_leased,
  (extract(epoch from described_at) * 1000000)::bigint as described_at from nodes where status <> 'gone'`;

/** All nodes that have not gone. */
export async function readNodeStates(db: Queryable): Promise<NodeState[]> {
  const found = await db.query<NodeState>({ name: 'read_node_states', text: states, values: [] });
  return found.rows;
}

/** One node; undefined where there is none, or it has gone. */
export async function readNodeState(db: Queryable, nodeId: string): Promise<NodeState | undefined> {
  const text = `${states} and node_id = $1`;
  const found = await db.query<NodeState>({ name: 'read_node_state', text, values: [nodeId] });
  return found.rows[0];
}

export async function readNodeDescriptions(db: Queryable, nodeIds: readonly string[]): Promise<NodeDescription[]> {
  const found = await db.query<NodeDescription>({
    name: 'read_node_descriptions',
    text: `select n.node_id, n.labels, n.capabilities, n.kid, n.jwk, k.trusted_from
             from unnest($1::uuid[]) w (node_id) join nodes n on n.node_id = any (array[w.node_id])
             join trusted_keys k on k.kid = any (array[n.kid])`,
    values: [uuidArray(nodeIds)],
  });
  return found.rows;
}
