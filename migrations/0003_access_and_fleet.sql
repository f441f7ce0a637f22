-- Credentials, scopes, nodes, and the cursors of the log's projections.

-- Credentials by the SHA-256 of their text, which is kept nowhere.
create table tokens (
  token_id uuid primary key,
  sha256 bytea not null unique check (length(sha256) = 32),
  prefix text not null,
  kind text not null check (kind in ('pat', 'svc', 'join')),
  name text collate "C" not null,
  roles text[] not null,
  scope text,
  networks text[] not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  last_used_at timestamptz,
  used_by uuid
);
grant select, insert on tokens to writ_service;
grant update (revoked_at, last_used_at, used_by) on tokens to writ_service;

-- Where a principal without a wider right may go: tools, targets, a window of time.
create table scopes (
  name text collate "C" primary key,
  definition jsonb not null,
  version bigint not null,
  updated_at timestamptz not null default now()
);
create sequence scope_versions;
grant select, insert, update, delete on scopes to writ_service;
grant usage on scope_versions to writ_service;

create table nodes (
  node_id uuid primary key,
  name text not null,
  status text not null check (status in ('active', 'unhealthy', 'gone')),
  slots integer not null check (slots >= 0),
  labels jsonb not null,
  capabilities jsonb not null,
  kid text not null unique,
  jwk jsonb not null,
  credential_sha256 bytea not null unique check (length(credential_sha256) = 32),
  join_token uuid not null unique references tokens,
  boot_id uuid,
  metrics jsonb,
  registered_at timestamptz not null default now(),
  last_heartbeat timestamptz,
  lease_until timestamptz not null
);
grant select, insert, update on nodes to writ_service;

-- Keys that a `key.trust` record names, with what retires them.
create table trusted_keys (
  kid text primary key,
  use text not null check (use in ('manifest', 'node', 'log')),
  jwk jsonb not null,
  vkey text,
  node_id uuid,
  trusted_from timestamptz not null,
  trusted_until timestamptz,
  record_id uuid not null
);
grant select, insert on trusted_keys to writ_service;
grant update (trusted_until) on trusted_keys to writ_service;

-- How far each projection of the log has come: the next seq it has not dealt with, and the last that it told of.
create table projections (
  name text primary key,
  next_seq bigint not null,
  last_seq bigint
);
grant select, insert, update on projections to writ_service;

-- Events that the broker itself refused after bounded attempts.
create table dead_events (
  dead_event_id bigint generated always as identity primary key,
  feed text not null check (feed in ('events', 'batches')),
  audit_seq bigint not null,
  message_id uuid not null,
  type text not null,
  body bytea not null,
  reason text not null,
  attempts integer not null,
  created_at timestamptz not null default now(),
  unique (feed, message_id)
);
grant select, insert, delete on dead_events to writ_service;
