-- Orchestrators read all nodes each second, and what a node tells of itself only where that has changed.
alter table nodes add column described_at timestamptz not null default now();
-- Heartbeats change no index: a page has room for the next version of each row.
alter table nodes set (fillfactor = 50);

-- Statements that look rows up by id say `id = any (array[other.id])` where they mean `id = other.id`: the plan cannot be turned around then,
-- to walk the index of a table that was counted while it was nearly empty.

-- The one function that changes a live task's state. One element for each task, the rest by kind; `p_attempt` is the fence, and the row gets
-- `p_step` more. Legal moves alone are made; a task moves from `in_doubt` only where `p_from_doubt` says that this is meant, and work
-- whose cancel was asked for does not go again. Where `p_by` names a node, that node must hold the attempt. An end state deletes the
-- row: the caller writes the result in the same transaction, and gets for each position the manifest that an ended task was under.
-- Fails with WR002 and the ids of those that could not move in its detail, moving none.
-- The queue is planned while it is empty: settings and look-ups that cannot be turned around keep each row found by its key.
create or replace function move_tasks(
  p_task uuid[], p_attempt integer[], p_kind integer[],
  p_to text[], p_step integer[], p_tries integer[], p_rank bigint[], p_wake timestamptz[], p_node uuid[], p_manifest uuid[],
  p_reason text[], p_by uuid[], p_from_doubt boolean[]
) returns uuid[] language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  live constant text[] := array['waiting', 'queued', 'dispatched', 'running', 'in_doubt'];
  moved uuid[] := '{}';
  ended uuid[] := '{}';
  manifests uuid[];
begin
  -- Rows are locked in the order of their ids, here and below: two calls then never wait for each other.
  if p_to && live and not p_to <@ live then
    perform from (
      select from unnest(p_task) t (task_id) join queue q on q.task_id = any (array[t.task_id]) order by t.task_id for update of q) l;
  end if;

  if p_to && live then
    with updated as (
      update queue q set
        state = p_to[m.kind], attempt = m.attempt + p_step[m.kind], tries = q.tries + p_tries[m.kind],
        rank = case when p_to[m.kind] = 'waiting' then null else coalesce(p_rank[m.kind], q.rank) end, wake_at = p_wake[m.kind],
        node_id = case when p_to[m.kind] in ('running', 'in_doubt') then q.node_id else p_node[m.kind] end,
        manifest = case when p_to[m.kind] in ('running', 'in_doubt') then q.manifest else p_manifest[m.kind] end,
        reason = p_reason[m.kind], updated_at = now()
      from (select * from unnest(p_task, p_attempt, p_kind) as m (task_id, attempt, kind)
             where p_to[kind] = any (live) order by task_id) m
      where q.task_id = any (array[m.task_id]) and q.attempt = m.attempt and is_legal_move(q.state, p_to[m.kind])
        and (q.state = 'in_doubt') = p_from_doubt[m.kind] and (p_by[m.kind] is null or q.node_id = p_by[m.kind])
        and not (q.state in ('dispatched', 'running') and p_to[m.kind] in ('waiting', 'queued')
          and exists (select from cancel_requests c where c.task_id = q.task_id and c.attempt = q.attempt))
      returning q.task_id
    ) select coalesce(array_agg(task_id), '{}') into moved from updated;
  end if;

  if not p_to <@ live then
    with gone as (
      delete from queue q
      using (select * from unnest(p_task, p_attempt, p_kind) with ordinality as m (task_id, attempt, kind, n)
              where p_to[kind] <> all (live) order by task_id) m
      where q.task_id = any (array[m.task_id]) and q.attempt = m.attempt and is_legal_move(q.state, p_to[m.kind])
        and (q.state = 'in_doubt') = p_from_doubt[m.kind] and (p_by[m.kind] is null or q.node_id = p_by[m.kind])
      returning m.n, q.task_id, q.manifest
    ), positions as (
      select n, task_id, manifest from gone
      union all select n, null, null from unnest(p_kind) with ordinality as m (kind, n) where p_to[kind] = any (live)
    ) select array_agg(manifest order by n), coalesce(array_agg(task_id) filter (where task_id is not null), '{}')
        into manifests, ended from positions;
  end if;

  if cardinality(moved) + cardinality(ended) <> cardinality(p_task) then
    raise exception 'tasks could not move' using errcode = 'WR002',
      detail = (select coalesce(string_agg(t::text, ' '), '') from unnest(p_task) t
                 where t <> all (moved) and t <> all (ended));
  end if;
  return manifests;
end $$;

