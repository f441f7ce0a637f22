-- Credentials of nodes by generation, nodes that were cloned, and versions of the key that signs manifests.

-- The current credential of a node is named by `nodes.credential_sha256`. Those of the next generation were handed out and not used yet,
-- several where answers were lost; the first to be used becomes the current one. Use of any other shows that a node was cloned.
create table node_credentials (
  sha256 bytea primary key check (length(sha256) = 32),
  node_id uuid not null references nodes,
  generation integer not null check (generation >= 1),
  issued_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index node_credentials_by_node on node_credentials (node_id, generation);
grant select, insert, delete on node_credentials to writ_service;

alter table nodes
  add column generation integer not null default 1 check (generation >= 1),
  add column promoted_at timestamptz not null default now(),
  add column credential_expires_at timestamptz not null default now() + interval '7 days',
  drop constraint nodes_status_check,
  add constraint nodes_status_check check (status in ('active', 'unhealthy', 'quarantined', 'gone'));
insert into node_credentials (sha256, node_id, generation, expires_at)
  select credential_sha256, node_id, 1, credential_expires_at from nodes;

-- Of a manifest key: which version it is where the key lives, and from when it signs. The one that signs is that with the latest
-- `signs_from` that has passed.
alter table trusted_keys
  add column key_version integer check (key_version >= 1),
  add column signs_from timestamptz,
  add constraint trusted_keys_version_of_manifest_key check ((key_version is null) = (signs_from is null));
update trusted_keys set key_version = 1, signs_from = trusted_from where use = 'manifest';

-- By feed, what stands for the memory of the broker that it was published to: where the broker does not have it, its queues were lost.
create table feed_epochs (
  feed text primary key check (feed in ('events', 'batches')),
  epoch uuid not null,
  since timestamptz not null default now()
);
grant select, insert, update on feed_epochs to writ_service;
