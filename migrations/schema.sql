-- The schema that the migrations make. Written by "npm run schema"; change it by a migration.

-- Tables

create table audit_head (
  origin text not null,
  size bigint not null,
  leaf bytea not null
);

create table audit_inbox (
  pos bigint not null generated always as identity,
  id uuid not null,
  at timestamp with time zone not null default date_trunc('milliseconds'::text, clock_timestamp()),
  type text not null,
  outcome text not null,
  actor text,
  target text,
  before_prev text storage external not null,
  before_seq text storage external not null,
  before_ts text storage external not null,
  after_ts text storage external not null
);

create table audit_log (
  seq bigint not null,
  id uuid not null,
  at timestamp with time zone not null,
  type text not null,
  outcome text not null,
  actor text,
  target text,
  leaf bytea not null,
  line bytea storage external not null
);

create table audit_tiles (
  level smallint not null,
  n bigint not null,
  hashes bytea not null,
  root bytea not null
);

create table cancel_requests (
  task_id uuid not null,
  attempt integer not null,
  node_id uuid not null,
  reason text not null,
  requested_at timestamp with time zone not null default now()
);

create table checkpoints (
  size bigint not null,
  root bytea not null,
  note text not null,
  at timestamp with time zone not null default clock_timestamp()
);

create table dead_events (
  dead_event_id bigint not null generated always as identity,
  feed text not null,
  audit_seq bigint not null,
  message_id uuid not null,
  type text not null,
  body bytea not null,
  reason text not null,
  attempts integer not null,
  created_at timestamp with time zone not null default now()
);

create table feed_epochs (
  feed text not null,
  epoch uuid not null,
  since timestamp with time zone not null default now()
);

create table idempotency_keys (
  principal text not null,
  key text not null,
  body_sha256 bytea not null,
  status smallint not null,
  location text,
  answer bytea not null,
  created_at timestamp with time zone not null default now()
);

create table leader (
  term bigint not null,
  holder uuid not null,
  expires_at timestamp with time zone not null
);

create table manifests (
  jti uuid not null,
  sha256 bytea not null,
  node_id uuid not null,
  term bigint not null,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  task_ids uuid[] storage external not null,
  attempts integer[] storage external not null,
  open integer not null,
  record_id uuid not null,
  jws bytea storage external
);

create table migrations (
  number integer not null,
  name text not null,
  sha256 text not null,
  applied_at timestamp with time zone not null default now()
);

create table node_credentials (
  sha256 bytea not null,
  node_id uuid not null,
  generation integer not null,
  issued_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null
);

create table nodes (
  node_id uuid not null,
  name text not null,
  status text not null,
  slots integer not null,
  labels jsonb not null,
  capabilities jsonb not null,
  kid text not null,
  jwk jsonb not null,
  credential_sha256 bytea not null,
  join_token uuid not null,
  boot_id uuid,
  metrics jsonb,
  registered_at timestamp with time zone not null default now(),
  last_heartbeat timestamp with time zone,
  lease_until timestamp with time zone not null,
  generation integer not null default 1,
  promoted_at timestamp with time zone not null default now(),
  credential_expires_at timestamp with time zone not null default (now() + '7 days'::interval),
  described_at timestamp with time zone not null default now()
) with (fillfactor=50);

create table projections (
  name text not null,
  next_seq bigint not null,
  last_seq bigint
);

create table queue (
  task_id uuid not null,
  state text not null,
  attempt integer not null default 0,
  tries integer not null default 0,
  requirement integer not null,
  principal text not null,
  source text not null,
  rank bigint,
  wake_at timestamp with time zone,
  expires_at timestamp with time zone,
  node_id uuid,
  manifest uuid,
  reason text,
  updated_at timestamp with time zone not null default now()
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000, fillfactor=40);

create table receipts (
  jti uuid not null,
  sha256 bytea not null,
  node_id uuid not null,
  boot_id uuid not null,
  seq bigint not null,
  previous_boot uuid,
  previous_seq bigint,
  record_id uuid not null,
  received_at timestamp with time zone not null default now(),
  jws bytea storage external
);

create table requirements (
  requirement integer not null generated always as identity,
  tool text not null,
  tool_digest text not null,
  constraints jsonb not null
);

create table results (
  task_id uuid not null,
  attempt integer not null,
  state text,
  status text,
  reason text,
  node_id uuid,
  manifest uuid,
  receipt uuid,
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  output bytea storage external,
  output_sha256 bytea,
  output_bytes bigint,
  error jsonb,
  metadata bytea,
  record_id uuid not null,
  created_at timestamp with time zone not null default now()
);

