/** Fills the tables in bulk: what a system holds after work, as far as plans depend on it. */

import type { Database } from '../../src/platform/postgres/pool.ts';
import {
  bootOfBusiest,
  bootOfOthers,
  busyNodes,
  firstMs,
  idSql,
  idStart,
  idWithin,
  type Load,
  lostNodes,
  nodesMax,
  perManifest,
  principals,
  recordsPerManifest,
  requirements,
  sources,
  stepMs,
} from './load.ts';

/** What there is one or few of, whatever the load. */
export async function fillOnce(owner: Database): Promise<void> {
  await run(owner, [
    `insert into leader (term, holder, expires_at) values (1, gen_random_uuid(), now() + interval '1 day')`,
    `insert into audit_head (origin, size, leaf) values ('plans.example/log', 0, sha256(''))`,
    `insert into requirements (tool, tool_digest, constraints)
     select 'noop', 'digest-' || n, '{}' from generate_series(1, ${requirements}) n`,
    `insert into scopes (name, definition, version)
     select 'scope-' || n, jsonb_build_object('name', 'scope-' || n), n from generate_series(1, 5) n`,
    `insert into projections (name, next_seq) values ('telemetry.batches', 0), ('telemetry.events', 0), ('consumed.batches', 0)`,
    `insert into feed_epochs (feed, epoch) values ('events', gen_random_uuid()), ('batches', gen_random_uuid())`,
  ]);
}

/** Adds a load, as the owner of the tables, after all loads with lower numbers. Half of it is done beside the other half. */
export async function fill(owner: Database, load: Load, before?: Load): Promise<void> {
  await run(owner, fleetTexts(load, before));
  await Promise.all([
    run(owner, [tasksText(load), ...queueTexts(load), ...logTexts(load, before)]),
    run(owner, [...evidenceTexts(load), ...keyTexts(load, before)]),
  ]);
}

async function run(owner: Database, texts: readonly string[]): Promise<void> {
  for (const text of texts) await owner.query(text);
}

const createdAt = (n: string): string => `to_timestamp((${firstMs} + (${n}) * ${stepMs}) / 1000.0)`;
const hash = (n: string): string => `sha256(int8send(${n}))`;
const principalOf = (n: string): string => `'p' || (${n}) % ${principals}`;
const sourceOf = (n: string): string => `'s' || (${n}) / ${principals} % ${sources}`;
const requirementOf = (n: string): string => `1 + ((${n}) / ${principals * sources} % ${requirements})::integer`;
const recordOf = (manifest: string, position: number): string =>
  idSql('record', `(${manifest}) * ${recordsPerManifest} + ${position}`);
/** Half of the work is done by node 0. */
const nodeOf = (manifest: string): string =>
  `case when (${manifest}) % 2 = 0 then 0 else 1 + (${manifest}) / 2 % ${nodesMax - 1} end`;
const busyNodeOf = (manifest: string): string => `1 + (${manifest}) % ${busyNodes}`;

function series(from: number, count: number): string {
  return `generate_series(${from}::bigint, ${from + count - 1}::bigint) n`;
}

/** Tasks with the number of their manifest and what all of one manifest have in common, made once for each. */
function batches(from: number, count: number, common: string): string {
  return `(select *, ${common} from (select n as m from ${series(from / perManifest, count / perManifest)}) m offset 0) m
    cross join lateral (select m * ${perManifest} + i as n from generate_series(0, ${perManifest - 1}) i) t`;
}

