/** Statements that read tasks as they are now: the queue's row while one lives, else the end of its last attempt. */

import type { TaskState } from '../domain/task-state.ts';
import { isEndState } from '../domain/task-state.ts';
import type { Effects } from '../proof/manifest.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

/** A task with what became of it, as the tables have it. */
export interface TaskViewRow {
  task_id: string;
  state: TaskState;
  reason: string | null;
  source: string;
  tool: string;
  action: string;
  payload: Buffer;
  required_role: string;
  scope: string | null;
  priority: number;
  run_at: Date | null;
  expires_at: Date | null;
  timeout_s: number;
  max_attempts: number;
  retry_initial_s: number;
  retry_max_s: number;
  affinity: string | null;
  constraints: Record<string, string>;
  tags: string[] | null;
  labels: Record<string, string> | null;
  traceparent: string | null;
  requested_by: string;
  effects: Effects;
  task_sha256: Buffer;
  created_at: Date;
  updated_at: Date;
  attempt: number;
  tries: number;
  node_id: string | null;
  manifest_sha256: Buffer | null;
  started_at: Date | null;
  ended_at: Date | null;
}

/** Starts that counted since the last redrive, of a task that has ended: what a live one counts in its queue row. */
const endedTries = `(select count(*)::integer from results s
   where s.task_id = t.task_id and s.status is not null and s.status <> 'not_started'
     and not (s.status = 'refused' and s.error ->> 'code' = 'expired') and not (s.status = 'lost' and s.reason = 'not_received')
     and s.attempt > coalesce((select max(b.attempt) from results b
           where b.task_id = t.task_id and b.state is not null and b.attempt < r.attempt), 0))`;

const columns = `t.task_id, coalesce(q.state, r.state) as state, coalesce(q.reason, r.reason) as reason, t.source, t.tool, t.action,
  t.payload, t.required_role, t.scope, t.priority, t.run_at, t.expires_at, t.timeout_s, t.max_attempts,
  t.retry_initial_s, t.retry_max_s, t.affinity, n.constraints, t.tags, t.labels,
  t.traceparent, t.requested_by, t.effects, t.task_sha256, t.created_at,
  coalesce(q.updated_at, r.created_at, t.created_at) as updated_at, coalesce(q.attempt, r.attempt, 0) as attempt,
  case when r.task_id is null then coalesce(q.tries, 0) else ${endedTries} end as tries,
  coalesce(q.node_id, r.node_id) as node_id, m.sha256 as manifest_sha256, r.started_at,
  case when r.task_id is not null then coalesce(r.ended_at, r.created_at) end as ended_at`;

const joins = `join requirements n on n.requirement = t.requirement
  left join lateral (select * from queue w where w.task_id = t.task_id offset 0) q on true
  left join lateral (select * from results e where e.task_id = t.task_id and e.state is not null and q.task_id is null
                      order by e.attempt desc limit 1) r on true
  left join manifests m on m.jti = coalesce(q.manifest, r.manifest)`;

/** One task; undefined for an id that no task has. */
export async function readTaskRow(db: Queryable, taskId: string): Promise<TaskViewRow | undefined> {
  const found = await db.query<TaskViewRow>({
    name: 'read_task',
    text: `select ${columns} from tasks t ${joins} where t.task_id = $1`,
    values: [taskId],
  });
  return found.rows[0];
}

/** What a list is narrowed to; members that are absent narrow nothing. */
export interface TaskFilters {
  state?: TaskState;
  source?: string;
  tool?: string;
  action?: string;
  requested_by?: string;
  tag?: string;
  labels?: Readonly<Record<string, string>>;
  created_from?: Date;
  created_to?: Date;
}

/** Payloads of one page have so many bytes, but for its last task: a page is answered as a whole. */
const pageMaxBytes = 4 * 1024 * 1024;

// `offset 0` keeps what is beside it from being looked through for each row inside of it, instead of the other way round.

/** Tasks that one page looks at, those that its filters pass over too: however rare what is asked for, an answer does not take long. */
const lookedAtMax = 20_000;

/**
 * Tasks below an id, newest first: at most `limit`, and fewer where their payloads are large or where enough were looked at. `next` is the
 * id below which the list goes on; null at its end. Without a name, so that each list is planned for its own filters and for the tables
 * as they are now.
 */