create table scopes (
  name text not null,
  definition jsonb not null,
  version bigint not null,
  updated_at timestamp with time zone not null default now()
);

create table task_records (
  task_id uuid not null,
  record_id uuid not null
);

create table tasks (
  task_id uuid not null,
  source text not null,
  tool text not null,
  action text not null,
  tool_digest text not null,
  effects text not null,
  payload bytea storage external not null,
  payload_sha256 bytea not null,
  task_sha256 bytea not null,
  required_role text not null,
  scope text,
  priority smallint not null,
  run_at timestamp with time zone,
  expires_at timestamp with time zone,
  timeout_s integer not null,
  max_attempts smallint not null,
  retry_initial_s real not null,
  retry_max_s real not null,
  affinity text,
  requirement integer not null,
  tags jsonb,
  labels jsonb,
  traceparent text,
  requested_by text not null,
  credential_id uuid not null,
  record_id uuid not null,
  created_at timestamp with time zone not null
);

create table tokens (
  token_id uuid not null,
  sha256 bytea not null,
  prefix text not null,
  kind text not null,
  name text not null,
  roles text[] not null,
  scope text,
  networks text[] not null,
  created_by text not null,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  revoked_at timestamp with time zone,
  last_used_at timestamp with time zone,
  used_by uuid
);

create table trusted_keys (
  kid text not null,
  use text not null,
  jwk jsonb not null,
  vkey text,
  node_id uuid,
  trusted_from timestamp with time zone not null,
  trusted_until timestamp with time zone,
  record_id uuid not null,
  key_version integer,
  signs_from timestamp with time zone
);

-- Sequences

create sequence audit_inbox_pos_seq as bigint start 1 increment 1;

create sequence dead_events_dead_event_id_seq as bigint start 1 increment 1;

create sequence requirements_requirement_seq as integer start 1 increment 1;

create sequence scope_versions as bigint start 1 increment 1;

-- Constraints

alter table audit_head add constraint audit_head_leaf_check CHECK ((length(leaf) = 32));

alter table audit_head add constraint audit_head_pkey PRIMARY KEY (origin);

alter table audit_inbox add constraint audit_inbox_pkey PRIMARY KEY (pos);

alter table audit_log add constraint audit_log_id_key UNIQUE (id);

alter table audit_log add constraint audit_log_leaf_check CHECK ((length(leaf) = 32));

alter table audit_log add constraint audit_log_line_check CHECK ((length(line) <= 65535));

alter table audit_log add constraint audit_log_pkey PRIMARY KEY (seq);

alter table audit_tiles add constraint audit_tiles_hashes_check CHECK ((length(hashes) = 8192));

alter table audit_tiles add constraint audit_tiles_pkey PRIMARY KEY (level, n);

alter table audit_tiles add constraint audit_tiles_root_check CHECK ((length(root) = 32));

alter table cancel_requests add constraint cancel_requests_pkey PRIMARY KEY (task_id);

alter table checkpoints add constraint checkpoints_pkey PRIMARY KEY (size);

alter table checkpoints add constraint checkpoints_root_check CHECK ((length(root) = 32));

alter table dead_events add constraint dead_events_feed_check CHECK ((feed = ANY (ARRAY['events'::text, 'batches'::text])));

alter table dead_events add constraint dead_events_feed_message_id_key UNIQUE (feed, message_id);

alter table dead_events add constraint dead_events_pkey PRIMARY KEY (dead_event_id);

alter table feed_epochs add constraint feed_epochs_feed_check CHECK ((feed = ANY (ARRAY['events'::text, 'batches'::text])));

alter table feed_epochs add constraint feed_epochs_pkey PRIMARY KEY (feed);

alter table idempotency_keys add constraint idempotency_keys_pkey PRIMARY KEY (principal, key);

alter table leader add constraint leader_pkey PRIMARY KEY (term);

alter table manifests add constraint manifests_open_check CHECK ((open >= 0));

alter table manifests add constraint manifests_pkey PRIMARY KEY (jti);

alter table manifests add constraint manifests_sha256_check CHECK ((length(sha256) = 32));

alter table manifests add constraint manifests_sha256_key UNIQUE (sha256);

alter table migrations add constraint migrations_pkey PRIMARY KEY (number);

