-- Rows of one call have most of their values in common: those are sent once for each combination, and a row names its combination, its
-- kind, by position. Arrays of columns that are null in every row are empty.

-- Requirements are never taken away, and a task's is interned before it: there is nothing to look up for each row.
alter table tasks drop constraint tasks_requirement_fkey;

-- A dispatched row is longer than a queued one: its page has room for both, so that a dispatch touches no index.
alter table queue set (fillfactor = 40);
-- Ids do not compress.
alter table manifests alter column task_ids set storage external, alter column attempts set storage external;
-- Records wait here for milliseconds: compressing them costs more than it spares.
alter table audit_inbox
  alter column before_prev set storage external, alter column before_seq set storage external,
  alter column before_ts set storage external, alter column after_ts set storage external;

-- Deleted in the order of their age, a little at a time.
drop index idempotency_keys_age;
create index idempotency_keys_age on idempotency_keys (created_at);
create index cancel_requests_node on cancel_requests (node_id);
-- What was refused or failed is rare, and what is looked for. Times are found by checkpoints.
create index audit_log_exceptions on audit_log (outcome, seq) where outcome in ('deny', 'failure', 'error');
drop index audit_log_at;
create index checkpoints_at on checkpoints (at);

drop function insert_tasks;
drop function issue_manifests;
drop function insert_results;

-- Tasks and their queue rows. The second part are the kinds.
create function insert_tasks(
  p_task uuid[], p_kind integer[], p_payload bytea[], p_payload_sha256 bytea[], p_task_sha256 bytea[], p_traceparent text[],
  p_source text[], p_tool text[], p_action text[], p_tool_digest text[], p_effects text[], p_required_role text[], p_scope text[],
  p_priority smallint[], p_run_at timestamptz[], p_expires_at timestamptz[], p_timeout_s integer[], p_max_attempts smallint[],
  p_retry_initial_s real[], p_retry_max_s real[], p_affinity text[], p_requirement integer[], p_tags jsonb[], p_labels jsonb[],
  p_requested_by text[], p_credential uuid[], p_record uuid[], p_created_at timestamptz[], p_rank bigint[], p_wake timestamptz[]
) returns void language plpgsql as $$
begin
  insert into tasks (task_id, source, tool, action, tool_digest, effects, payload, payload_sha256, task_sha256,
    required_role, scope, priority, run_at, expires_at, timeout_s, max_attempts, retry_initial_s, retry_max_s, affinity,
    requirement, tags, labels, traceparent, requested_by, credential_id, record_id, created_at)
  select task_id, p_source[kind], p_tool[kind], p_action[kind], p_tool_digest[kind], p_effects[kind], payload, payload_sha256,
    task_sha256, p_required_role[kind], p_scope[kind], p_priority[kind], p_run_at[kind], p_expires_at[kind], p_timeout_s[kind],
    p_max_attempts[kind], p_retry_initial_s[kind], p_retry_max_s[kind], p_affinity[kind], p_requirement[kind], p_tags[kind],
    p_labels[kind], traceparent, p_requested_by[kind], p_credential[kind], p_record[kind], p_created_at[kind]
  from unnest(p_task, p_kind, p_payload, p_payload_sha256, p_task_sha256, p_traceparent)
    as t (task_id, kind, payload, payload_sha256, task_sha256, traceparent);

  insert into queue (task_id, state, requirement, principal, source, rank, wake_at, expires_at)
  select task_id, case when p_wake[kind] is null then 'queued' else 'waiting' end, p_requirement[kind], p_requested_by[kind],
         p_source[kind], case when p_wake[kind] is null then p_rank[kind] end, p_wake[kind], p_expires_at[kind]
    from unnest(p_task, p_kind) as t (task_id, kind);
end $$;

drop function move_tasks;

