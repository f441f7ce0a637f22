/** Statements that tell what stands between a task and a node. */

import type { Queryable } from '../platform/postgres/pool.ts';

/** A live task, with what it needs of a node. */
export interface WaitingRow {
  state: string;
  attempt: number;
  reason: string | null;
  tool: string;
  action: string;
  constraints: Record<string, string>;
  wake_at: Date | null;
  rank: number | null;
  requirement: number;
  node_id: string | null;
  manifest: string | null;
  is_cancel_requested: boolean;
  /** Queued tasks of the same requirement that go before it, counted up to a limit. */
  ahead: number;
}

/** Tasks before another are counted so far. */
export const aheadMax = 1000;

/** The queue's row of a task; undefined where it is not live. Planned each time, for the queue as it is. */
export async function readWaiting(db: Queryable, taskId: string): Promise<WaitingRow | undefined> {
  const found = await db.query<WaitingRow>({
    text: `select q.state, q.attempt, q.reason, t.tool, t.action, n.constraints, q.wake_at, q.rank, q.requirement, q.node_id,
                  q.manifest, c.task_id is not null as is_cancel_requested,
                  case when q.state = 'queued' then (select count(*)::integer from (
                    select from queue b where b.requirement = q.requirement and b.principal = q.principal and b.source = q.source
                       and b.rank is not null and (b.rank, b.task_id) < (q.rank, q.task_id) and b.state = 'queued'
                     limit ${aheadMax.toString()}) f) else 0 end as ahead
             from queue q join tasks t on t.task_id = q.task_id join requirements n on n.requirement = q.requirement
             left join cancel_requests c on c.task_id = q.task_id and c.attempt = q.attempt
            where q.task_id = $1`,
    values: [taskId],
  });
  return found.rows[0];
}

/** A node with how many orders it has in hand. */
export interface NodeLoad {
  node_id: string;
  status: string;
  is_leased: boolean;
  slots: number;
  labels: Record<string, string>;
  capabilities: Record<string, string>;
  in_hand: number;
}

/** All nodes that have not gone. */
export async function readNodeLoads(db: Queryable): Promise<NodeLoad[]> {
  const found = await db.query<NodeLoad>({
    name: 'read_node_loads',
    text: `select n.node_id, n.status, n.lease_until > now() as is_leased, n.slots, n.labels, n.capabilities,
                  coalesce(m.in_hand, 0)::integer as in_hand
             from nodes n cross join lateral (
               select sum(open) as in_hand from manifests where node_id = n.node_id and open > 0) m
            where n.status <> 'gone' order by n.node_id`,
    values: [],
  });
  return found.rows;
}
