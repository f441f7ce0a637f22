-- Tasks, the queue of live ones, their manifests, results and receipts, and the functions that move them.

-- What a node must be able to do to run a task, interned: the queue is read by it.
create table requirements (
  requirement integer generated always as identity primary key,
  tool text not null,
  tool_digest text not null,
  constraints jsonb not null,
  unique (tool, tool_digest, constraints)
);
grant select, insert on requirements to writ_service;

-- What was submitted; never changed. `record_id` is the audit record that tells of it.
create table tasks (
  task_id uuid primary key,
  source text not null,
  tool text not null,
  action text not null,
  tool_digest text not null,
  effects text not null check (effects in ('none', 'idempotent', 'destructive')),
  payload bytea not null,
  payload_sha256 bytea not null check (length(payload_sha256) = 32),
  task_sha256 bytea not null check (length(task_sha256) = 32),
  required_role text not null,
  scope text,
  priority smallint not null check (priority between 0 and 100),
  run_at timestamptz,
  expires_at timestamptz,
  timeout_s integer not null check (timeout_s > 0),
  max_attempts smallint not null check (max_attempts > 0),
  retry_initial_s real not null,
  retry_max_s real not null,
  affinity text,
  requirement integer not null references requirements,
  tags jsonb,
  labels jsonb,
  traceparent text,
  requested_by text not null,
  credential_id uuid not null,
  record_id uuid not null,
  created_at timestamptz not null
);
alter table tasks alter column payload set storage external;
grant select, insert on tasks to writ_service;