-- The one function that changes a live task's state. One element for each task, the rest by kind; `p_attempt` is the fence, and the row gets
-- `p_step` more. Legal moves alone are made; a task moves from `in_doubt` only where `p_from_doubt` says that this is meant, and work
-- whose cancel was asked for does not go again. Where `p_by` names a node, that node must hold the attempt. An end state deletes the
-- row: the caller writes the result in the same transaction, and gets for each position the manifest that an ended task was under.
-- Fails with WR002 and the ids of those that could not move in its detail, moving none.
-- The queue is planned while it is empty: the settings keep each row found by its key whatever the statistics say.
create function move_tasks(
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
      select from unnest(p_task) t (task_id) join queue q on q.task_id = t.task_id order by t.task_id for update of q) l;
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
      where q.task_id = m.task_id and q.attempt = m.attempt and is_legal_move(q.state, p_to[m.kind])
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
      where q.task_id = m.task_id and q.attempt = m.attempt and is_legal_move(q.state, p_to[m.kind])
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

-- Manifests with their orders: `p_of` gives for each order the (1-based) position of its manifest, `p_attempt` the attempt before it.
-- Queue rows move to `dispatched`; all of it or, with WR001 or WR002, nothing.
create function issue_manifests(
  p_term bigint, p_jti uuid[], p_sha256 bytea[], p_node uuid[], p_issued_at timestamptz[], p_expires_at timestamptz[],
  p_record uuid[], p_jws bytea[], p_of integer[], p_task uuid[], p_attempt integer[]
) returns void language plpgsql as $$
declare
  n constant integer[] := array[cardinality(p_jti)];
begin
  perform hold_term(p_term);
  -- A record that tells of a manifest outside of its time would contradict it for ever (formats.md rule 12).
  if exists (select from unnest(p_issued_at, p_expires_at) t (issued_at, expires_at)
              where clock_timestamp() not between issued_at - interval '25 seconds' and expires_at) then
    raise exception 'a manifest was signed at another time than now' using errcode = 'WR005';
  end if;
  perform move_tasks(p_task, p_attempt, p_of, array_fill('dispatched'::text, n), array_fill(1, n), array_fill(1, n), '{}', '{}',
    p_node, p_jti, '{}', '{}', array_fill(false, n));
  insert into manifests (jti, sha256, node_id, term, issued_at, expires_at, task_ids, attempts, open, record_id, jws)
  select m.jti, m.sha256, m.node_id, p_term, m.issued_at, m.expires_at, o.task_ids, o.attempts, cardinality(o.task_ids),
         m.record_id, m.jws
    from unnest(p_jti, p_sha256, p_node, p_issued_at, p_expires_at, p_record, p_jws)
      with ordinality as m (jti, sha256, node_id, issued_at, expires_at, record_id, jws, n)
    join (select o.n, array_agg(o.task_id order by o.i) as task_ids, array_agg(o.attempt + 1 order by o.i) as attempts
            from unnest(p_of, p_task, p_attempt) with ordinality as o (n, task_id, attempt, i) group by o.n) o on o.n = m.n;
end $$;

-- Ended attempts, with what is open of their manifests counted down. `p_moved` is what `move_tasks` answered for the same
-- positions; `p_manifest` is for tasks that went on. The second part are the kinds.
create function insert_results(
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
   where m.jti = c.jti;
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
    join tasks t on t.task_id = d.task_id;
  n := coalesce(cardinality(due.tasks), 0);
  if n = 0 then return '{}'; end if;
  perform move_tasks(due.tasks, due.attempts, array(select generate_series(1, n)), array_fill('queued'::text, array[n]),
    array_fill(0, array[n]), array_fill(0, array[n]), due.ranks, '{}', '{}', '{}', '{}', '{}', array_fill(false, array[n]));
  return due.tasks;
end $$;

-- How many orders each node has in hand. Attempts that are in doubt hold their manifests open long after these have expired: those are
-- looked at one by one, the others are counted by their manifests.
create function count_in_flight() returns table (node_id uuid, n bigint) language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  return query
  select f.node_id, sum(f.n)::bigint from (
    select m.node_id, m.open::bigint as n from manifests m where m.open > 0 and m.expires_at > now()
    union all
    select m.node_id, count(*) from manifests m cross join lateral unnest(m.task_ids, m.attempts) o (task_id, attempt)
      cross join lateral (select w.state from queue w where w.task_id = o.task_id and w.attempt = o.attempt and w.manifest = m.jti
                           offset 0) q
     where m.open > 0 and m.expires_at <= now() and q.state in ('dispatched', 'running') group by m.node_id
  ) f group by f.node_id;
end $$;