function fleetTexts({ sizes }: Load, before: Load | undefined): string[] {
  const tokens = series(before?.sizes.tokens ?? 0, sizes.tokens - (before?.sizes.tokens ?? 0));
  const nodes = series(before?.sizes.nodes ?? 0, sizes.nodes - (before?.sizes.nodes ?? 0));
  const isLost = `n between ${busyNodes - lostNodes + 1} and ${busyNodes}`;
  return [
    `insert into tokens (token_id, sha256, prefix, kind, name, roles, networks, created_by, expires_at, last_used_at)
     select ${idSql('token', 'n')}, ${hash('n')}, 'writ_pat', 'pat', ${principalOf('n')}, '{operator}', '{}', 'root',
            now() + interval '90 days', now() - interval '1 hour' from ${tokens}`,
    `insert into nodes (node_id, name, status, slots, labels, capabilities, kid, jwk, credential_sha256, join_token, boot_id,
                        last_heartbeat, lease_until)
     select ${idSql('node', 'n')}, 'node-' || n, 'active', 100, '{}', '{"noop": "digest"}', 'kid-' || n, '{"kty": "EC"}',
            ${hash('n')}, ${idSql('token', 'n')}, ${idSql('boot', 'n * 1000')}, now(),
            now() + case when ${isLost} then interval '-10 minutes' else interval '1 day' end
       from ${nodes}`,
    `insert into node_credentials (sha256, node_id, generation, expires_at)
     select ${hash('n')}, ${idSql('node', 'n')}, 1, now() + interval '7 days' from ${nodes}`,
    `insert into trusted_keys (kid, use, jwk, node_id, trusted_from, record_id)
     select 'kid-' || n, 'node', '{"kty": "EC"}', ${idSql('node', 'n')}, now(), ${idSql('record', 'n')} from ${nodes}`,
  ];
}

function tasksText(load: Load): string {
  const common = `${idStart('task', 'm')} as start, ${hash('m')} as hash, ${idSql('token', `m % ${principals}`)} as token, ${recordOf('m', 0)} as record`;
  return `insert into tasks (task_id, source, tool, action, tool_digest, effects, payload, payload_sha256, task_sha256, required_role,
            priority, expires_at, timeout_s, max_attempts, retry_initial_s, retry_max_s, requirement, tags, labels, requested_by,
            credential_id, record_id, created_at)
    select ${idWithin('start', 'n')}, ${sourceOf('n')}, 'noop', case when n % 10 = 0 then 'append' else 'run' end, 'digest',
           case when n % 10 = 0 then 'destructive' else 'none' end, '{"n":1}', hash, hash, 'operator', 40 + n % 20, null, 60, 3, 1, 60,
           ${requirementOf('n')}, case when n % 100 = 0 then '["nightly"]'::jsonb end,
           case when n % 100 = 0 then '{"site": "a"}'::jsonb end, ${principalOf('n')}, token, record, ${createdAt('n')}
      from ${batches(load.sizes.first, load.end - load.sizes.first, common)}`;
}

function queueTexts(load: Load): string[] {
  const { sizes } = load;
  const rank = `${firstMs} + n * ${stepMs} - (40 + n % 20) * 60000`;
  const columns =
    'task_id, state, attempt, tries, requirement, principal, source, rank, wake_at, expires_at, node_id, manifest';
  const window = `${requirementOf('n')}, ${principalOf('n')}, ${sourceOf('n')}`;
  const manifest = `n / ${perManifest}`;
  const held = (['in_doubt', 'running', 'dispatched'] as const).map(
    (state) => `insert into queue (${columns})
      select ${idSql('task', 'n')}, '${state}', 1, 1, ${window}, ${rank}, null,
             case when n % 10 = 3 then now() - interval '1 minute' end, ${idSql('node', busyNodeOf(manifest))},
             ${idSql('manifest', manifest)} from ${series(load.firstOf(state), sizes[state])}`,
  );
  const queued = load.firstOf('queued');
  const waiting = load.firstOf('waiting');
  return [
    ...held,
    `insert into queue (${columns})
     select ${idSql('task', 'n')}, 'queued', 0, 0, ${window}, ${rank}, null,
            case when n < ${queued + sizes.expired} then now() - interval '1 minute'
                 when n % 20 = 3 then now() + interval '1 day' end, null, null from ${series(queued, sizes.queued)}`,
    `insert into queue (${columns})
     select ${idSql('task', 'n')}, 'waiting', 0, 0, ${window}, null,
            case when n < ${waiting + sizes.due} then now() - interval '1 second'
                 else now() + interval '1 hour' + (n - ${waiting}) * interval '1 second' end, null, null, null
       from ${series(waiting, sizes.waiting)}`,
    `insert into cancel_requests (task_id, attempt, node_id, reason)
     select ${idSql('task', 'n')}, 1, ${idSql('node', busyNodeOf(manifest))}, 'asked'
       from ${series(load.firstOf('running'), sizes.cancel_requests)}`,
  ];
}