export async function listTaskRows(
  db: Queryable,
  filters: TaskFilters,
  before: string | null,
  limit: number,
): Promise<{ rows: TaskViewRow[]; next: string | null }> {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value).toString()}`;
  const candidates = candidatesOf(filters, before, bind);
  const conditions = conditionsOf(filters, bind);
  const text = `with page as (
      select t.* from (${candidates} limit ${lookedAtMax.toString()}) c
       cross join lateral (select * from tasks w where w.task_id = c.task_id offset 0) t
       where ${conditions.join(' and ')} order by c.task_id desc limit ${bind(limit + 1)}
    ), sized as (
      select p.*, sum(length(p.payload)) over (order by p.task_id desc rows unbounded preceding) - length(p.payload) as bytes_before
        from page p
    ), counted as (
      select count(*) as found, case when count(*) <= ${bind(limit)} then
          (${candidates} offset ${(lookedAtMax - 1).toString()} limit 1) end as looked_to from page
    )
    select ${columns}, c.found, c.looked_to from counted c
      left join (sized t ${joins}) on t.bytes_before < ${pageMaxBytes.toString()} order by t.task_id desc`;
  const { rows: found } = await db.query<ListedRow>({ text, values });
  const rows = found.filter((row): row is ListedTask => row.task_id !== null).slice(0, limit);
  const [{ found: count, looked_to: lookedTo } = { found: 0, looked_to: null }] = found;
  return { rows, next: rows.length < count ? (rows.at(-1)?.task_id ?? null) : lookedTo };
}

interface PageFigures {
  /** Of the page and the one task after it. */
  found: number;
  /** The last task that was looked at, where that ended the page. */
  looked_to: string | null;
}

type ListedTask = TaskViewRow & PageFigures;
/** A page that has no task has one row that says so. */
type ListedRow = ListedTask | (PageFigures & { task_id: null });

function conditionsOf(filters: TaskFilters, bind: (value: unknown) => string): string[] {
  const conditions = ['true'];
  for (const column of ['source', 'tool', 'action', 'requested_by'] as const) {
    const wanted = filters[column];
    if (wanted !== undefined) conditions.push(`t.${column} = ${bind(wanted)}`);
  }
  if (filters.tag !== undefined) conditions.push(`t.tags @> ${bind(JSON.stringify([filters.tag]))}::jsonb`);
  if (filters.labels !== undefined) conditions.push(`t.labels @> ${bind(JSON.stringify(filters.labels))}::jsonb`);
  if (filters.created_from !== undefined) conditions.push(`t.created_at >= ${bind(filters.created_from)}`);
  if (filters.created_to !== undefined) conditions.push(`t.created_at < ${bind(filters.created_to)}`);
  return conditions;
}

/** The time inside an id is the process's clock when it was made; it differs from `created_at` by far less. */
const idDriftMs = 60_000;

/** The lowest UUIDv7 of a millisecond, so that the primary key serves ranges of time (RFC 9562 §5.7). */
function uuidAt(ms: number): string {
  const hex = Math.min(Math.max(0, ms), 0xffff_ffff_ffff).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** Ids of the tasks in question, newest first: those of a state, a range of time, and below an id. */
function candidatesOf(filters: TaskFilters, before: string | null, bind: (value: unknown) => string): string {
  const { state, created_from: from, created_to: to } = filters;
  const conditions = ['true'];
  if (before !== null) conditions.push(`x.task_id < ${bind(before)}`);
  if (from !== undefined) conditions.push(`x.task_id >= ${bind(uuidAt(from.getTime() - idDriftMs))}`);
  if (to !== undefined) conditions.push(`x.task_id < ${bind(uuidAt(to.getTime() + idDriftMs))}`);
  const source = state === undefined ? 'tasks x where' : ofState(state, bind);
  return `select x.task_id from ${source} ${conditions.join(' and ')} order by x.task_id desc`;
}

/**
 * Each state is found by the table and the index that know it: what is out with nodes by open manifests, what ended without
 * success by its partial index. Success is final, so one such result is enough.
 */
function ofState(state: TaskState, bind: (value: unknown) => string): string {
  if (state === 'waiting') return 'queue x where x.wake_at is not null and';
  if (state === 'queued') return `queue x where x.state = 'queued' and`;
  if (!isEndState(state)) {
    return `manifests m cross join lateral unnest(m.task_ids) o (task_id)
      cross join lateral (select * from queue w where w.task_id = o.task_id and w.manifest = m.jti offset 0) x
      where m.open > 0 and x.state = ${bind(state)} and`;
  }
  if (state === 'succeeded') return `results x where x.state = 'succeeded' and`;
  return `results x where x.state = ${bind(state)} and x.state <> 'succeeded'
      and not exists (select from queue q where q.task_id = x.task_id)
      and not exists (select from results l where l.task_id = x.task_id and l.attempt > x.attempt and l.state is not null) and`;
}