alter table node_credentials add constraint node_credentials_generation_check CHECK ((generation >= 1));

alter table node_credentials add constraint node_credentials_node_id_fkey FOREIGN KEY (node_id) REFERENCES nodes(node_id);

alter table node_credentials add constraint node_credentials_pkey PRIMARY KEY (sha256);

alter table node_credentials add constraint node_credentials_sha256_check CHECK ((length(sha256) = 32));

alter table nodes add constraint nodes_credential_sha256_check CHECK ((length(credential_sha256) = 32));

alter table nodes add constraint nodes_credential_sha256_key UNIQUE (credential_sha256);

alter table nodes add constraint nodes_generation_check CHECK ((generation >= 1));

alter table nodes add constraint nodes_join_token_fkey FOREIGN KEY (join_token) REFERENCES tokens(token_id);

alter table nodes add constraint nodes_join_token_key UNIQUE (join_token);

alter table nodes add constraint nodes_kid_key UNIQUE (kid);

alter table nodes add constraint nodes_pkey PRIMARY KEY (node_id);

alter table nodes add constraint nodes_slots_check CHECK ((slots >= 0));

alter table nodes add constraint nodes_status_check CHECK ((status = ANY (ARRAY['active'::text, 'unhealthy'::text, 'quarantined'::text, 'gone'::text])));

alter table projections add constraint projections_pkey PRIMARY KEY (name);

alter table queue add constraint queue_check CHECK (((state = 'waiting'::text) = (wake_at IS NOT NULL)));

alter table queue add constraint queue_check1 CHECK (((state = 'waiting'::text) = (rank IS NULL)));

alter table queue add constraint queue_check2 CHECK (((state = ANY (ARRAY['dispatched'::text, 'running'::text, 'in_doubt'::text])) = (manifest IS NOT NULL)));

alter table queue add constraint queue_pkey PRIMARY KEY (task_id);

alter table queue add constraint queue_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'queued'::text, 'dispatched'::text, 'running'::text, 'in_doubt'::text])));

alter table receipts add constraint receipts_node_id_boot_id_seq_key UNIQUE (node_id, boot_id, seq);

alter table receipts add constraint receipts_pkey PRIMARY KEY (jti);

alter table receipts add constraint receipts_sha256_check CHECK ((length(sha256) = 32));

alter table receipts add constraint receipts_sha256_key UNIQUE (sha256);

alter table requirements add constraint requirements_pkey PRIMARY KEY (requirement);

alter table requirements add constraint requirements_tool_tool_digest_constraints_key UNIQUE (tool, tool_digest, constraints);

alter table results add constraint results_pkey PRIMARY KEY (task_id, attempt);

alter table results add constraint results_state_check CHECK ((state = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text, 'expired'::text])));

alter table results add constraint results_status_check CHECK ((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text, 'timed_out'::text, 'interrupted'::text, 'not_started'::text, 'refused'::text, 'lost'::text])));

alter table scopes add constraint scopes_pkey PRIMARY KEY (name);

alter table task_records add constraint task_records_pkey PRIMARY KEY (task_id, record_id);

alter table tasks add constraint tasks_effects_check CHECK ((effects = ANY (ARRAY['none'::text, 'idempotent'::text, 'destructive'::text])));

alter table tasks add constraint tasks_max_attempts_check CHECK ((max_attempts > 0));

alter table tasks add constraint tasks_payload_sha256_check CHECK ((length(payload_sha256) = 32));

alter table tasks add constraint tasks_pkey PRIMARY KEY (task_id);

alter table tasks add constraint tasks_priority_check CHECK (((priority >= 0) AND (priority <= 100)));

alter table tasks add constraint tasks_task_sha256_check CHECK ((length(task_sha256) = 32));

alter table tasks add constraint tasks_timeout_s_check CHECK ((timeout_s > 0));

alter table tokens add constraint tokens_kind_check CHECK ((kind = ANY (ARRAY['pat'::text, 'svc'::text, 'join'::text])));

alter table tokens add constraint tokens_pkey PRIMARY KEY (token_id);

alter table tokens add constraint tokens_sha256_check CHECK ((length(sha256) = 32));

alter table tokens add constraint tokens_sha256_key UNIQUE (sha256);

alter table trusted_keys add constraint trusted_keys_key_version_check CHECK ((key_version >= 1));

alter table trusted_keys add constraint trusted_keys_pkey PRIMARY KEY (kid);

