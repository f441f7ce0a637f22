-- Orchestrators read all nodes each second, and what a node tells of itself only where that has changed.
alter table nodes add column described_at timestamptz not null default now();
-- Heartbeats change no index: a page has room for the next version of each row.
alter table nodes set (fillfactor = 50);
