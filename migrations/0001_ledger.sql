-- The audit log: an inbox that every change writes to, the chained log, its tiles and checkpoints.

do $$ begin
  if not exists (select from pg_roles where rolname = 'writ_service') then
    create role writ_service nologin;
  end if;
exception when duplicate_object then null;
end $$;
grant usage on schema public to writ_service;

-- Who leads. Every write of a leader locks this row FOR KEY SHARE with its term; taking over changes the key.
create table leader (
  term bigint primary key,
  holder uuid not null,
  expires_at timestamptz not null
);
create unique index leader_single on leader ((true));
grant select, insert, update on leader to writ_service;

-- Records that are committed with their change and not numbered yet, in the parts between which prev, seq and ts go.
create table audit_inbox (
  pos bigint generated always as identity primary key,
  id uuid not null,
  at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
  type text not null,
  outcome text not null,
  actor text,
  target text,
  before_prev text not null,
  before_seq text not null,
  before_ts text not null,
  after_ts text not null
);
grant select, insert, delete on audit_inbox to writ_service;

create table audit_log (
  seq bigint primary key,
  id uuid not null unique,
  at timestamptz not null,
  type text not null,
  outcome text not null,
  actor text,
  target text,
  leaf bytea not null check (length(leaf) = 32),
  line bytea not null check (length(line) <= 65535)
);
alter table audit_log alter column line set storage external;
create index audit_log_type on audit_log (type, seq);
create index audit_log_actor on audit_log (actor, seq);
create index audit_log_target on audit_log (target, seq) where target is not null;
create index audit_log_at on audit_log using brin (at);
grant select, insert on audit_log to writ_service;

-- One row: how far the log is and the hash of its last record.
create table audit_head (
  origin text primary key,
  size bigint not null,
  leaf bytea not null check (length(leaf) = 32)
);
create unique index audit_head_single on audit_head ((true));
grant select, insert on audit_head to writ_service;
grant update (size, leaf) on audit_head to writ_service;

-- Full tiles of 256 hashes; `root` is the hash that stands for the tile one level up. Partial tiles are derived.
create table audit_tiles (
  level smallint not null,
  n bigint not null,
  hashes bytea not null check (length(hashes) = 8192),
  root bytea not null check (length(root) = 32),
  primary key (level, n)
);
grant select, insert on audit_tiles to writ_service;

create table checkpoints (
  size bigint primary key,
  root bytea not null check (length(root) = 32),
  note text not null,
  at timestamptz not null default clock_timestamp()
);
grant select, insert on checkpoints to writ_service;

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append-only: % on % refused', tg_op, tg_table_name using errcode = 'WR900';
end $$;

create trigger audit_log_append_only before update or delete on audit_log for each row execute function refuse_change();
create trigger audit_log_no_truncate before truncate on audit_log for each statement execute function refuse_change();
create trigger audit_tiles_append_only before update or delete on audit_tiles for each row execute function refuse_change();
create trigger audit_tiles_no_truncate before truncate on audit_tiles for each statement execute function refuse_change();
create trigger checkpoints_append_only before update or delete on checkpoints for each row execute function refuse_change();
create trigger checkpoints_no_truncate before truncate on checkpoints for each statement execute function refuse_change();
create trigger audit_head_single_row before delete on audit_head for each row execute function refuse_change();

-- Fails with WR001 unless the caller still leads with this term; holds the term until the transaction ends.
create function hold_term(p_term bigint) returns void language plpgsql as $$
begin
  perform from leader where term = p_term for key share;
  if not found then
    raise exception 'term % is over', p_term using errcode = 'WR001';
  end if;
end $$;

-- Records, one for each element of the arrays, in order.
create function append_records(
  p_id uuid[], p_type text[], p_outcome text[], p_actor text[], p_target text[],
  p_before_prev text[], p_before_seq text[], p_before_ts text[], p_after_ts text[]
) returns void language plpgsql as $$
begin
  insert into audit_inbox (id, type, outcome, actor, target, before_prev, before_seq, before_ts, after_ts)
  select * from unnest(p_id, p_type, p_outcome, p_actor, p_target, p_before_prev, p_before_seq, p_before_ts, p_after_ts);
end $$;

-- Moves inbox rows into the log as the sequencer chained them. `p_size` and `p_leaf` are the head it chained onto.
-- The inbox is empty whenever its plan is made: the settings keep the plan on the index when it is not.
create function sequence_records(
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
    delete from audit_inbox i using chained c where i.pos = c.pos
    returning c.n, i.id, i.at, i.type, i.outcome, i.actor, i.target, c.leaf, c.line
  )
  insert into audit_log (seq, id, at, type, outcome, actor, target, leaf, line)
  select p_size + n - 1, id, at, type, outcome, actor, target, leaf, line from taken order by n;
  get diagnostics moved = row_count;
  if moved <> cardinality(p_pos) then
    raise exception 'inbox rows vanished' using errcode = 'WR001';
  end if;
end $$;