function evidenceTexts(load: Load): string[] {
  const first = load.sizes.first / perManifest;
  const finished = series(first, load.sizes.finished / perManifest);
  const open = series(load.firstOf('in_doubt') / perManifest, load.inHand / perManifest);
  const orders = `array(select ${idSql('task', `n * ${perManifest} + i`)} from generate_series(0, ${perManifest - 1}) i)`;
  const attempts = `array_fill(1, array[${perManifest}])`;
  const columns = 'jti, sha256, node_id, term, issued_at, expires_at, task_ids, attempts, open, record_id, jws';
  // Half of what runs took longer than a manifest lives, and what is out with a lost node is over.
  const isOver = `n < ${load.firstOf('running') / perManifest} or n % 2 = 0 or ${busyNodeOf('n')} > ${busyNodes - lostNodes}`;
  return [
    `insert into manifests (${columns})
     select ${idSql('manifest', 'n')}, ${hash('n')}, ${idSql('node', nodeOf('n'))}, 1, ${createdAt(`n * ${perManifest}`)},
            ${createdAt(`n * ${perManifest}`)} + interval '1 minute', ${orders}, ${attempts}, 0, ${recordOf('n', 2)},
            convert_to(repeat('m', 600), 'UTF8') from ${finished}`,
    `insert into manifests (${columns})
     select ${idSql('manifest', 'n')}, ${hash('n')}, ${idSql('node', busyNodeOf('n'))}, 1, now() - interval '30 minutes',
            now() + case when ${isOver} then interval '-20 minutes' else interval '10 minutes' end, ${orders}, ${attempts},
            ${perManifest}, ${recordOf('n', 2)}, convert_to(repeat('m', 600), 'UTF8') from ${open}`,
    receiptsText(finished),
    ...resultTexts(load),
  ];
}

/** Receipts in the order of each node's boots; the first of a boot names the last of the boot before. */
function receiptsText(finished: string): string {
  const perNode = `case when node = 0 then n / 2 else n / 2 / ${nodesMax - 1} end`;
  const perBoot = `case when node = 0 then ${bootOfBusiest} else ${bootOfOthers} end`;
  const boot = (n: string): string => idSql('boot', `node * 1000 + ${n}`);
  return `insert into receipts (jti, sha256, node_id, boot_id, seq, previous_boot, previous_seq, record_id, received_at, jws)
    select ${idSql('receipt', 'n')}, ${hash('n')}, ${idSql('node', 'node')}, ${boot('of_node / per_boot')}, of_node % per_boot,
           case when of_node % per_boot = 0 and of_node > 0 then ${boot('of_node / per_boot - 1')} end,
           case when of_node % per_boot = 0 and of_node > 0 then per_boot - 1 end, ${recordOf('n', 3)},
           ${createdAt(`n * ${perManifest}`)} + interval '1 minute', convert_to(repeat('r', 600), 'UTF8')
      from (select n, node, ${perNode} as of_node, ${perBoot} as per_boot
              from (select n, ${nodeOf('n')} as node from ${finished}) n) n`;
}