alter table trusted_keys add constraint trusted_keys_use_check CHECK ((use = ANY (ARRAY['manifest'::text, 'node'::text, 'log'::text])));

alter table trusted_keys add constraint trusted_keys_version_of_manifest_key CHECK (((key_version IS NULL) = (signs_from IS NULL)));

-- Indexes

CREATE UNIQUE INDEX audit_head_single ON public.audit_head USING btree ((true));

CREATE INDEX audit_log_actor ON public.audit_log USING btree (actor, seq);

CREATE INDEX audit_log_exceptions ON public.audit_log USING btree (outcome, seq) WHERE (outcome = ANY (ARRAY['deny'::text, 'failure'::text, 'error'::text]));

CREATE INDEX audit_log_target ON public.audit_log USING btree (target, seq) WHERE (target IS NOT NULL);

CREATE INDEX audit_log_type ON public.audit_log USING btree (type, seq);

CREATE INDEX cancel_requests_node ON public.cancel_requests USING btree (node_id);

CREATE INDEX checkpoints_at ON public.checkpoints USING btree (at);

CREATE INDEX idempotency_keys_age ON public.idempotency_keys USING btree (created_at);

CREATE UNIQUE INDEX leader_single ON public.leader USING btree ((true));

CREATE INDEX manifests_open ON public.manifests USING btree (node_id, issued_at) WHERE (open > 0);

CREATE INDEX node_credentials_by_node ON public.node_credentials USING btree (node_id, generation);

CREATE INDEX queue_expires ON public.queue USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX queue_ready ON public.queue USING btree (requirement, principal, source, rank, task_id) WHERE (rank IS NOT NULL);

CREATE INDEX queue_wake ON public.queue USING btree (wake_at) WHERE (wake_at IS NOT NULL);

CREATE INDEX results_not_succeeded ON public.results USING btree (state, task_id) WHERE (state <> 'succeeded'::text);

-- Functions