-- One narrow row for each live task. `rank` is null while it waits and `wake_at` is null while it does not, so that
-- neither index holds what its reader does not want; state and node are in no index, so a dispatch is a HOT update.
create table queue (
  task_id uuid primary key,
  state text not null check (state in ('waiting', 'queued', 'dispatched', 'running', 'in_doubt')),
  attempt integer not null default 0,
  tries integer not null default 0,
  requirement integer not null,
  principal text collate "C" not null,
  source text collate "C" not null,
  rank bigint,
  wake_at timestamptz,
  expires_at timestamptz,
  node_id uuid,
  manifest uuid,
  reason text,
  updated_at timestamptz not null default now(),
  check ((state = 'waiting') = (wake_at is not null)),
  check ((state = 'waiting') = (rank is null)),
  check ((state in ('dispatched', 'running', 'in_doubt')) = (manifest is not null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index queue_ready on queue (requirement, principal, source, rank, task_id) where rank is not null;
create index queue_wake on queue (wake_at) where wake_at is not null;
create index queue_expires on queue (expires_at) where expires_at is not null;
grant select, insert, update, delete on queue to writ_service;

-- One row for each attempt that ended. `state` is set where it ended the task; null where the task went on.
create table results (
  task_id uuid not null,
  attempt integer not null,
  state text check (state in ('succeeded', 'failed', 'cancelled', 'expired')),
  status text check (status in
    ('succeeded', 'failed', 'cancelled', 'timed_out', 'interrupted', 'not_started', 'refused', 'lost')),
  reason text,
  node_id uuid,
  manifest uuid,
  receipt uuid,
  started_at timestamptz,
  ended_at timestamptz,
  output bytea,
  output_sha256 bytea,
  output_bytes bigint,
  error jsonb,
  metadata bytea,
  record_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (task_id, attempt)
);
alter table results alter column output set storage external;
create index results_not_succeeded on results (state, task_id) where state <> 'succeeded';
grant select, insert on results to writ_service;

-- Manifests: evidence (jti, hash, bytes) and the lease record of their orders. Published ones with `open` > 0 are in hand.
create table manifests (
  jti uuid primary key,
  sha256 bytea not null unique check (length(sha256) = 32),
  node_id uuid not null,
  term bigint not null,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  task_ids uuid[] not null,
  attempts integer[] not null,
  open integer not null check (open >= 0),
  record_id uuid not null,
  jws bytea
);
alter table manifests alter column jws set storage external;
create index manifests_open on manifests (node_id, issued_at) where open > 0;
grant select, insert on manifests to writ_service;
grant update (open) on manifests to writ_service;

create table receipts (
  jti uuid primary key,
  sha256 bytea not null unique check (length(sha256) = 32),
  node_id uuid not null,
  boot_id uuid not null,
  seq bigint not null,
  previous_boot uuid,
  previous_seq bigint,
  record_id uuid not null,
  received_at timestamptz not null default now(),
  jws bytea,
  unique (node_id, boot_id, seq)
);
alter table receipts alter column jws set storage external;
grant select, insert on receipts to writ_service;

-- Records that tell of a task beside its submission, manifests and receipts: cancelled, lost, redriven, settled.
create table task_records (
  task_id uuid not null,
  record_id uuid not null,
  primary key (task_id, record_id)
);
grant select, insert on task_records to writ_service;

-- Requests to stop work that a node has in hand; its heartbeat takes them along.
create table cancel_requests (
  task_id uuid primary key,
  attempt integer not null,
  node_id uuid not null,
  reason text not null,
  requested_at timestamptz not null default now()
);
grant select, insert, update, delete on cancel_requests to writ_service;

-- First answers of calls that carried an Idempotency-Key; they go after 24 hours.
create table idempotency_keys (
  principal text collate "C" not null,
  key text collate "C" not null,
  body_sha256 bytea not null,
  status smallint not null,
  location text,
  answer bytea not null,
  created_at timestamptz not null default now(),
  primary key (principal, key)
);
create index idempotency_keys_age on idempotency_keys using brin (created_at);
grant select, insert, delete on idempotency_keys to writ_service;

-- The legal moves between states, the same as in the domain's table.
create function is_legal_move(p_from text, p_to text) returns boolean language sql immutable parallel safe as $$
  select p_from || ' ' || p_to = any (array[
    'new waiting', 'new queued',
    'waiting queued', 'waiting cancelled', 'waiting expired',
    'queued dispatched', 'queued cancelled', 'queued expired',
    'dispatched running', 'dispatched succeeded', 'dispatched failed', 'dispatched waiting', 'dispatched queued',
    'dispatched cancelled', 'dispatched in_doubt',
    'running succeeded', 'running failed', 'running waiting', 'running queued', 'running cancelled', 'running in_doubt',
    'in_doubt succeeded', 'in_doubt failed', 'in_doubt queued',
    'failed queued', 'cancelled queued', 'expired queued'
  ])
$$;

-- The one function that changes a live task's state. One element for each task; `p_attempt` is the fence. Legal moves
-- alone are made; a task moves from `in_doubt` only where `p_from_doubt` says that this is meant, and work whose cancel was
-- asked for does not go again. Where `p_by` names a
-- node, that node must hold the attempt. An end state deletes the row: the caller writes the result in the same
-- transaction, and gets for each position the manifest that an ended task was under. Fails with WR002 and the ids of those
-- that could not move in its detail, moving none.
-- The queue is planned while it is empty: the settings keep each row found by its key whatever the statistics say.
create function move_tasks(
  p_task uuid[], p_attempt integer[], p_to text[], p_next_attempt integer[], p_tries integer[],
  p_rank bigint[], p_wake timestamptz[], p_node uuid[], p_manifest uuid[], p_reason text[],
  p_by uuid[], p_from_doubt boolean[]
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
    with m as materialized (
      select * from unnest(p_task, p_attempt, p_to, p_next_attempt, p_tries, p_rank, p_wake, p_node, p_manifest, p_reason,
                           p_by, p_from_doubt)
        as m (task_id, attempt, to_state, next_attempt, tries, rank, wake_at, node_id, manifest, reason, by_node, from_doubt)
       where to_state = any (live) order by task_id
    ), updated as (
      update queue q set
        state = m.to_state, attempt = m.next_attempt, tries = q.tries + m.tries,
        rank = case when m.to_state = 'waiting' then null else coalesce(m.rank, q.rank) end, wake_at = m.wake_at,
        node_id = case when m.to_state in ('running', 'in_doubt') then q.node_id else m.node_id end,
        manifest = case when m.to_state in ('running', 'in_doubt') then q.manifest else m.manifest end,
        reason = m.reason, updated_at = now()
      from m
      where q.task_id = m.task_id and q.attempt = m.attempt and is_legal_move(q.state, m.to_state)
        and (q.state = 'in_doubt') = m.from_doubt and (m.by_node is null or q.node_id = m.by_node)
        and not (q.state in ('dispatched', 'running') and m.to_state in ('waiting', 'queued')
          and exists (select from cancel_requests c where c.task_id = q.task_id and c.attempt = q.attempt))
      returning q.task_id
    ) select coalesce(array_agg(task_id), '{}') into moved from updated;
  end if;

  if not p_to <@ live then
    with m as materialized (
      select * from unnest(p_task, p_attempt, p_to, p_by, p_from_doubt) with ordinality
        as m (task_id, attempt, to_state, by_node, from_doubt, n) order by task_id
    ), gone as (
      delete from queue q using m
      where q.task_id = m.task_id and q.attempt = m.attempt and m.to_state <> all (live)
        and is_legal_move(q.state, m.to_state)
        and (q.state = 'in_doubt') = m.from_doubt and (m.by_node is null or q.node_id = m.by_node)
      returning m.n, q.task_id, q.manifest
    ), positions as (
      select n, task_id, manifest from gone
      union all select m.n, null, null from m where m.to_state = any (live)
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

-- Tasks and their queue rows, one element for each task.
create function insert_tasks(
  p_task uuid[], p_source text[], p_tool text[], p_action text[], p_tool_digest text[], p_effects text[],
  p_payload bytea[], p_payload_sha256 bytea[], p_task_sha256 bytea[], p_required_role text[], p_scope text[],
  p_priority smallint[], p_run_at timestamptz[], p_expires_at timestamptz[], p_timeout_s integer[],
  p_max_attempts smallint[], p_retry_initial_s real[], p_retry_max_s real[], p_affinity text[], p_requirement integer[],
  p_tags jsonb[], p_labels jsonb[], p_traceparent text[], p_requested_by text[], p_credential uuid[], p_record uuid[],
  p_created_at timestamptz[], p_rank bigint[], p_wake timestamptz[]
) returns void language plpgsql as $$
begin
  insert into tasks (task_id, source, tool, action, tool_digest, effects, payload, payload_sha256, task_sha256,
    required_role, scope, priority, run_at, expires_at, timeout_s, max_attempts, retry_initial_s, retry_max_s, affinity,
    requirement, tags, labels, traceparent, requested_by, credential_id, record_id, created_at)
  select * from unnest(p_task, p_source, p_tool, p_action, p_tool_digest, p_effects, p_payload, p_payload_sha256,
    p_task_sha256, p_required_role, p_scope, p_priority, p_run_at, p_expires_at, p_timeout_s, p_max_attempts,
    p_retry_initial_s, p_retry_max_s, p_affinity, p_requirement, p_tags, p_labels, p_traceparent, p_requested_by,
    p_credential, p_record, p_created_at);

  insert into queue (task_id, state, requirement, principal, source, rank, wake_at, expires_at)
  select task_id, case when wake_at is null then 'queued' else 'waiting' end, requirement, principal, source,
         case when wake_at is null then rank end, wake_at, expires_at
    from unnest(p_task, p_requirement, p_requested_by, p_source, p_rank, p_wake, p_expires_at)
      as t (task_id, requirement, principal, source, rank, wake_at, expires_at);
end $$;

-- Takes idempotency keys for the calls of a submission. Fails with WR003 and the (1-based) positions of calls whose key
-- is taken in its detail; a call in progress elsewhere is waited for.
create function claim_idempotency_keys(
  p_principal text[], p_key text[], p_body_sha256 bytea[], p_status smallint[], p_location text[], p_answer bytea[]
) returns void language plpgsql as $$
declare
  taken text;
begin
  with calls as (
    select * from unnest(p_principal, p_key, p_body_sha256, p_status, p_location, p_answer)
      with ordinality as c (principal, key, body_sha256, status, location, answer, n)
  ), claimed as (
    insert into idempotency_keys (principal, key, body_sha256, status, location, answer)
    select principal, key, body_sha256, status, location, answer from calls where key is not null
    on conflict do nothing
    returning principal, key, answer
  )
  select string_agg(n::text, ' ') into taken from calls c
   where key is not null
     and not exists (select from claimed k where k.principal = c.principal and k.key = c.key and k.answer = c.answer);
  if taken is not null then
    raise exception 'idempotency keys are taken' using errcode = 'WR003', detail = taken;
  end if;
end $$;

-- Manifests with their orders: `p_of` gives for each order the (1-based) position of its manifest. Queue rows move to
-- `dispatched`; all of it or, with WR001 or WR002, nothing.
create function issue_manifests(
  p_term bigint, p_jti uuid[], p_sha256 bytea[], p_node uuid[], p_issued_at timestamptz[], p_expires_at timestamptz[],
  p_record uuid[], p_jws bytea[], p_of integer[], p_task uuid[], p_attempt integer[]
) returns void language plpgsql as $$
begin
  perform hold_term(p_term);
  -- A record that tells of a manifest outside of its time would contradict it for ever (formats.md rule 12).
  if exists (select from unnest(p_issued_at, p_expires_at) t (issued_at, expires_at)
              where clock_timestamp() not between issued_at - interval '25 seconds' and expires_at) then
    raise exception 'a manifest was signed at another time than now' using errcode = 'WR005';
  end if;
  perform move_tasks(
    p_task, array(select a - 1 from unnest(p_attempt) a), array_fill('dispatched'::text, array[cardinality(p_task)]),
    p_attempt, array_fill(1, array[cardinality(p_task)]), array_fill(null::bigint, array[cardinality(p_task)]),
    array_fill(null::timestamptz, array[cardinality(p_task)]), array(select p_node[n] from unnest(p_of) n),
    array(select p_jti[n] from unnest(p_of) n), array_fill(null::text, array[cardinality(p_task)]),
    array_fill(null::uuid, array[cardinality(p_task)]), array_fill(false, array[cardinality(p_task)]));
  insert into manifests (jti, sha256, node_id, term, issued_at, expires_at, task_ids, attempts, open, record_id, jws)
  select m.jti, m.sha256, m.node_id, p_term, m.issued_at, m.expires_at, o.task_ids, o.attempts, cardinality(o.task_ids),
         m.record_id, m.jws
    from unnest(p_jti, p_sha256, p_node, p_issued_at, p_expires_at, p_record, p_jws)
      with ordinality as m (jti, sha256, node_id, issued_at, expires_at, record_id, jws, n)
    join (select o.n, array_agg(o.task_id order by o.i) as task_ids, array_agg(o.attempt order by o.i) as attempts
            from unnest(p_of, p_task, p_attempt) with ordinality as o (n, task_id, attempt, i) group by o.n) o on o.n = m.n;
end $$;

-- Receipts that have arrived: evidence first. Fails with WR004 and the jtis that are known already in its detail.
create function insert_receipts(
  p_jti uuid[], p_sha256 bytea[], p_node uuid[], p_boot uuid[], p_seq bigint[], p_previous_boot uuid[],
  p_previous_seq bigint[], p_record uuid[], p_jws bytea[]
) returns void language plpgsql as $$
declare
  known text;
begin
  with taken as (
    insert into receipts (jti, sha256, node_id, boot_id, seq, previous_boot, previous_seq, record_id, jws)
    select * from unnest(p_jti, p_sha256, p_node, p_boot, p_seq, p_previous_boot, p_previous_seq, p_record, p_jws)
    on conflict do nothing returning jti
  ) select string_agg(j::text, ' ') into known from unnest(p_jti) j where j not in (select jti from taken);
  if known is not null then
    raise exception 'receipts are known' using errcode = 'WR004', detail = known;
  end if;
end $$;

-- Ended attempts, with what is open of their manifests counted down. `p_moved` is what `move_tasks` answered for the same
-- positions; `p_manifest` is for tasks that went on.
create function insert_results(
  p_task uuid[], p_attempt integer[], p_state text[], p_status text[], p_reason text[], p_node uuid[], p_manifest uuid[],
  p_receipt uuid[], p_started_at timestamptz[], p_ended_at timestamptz[], p_output bytea[], p_output_sha256 bytea[],
  p_output_bytes bigint[], p_error jsonb[], p_metadata bytea[], p_record uuid[], p_moved uuid[]
) returns void language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  insert into results (task_id, attempt, state, status, reason, node_id, manifest, receipt, started_at, ended_at, output,
    output_sha256, output_bytes, error, metadata, record_id)
  select r.task_id, r.attempt, r.state, r.status, r.reason, r.node_id, coalesce(r.moved, r.manifest), r.receipt, r.started_at,
    r.ended_at, r.output, r.output_sha256, r.output_bytes, r.error, r.metadata, r.record_id
  from unnest(p_task, p_attempt, p_state, p_status, p_reason, p_node, p_manifest, p_receipt, p_started_at, p_ended_at,
    p_output, p_output_sha256, p_output_bytes, p_error, p_metadata, p_record, p_moved)
    as r (task_id, attempt, state, status, reason, node_id, manifest, receipt, started_at, ended_at, output, output_sha256,
          output_bytes, error, metadata, record_id, moved);
  update manifests m set open = m.open - c.n
    from (select coalesce(r.moved, r.manifest) as jti, count(*)::integer as n from unnest(p_manifest, p_moved) as r (manifest, moved)
           where coalesce(r.moved, r.manifest) is not null group by 1 order by 1) c
   where m.jti = c.jti;
end $$;

-- What the scheduler holds of a queued task. Payloads of over 4 KiB are left out.
create type ready_task as (
  task_id uuid, attempt integer, rank bigint, requirement integer, principal text, source text, expires_at timestamptz,
  tool text, action text, tool_digest text, effects text, timeout_s integer, scope text, required_role text,
  credential_id uuid, payload_sha256 bytea, payload bytea, affinity text, traceparent text
);

-- The next queued tasks of one window after a key, in the order of rank.
create function read_window(
  p_requirement integer, p_principal text, p_source text, p_rank bigint, p_task uuid, p_limit integer
) returns setof ready_task language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from queue q join tasks t on t.task_id = q.task_id
   where q.requirement = p_requirement and q.principal = p_principal collate "C" and q.source = p_source collate "C"
     and q.rank is not null and (q.rank, q.task_id) > (p_rank, p_task) and q.state = 'queued'
   order by q.rank, q.task_id limit p_limit;
end $$;

-- Those of the given tasks that are queued.
create function read_ready_tasks(p_task uuid[]) returns setof ready_task language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from unnest(p_task) p (task_id) join queue q on q.task_id = p.task_id join tasks t on t.task_id = q.task_id
   where q.rank is not null and q.state = 'queued';
end $$;

-- Each (requirement, principal, source) that has work, found by skipping through the index.
create function list_windows() returns table (requirement integer, principal text, source text) language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return query
  with recursive w as (
    (select q.requirement, q.principal, q.source from queue q where q.rank is not null
      order by q.requirement, q.principal, q.source limit 1)
    union all
    select n.requirement, n.principal, n.source from w cross join lateral (
      select q.requirement, q.principal, q.source from queue q
       where q.rank is not null and (q.requirement, q.principal, q.source) > (w.requirement, w.principal, w.source)
       order by q.requirement, q.principal, q.source limit 1) n
  ) select w.requirement, w.principal::text, w.source::text from w;
end $$;

-- Makes waiting tasks queued whose time has come, and tells which.
create function wake_due_tasks(p_term bigint, p_priority_ms bigint, p_limit integer)
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
    from (select q.task_id, q.attempt, q.wake_at from queue q where q.wake_at <= clock_timestamp()
           order by q.wake_at limit p_limit for update skip locked) d
    join tasks t on t.task_id = d.task_id;
  n := coalesce(cardinality(due.tasks), 0);
  if n = 0 then return '{}'; end if;
  perform move_tasks(due.tasks, due.attempts, array_fill('queued'::text, array[n]), due.attempts,
    array_fill(0, array[n]), due.ranks, array_fill(null::timestamptz, array[n]), array_fill(null::uuid, array[n]),
    array_fill(null::uuid, array[n]), array_fill(null::text, array[n]), array_fill(null::uuid, array[n]),
    array_fill(false, array[n]));
  return due.tasks;
end $$;

-- Notes which records tell of which tasks, beside submissions, manifests and receipts.
create function insert_task_records(p_task uuid[], p_record uuid[]) returns void language plpgsql as $$
begin
  insert into task_records (task_id, record_id) select * from unnest(p_task, p_record) on conflict do nothing;
end $$;