-- Ended attempts, with what is open of their manifests counted down. `p_moved` is what `move_tasks` answered for the same
-- positions; `p_manifest` is for tasks that went on. The second part are the kinds.
create or replace function insert_results(
  p_task uuid[], p_attempt integer[], p_kind integer[], p_started_at timestamptz[], p_ended_at timestamptz[], p_output bytea[],
  p_output_sha256 bytea[], p_output_bytes bigint[], p_error jsonb[], p_metadata bytea[],
  p_state text[], p_status text[], p_reason text[], p_node uuid[], p_manifest uuid[], p_receipt uuid[], p_record uuid[],
  p_moved uuid[]
) returns void language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  insert into results (task_id, attempt, state, status, reason, node_id, manifest, receipt, started_at, ended_at, output,
    output_sha256, output_bytes, error, metadata, record_id)
  select task_id, attempt, p_state[kind], p_status[kind], p_reason[kind], p_node[kind], coalesce(moved, p_manifest[kind]),
    p_receipt[kind], started_at, ended_at, output, output_sha256, output_bytes, error, metadata, p_record[kind]
  from unnest(p_task, p_attempt, p_kind, p_started_at, p_ended_at, p_output, p_output_sha256, p_output_bytes, p_error, p_metadata,
    p_moved) as r (task_id, attempt, kind, started_at, ended_at, output, output_sha256, output_bytes, error, metadata, moved);
  update manifests m set open = m.open - c.n
    from (select coalesce(moved, p_manifest[kind]) as jti, count(*)::integer as n from unnest(p_kind, p_moved) as r (kind, moved)
           where coalesce(moved, p_manifest[kind]) is not null group by 1 order by 1) c
   where m.jti = any (array[c.jti]);
end $$;

-- Moves inbox rows into the log as the sequencer chained them. `p_size` and `p_leaf` are the head it chained onto.
-- The inbox is empty whenever its plan is made: settings and the form of the look-up keep it on the index when it is not.
create or replace function sequence_records(
  p_term bigint, p_size bigint, p_leaf bytea, p_pos bigint[], p_leaves bytea[], p_lines bytea[]
) returns void language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  moved bigint;
begin
  perform hold_term(p_term);
  update audit_head set size = p_size + cardinality(p_pos), leaf = p_leaves[cardinality(p_pos)]
   where size = p_size and leaf = p_leaf;
  if not found then
    raise exception 'the head of the log moved' using errcode = 'WR001';
  end if;
  with chained as (
    select * from unnest(p_pos, p_leaves, p_lines) with ordinality as c (pos, leaf, line, n)
  ), taken as (
    delete from audit_inbox i using chained c where i.pos = any (array[c.pos])
    returning c.n, i.id, i.at, i.type, i.outcome, i.actor, i.target, c.leaf, c.line
  )
  insert into audit_log (seq, id, at, type, outcome, actor, target, leaf, line)
  select p_size + n - 1, id, at, type, outcome, actor, target, leaf, line from taken order by n;
  get diagnostics moved = row_count;
  if moved <> cardinality(p_pos) then
    raise exception 'inbox rows vanished' using errcode = 'WR001';
  end if;
end $$;

-- Those of the given tasks that are queued.
create or replace function read_ready_tasks(p_task uuid[]) returns setof ready_task language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from unnest(p_task) p (task_id)
   cross join lateral (select * from queue w where w.task_id = p.task_id and w.state = 'queued' offset 0) q
    join tasks t on t.task_id = any (array[q.task_id]);
end $$;

-- The next queued tasks of one window after a key, in the order of rank.
create or replace function read_window(
  p_requirement integer, p_principal text, p_source text, p_rank bigint, p_task uuid, p_limit integer
) returns setof ready_task language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from queue q join tasks t on t.task_id = any (array[q.task_id])
   where q.requirement = p_requirement and q.principal = p_principal collate "C" and q.source = p_source collate "C"
     and q.rank is not null and (q.rank, q.task_id) > (p_rank, p_task) and q.state = 'queued'
   order by q.rank, q.task_id limit p_limit;
end $$;

-- Makes waiting tasks queued whose time has come, and tells which.
create or replace function wake_due_tasks(p_term bigint, p_priority_ms bigint, p_limit integer)
returns uuid[] language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  due record;
  n integer;
begin
  perform hold_term(p_term);
  select array_agg(d.task_id) as tasks, array_agg(d.attempt) as attempts,
         array_agg((extract(epoch from d.wake_at) * 1000)::bigint - t.priority * p_priority_ms) as ranks
    into due
    from (select q.task_id, q.attempt, q.wake_at from queue q where q.wake_at <= now()
           order by q.wake_at limit p_limit for update skip locked) d
    join tasks t on t.task_id = any (array[d.task_id]);
  n := coalesce(cardinality(due.tasks), 0);
  if n = 0 then return '{}'; end if;
  perform move_tasks(due.tasks, due.attempts, array(select generate_series(1, n)), array_fill('queued'::text, array[n]),
    array_fill(0, array[n]), array_fill(0, array[n]), due.ranks, '{}', '{}', '{}', '{}', '{}', array_fill(false, array[n]));
  return due.tasks;
end $$;