CREATE OR REPLACE FUNCTION public.append_records(p_id uuid[], p_type text[], p_outcome text[], p_actor text[], p_target text[], p_before_prev text[], p_before_seq text[], p_before_ts text[], p_after_ts text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  insert into audit_inbox (id, type, outcome, actor, target, before_prev, before_seq, before_ts, after_ts)
  select * from unnest(p_id, p_type, p_outcome, p_actor, p_target, p_before_prev, p_before_seq, p_before_ts, p_after_ts);
end $function$;

CREATE OR REPLACE FUNCTION public.claim_idempotency_keys(p_principal text[], p_key text[], p_body_sha256 bytea[], p_status smallint[], p_location text[], p_answer bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.count_in_flight()
 RETURNS TABLE(node_id uuid, n bigint)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.hold_term(p_term bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  perform from leader where term = p_term for key share;
  if not found then
    raise exception 'term % is over', p_term using errcode = 'WR001';
  end if;
end $function$;

CREATE OR REPLACE FUNCTION public.insert_receipts(p_jti uuid[], p_sha256 bytea[], p_node uuid[], p_boot uuid[], p_seq bigint[], p_previous_boot uuid[], p_previous_seq bigint[], p_record uuid[], p_jws bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.insert_results(p_task uuid[], p_attempt integer[], p_kind integer[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_output bytea[], p_output_sha256 bytea[], p_output_bytes bigint[], p_error jsonb[], p_metadata bytea[], p_state text[], p_status text[], p_reason text[], p_node uuid[], p_manifest uuid[], p_receipt uuid[], p_record uuid[], p_moved uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.insert_task_records(p_task uuid[], p_record uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  insert into task_records (task_id, record_id) select * from unnest(p_task, p_record) on conflict do nothing;
end $function$;

CREATE OR REPLACE FUNCTION public.insert_tasks(p_task uuid[], p_kind integer[], p_payload bytea[], p_payload_sha256 bytea[], p_task_sha256 bytea[], p_traceparent text[], p_source text[], p_tool text[], p_action text[], p_tool_digest text[], p_effects text[], p_required_role text[], p_scope text[], p_priority smallint[], p_run_at timestamp with time zone[], p_expires_at timestamp with time zone[], p_timeout_s integer[], p_max_attempts smallint[], p_retry_initial_s real[], p_retry_max_s real[], p_affinity text[], p_requirement integer[], p_tags jsonb[], p_labels jsonb[], p_requested_by text[], p_credential uuid[], p_record uuid[], p_created_at timestamp with time zone[], p_rank bigint[], p_wake timestamp with time zone[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.is_legal_move(p_from text, p_to text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.issue_manifests(p_term bigint, p_jti uuid[], p_sha256 bytea[], p_node uuid[], p_issued_at timestamp with time zone[], p_expires_at timestamp with time zone[], p_record uuid[], p_jws bytea[], p_of integer[], p_task uuid[], p_attempt integer[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.list_windows()
 RETURNS TABLE(requirement integer, principal text, source text)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.move_tasks(p_task uuid[], p_attempt integer[], p_kind integer[], p_to text[], p_step integer[], p_tries integer[], p_rank bigint[], p_wake timestamp with time zone[], p_node uuid[], p_manifest uuid[], p_reason text[], p_by uuid[], p_from_doubt boolean[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.read_ready_tasks(p_task uuid[])
 RETURNS SETOF ready_task
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from unnest(p_task) p (task_id)
   cross join lateral (select * from queue w where w.task_id = p.task_id and w.state = 'queued' offset 0) q
    join tasks t on t.task_id = any (array[q.task_id]);
end $function$;

CREATE OR REPLACE FUNCTION public.read_window(p_requirement integer, p_principal text, p_source text, p_rank bigint, p_task uuid, p_limit integer)
 RETURNS SETOF ready_task
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
begin
  return query
  select q.task_id, q.attempt, q.rank, q.requirement, q.principal::text, q.source::text, q.expires_at, t.tool, t.action,
         t.tool_digest, t.effects, t.timeout_s, t.scope, t.required_role, t.credential_id, t.payload_sha256,
         case when length(t.payload) <= 4096 then t.payload end, t.affinity, t.traceparent
    from queue q join tasks t on t.task_id = any (array[q.task_id])
   where q.requirement = p_requirement and q.principal = p_principal collate "C" and q.source = p_source collate "C"
     and q.rank is not null and (q.rank, q.task_id) > (p_rank, p_task) and q.state = 'queued'
   order by q.rank, q.task_id limit p_limit;
end $function$;

CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'the audit log is append-only: % on % refused', tg_op, tg_table_name using errcode = 'WR900';
end $function$;

CREATE OR REPLACE FUNCTION public.sequence_records(p_term bigint, p_size bigint, p_leaf bytea, p_pos bigint[], p_leaves bytea[], p_lines bytea[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION public.wake_due_tasks(p_term bigint, p_priority_ms bigint, p_limit integer)
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
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
end $function$;

-- Triggers

CREATE TRIGGER audit_head_single_row BEFORE DELETE ON public.audit_head FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE ON public.audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_tiles_append_only BEFORE DELETE OR UPDATE ON public.audit_tiles FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_tiles_no_truncate BEFORE TRUNCATE ON public.audit_tiles FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER checkpoints_append_only BEFORE DELETE OR UPDATE ON public.checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Rights

grant insert, select on audit_head to writ_service;

grant update on audit_head (leaf) to writ_service;

grant update on audit_head (size) to writ_service;

grant delete, insert, select on audit_inbox to writ_service;

grant insert, select on audit_log to writ_service;

grant insert, select on audit_tiles to writ_service;

grant delete, insert, select, update on cancel_requests to writ_service;

grant insert, select on checkpoints to writ_service;

grant delete, insert, select on dead_events to writ_service;

grant insert, select, update on feed_epochs to writ_service;

grant delete, insert, select on idempotency_keys to writ_service;

grant insert, select, update on leader to writ_service;

grant insert, select on manifests to writ_service;

grant update on manifests (open) to writ_service;

grant delete, insert, select on node_credentials to writ_service;

grant insert, select, update on nodes to writ_service;

grant insert, select, update on projections to writ_service;

grant delete, insert, select, update on queue to writ_service;

grant insert, select on receipts to writ_service;

grant insert, select on requirements to writ_service;

grant insert, select on results to writ_service;

grant usage on scope_versions to writ_service;

grant delete, insert, select, update on scopes to writ_service;

grant insert, select on task_records to writ_service;

grant insert, select on tasks to writ_service;

grant insert, select on tokens to writ_service;

grant update on tokens (last_used_at) to writ_service;

grant update on tokens (revoked_at) to writ_service;

grant update on tokens (used_by) to writ_service;

grant insert, select on trusted_keys to writ_service;

grant update on trusted_keys (trusted_until) to writ_service;
