/** What the database knows for the metrics: one statement for each scrape, and one for the tasks that ended. */

import type { EndState, LiveState } from '../domain/task-state.ts';
import type { NodeStatus } from '../fleet/fleet-sql.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

/** Failed tasks that are counted at most. */
const deadLettersMax = 10_000;

export interface DatabaseFigures {
  /** By state; states without tasks are absent. */
  queue: Partial<Record<LiveState, number>> | null;
  queue_oldest_s: number | null;
  nodes: Partial<Record<NodeStatus, number>> | null;
  dead_letters: number;
  dead_events: number;
  audit_size: number | null;
  /** Null before the first checkpoint. */
  checkpoint_age_s: number | null;
  /** By the name of the feed's cursor. */
  feeds: Record<string, { records: number; seconds: number }> | null;
}

/** `cursors` are names of projections. Reads the queue as a whole, and nothing else that grows with the work, but failed tasks. */
export async function readFigures(db: Queryable, cursors: readonly string[]): Promise<DatabaseFigures> {
  const found = await db.query<DatabaseFigures>({
    name: 'read_figures',
    text: `with live as (select state, count(*) as n, min(updated_at) as since from queue group by state)
      select (select jsonb_object_agg(state, n) from live) as queue,
        (select extract(epoch from clock_timestamp() - since)::float8 from live where state = 'queued') as queue_oldest_s,
        (select jsonb_object_agg(status, n) from (select status, count(*) as n from nodes group by status) s) as nodes,
        (select count(*) from (select task_id, attempt from results where state = 'failed' order by task_id desc limit $2) f
          where not exists (select from queue q where q.task_id = f.task_id)
            and not exists (select from results l
                             where l.task_id = f.task_id and l.attempt > f.attempt and l.state is not null)) as dead_letters,
        (select count(*) from dead_events) as dead_events,
        (select size from audit_head) as audit_size,
        (select extract(epoch from clock_timestamp() - at)::float8 from checkpoints order by size desc limit 1)
          as checkpoint_age_s,
        (select jsonb_object_agg(f.name, jsonb_build_object('records', greatest(0, h.size - coalesce(p.next_seq, 0)),
            'seconds', coalesce(extract(epoch from clock_timestamp() - l.at), 0)))
           from unnest($1::text[]) f (name) cross join audit_head h left join projections p on p.name = f.name
           left join audit_log l on l.seq = coalesce(p.next_seq, 0)) as feeds`,
    values: [cursors, deadLettersMax],
  });
  const row = found.rows[0];
  if (row === undefined) throw new Error('a statement of scalars gave no row');
  return row;
}

/** In which states these tasks ended last, each id as often as it is given. */
export async function countEndStates(db: Queryable, taskIds: readonly string[]): Promise<Map<EndState, number>> {
  const found = await db.query<{ state: EndState; n: number }>({
    name: 'count_end_states',
    text: `select e.state, count(*) as n
             from unnest($1::uuid[]) t (task_id) cross join lateral (
               select r.state from results r where r.task_id = t.task_id and r.state is not null
                order by r.attempt desc limit 1) e
            group by e.state`,
    values: [taskIds],
  });
  return new Map(found.rows.map(({ state, n }) => [state, n]));
}