/** One attempt of most tasks, two of some; some fail for good, some end before any node has them. */
function resultTexts({ sizes }: Load): string[] {
  const known = `${idStart('task', 'm')} as start, ${idSql('node', nodeOf('m'))} as node, ${idSql('manifest', 'm')} as manifest, ${idSql('receipt', 'm')} as receipt,
    ${recordOf('m', 3)} as record, ${recordOf('m', 1)} as other, ${createdAt(`m * ${perManifest}`)} as at, ${hash('m')} as hash`;
  const tasks = batches(sizes.first, sizes.finished, known);
  const columns = `task_id, attempt, state, status, reason, node_id, manifest, receipt, started_at, ended_at, output, output_sha256,
    output_bytes, error, record_id, created_at`;
  const common = `node, manifest, receipt, at, at, '{"ok":true}', hash, 11,
    case when n % 50 = 7 then '{"code": "exit", "message": "1"}'::jsonb end, record, at`;
  return [
    `insert into results (${columns})
     select ${idWithin('start', 'n')}, 1, null, 'failed', 'failed', ${common} from ${tasks} where n % 33 = 1`,
    `insert into results (${columns})
     select ${idWithin('start', 'n')}, case when n % 33 = 1 then 2 else 1 end,
            case when n % 50 = 7 then 'failed' when n % 200 = 9 then 'cancelled' when n % 200 = 19 then 'expired' else 'succeeded' end,
            case when n % 50 = 7 then 'failed' when n % 200 in (9, 19) then null else 'succeeded' end, null, ${common} from ${tasks}`,
    `insert into task_records (task_id, record_id)
     select ${idWithin('start', 'n')}, other from ${tasks} where n % 200 in (9, 19)`,
  ];
}

function logTexts(load: Load, before: Load | undefined): string[] {
  const from = before?.logSize ?? 0;
  const { logSize } = load;
  const position = `n % ${recordsPerManifest}`;
  const node = idSql('node', nodeOf(`n / ${recordsPerManifest}`));
  const tiles = (level: number): string => {
    const width = 256 ** (level + 1);
    const first = Math.floor(from / width);
    return `insert into audit_tiles (level, n, hashes, root)
      select ${level}, n, decode(repeat(encode(${hash('n')}, 'hex'), 256), 'hex'), ${hash('n')}
        from ${series(first, Math.floor(logSize / width) - first)}`;
  };
  return [
    `insert into audit_log (seq, id, at, type, outcome, actor, target, leaf, line)
     select n, ${idSql('record', 'n')}, ${createdAt(`n * ${perManifest / recordsPerManifest}`)},
            case when n % 4001 = 0 then 'token.create' when ${position} < 2 then 'task.submit' when ${position} = 2 then 'manifest.issue'
                 else 'receipt.accept' end,
            case when n % 1009 = 0 then 'deny' when ${position} < 2 then 'allow' else 'success' end,
            case when ${position} < 2 then ${principalOf('n')} when ${position} = 2 then 'writ' else ${node}::text end,
            case when ${position} >= 2 then ${node}::text when n % 500 = 0 then ${idSql('task', 'n')}::text end, ${hash('n')},
            convert_to('{"v":1,"seq":' || n || ',"data":{"text":"' || repeat('x', 400) || '"}}', 'UTF8')
       from ${series(from, logSize - from)}`,
    `update audit_head set size = ${logSize}, leaf = ${hash(`${logSize - 1}::bigint`)}`,
    tiles(0),
    tiles(1),
    `insert into checkpoints (size, root, note, at)
     select n * 40, ${hash('n')}, repeat('n', 200), ${createdAt('n * 250')}
       from generate_series(${Math.floor(from / 40) + 1}::bigint, ${Math.floor(logSize / 40)}::bigint) n`,
    `update projections set next_seq = ${logSize - 100}, last_seq = ${logSize - 101}`,
    `insert into audit_inbox (id, type, outcome, before_prev, before_seq, before_ts, after_ts)
     select ${idSql('pending', `${from} + n`)}, 'task.submit', 'success', '{"v":1,"prev":', ',"seq":', ',"ts":', '}'
       from ${series(0, load.sizes.pending)}`,
  ];
}

function keyTexts(load: Load, before: Load | undefined): string[] {
  const first = before?.sizes.idempotency_keys ?? 0;
  const count = load.sizes.idempotency_keys - first;
  // One in twenty-five is older than a day.
  return [
    `insert into idempotency_keys (principal, key, body_sha256, status, location, answer, created_at)
     select ${principalOf('n')}, 'key-' || n, ${hash('n')}, 201, '/api/v1/tasks/x', convert_to(repeat('a', 300), 'UTF8'),
            now() - interval '25 hours' + (n - ${first}) * interval '25 hours' / ${count} from ${series(first, count)}`,
  ];
}
