/** Real rooms on a database of their own, up to where tasks wait for a node; nodes and their answers are written by hand. */

import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { AAAServiceAdapter } from '../../src/aaa/aaa-service-adapter.ts';
import { closeRoles } from '../../src/aaa/roles.ts';
import { ScopeStore } from '../../src/aaa/scope-store.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { newId } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/domain/principal.ts';
import type { EndState } from '../../src/domain/task-state.ts';
import type { Task } from '../../src/domain/task.ts';
import type { RecordBody } from '../../src/proof/record.ts';
import { AuditLogger } from '../../src/ledger/audit-logger.ts';
import { insertHead } from '../../src/ledger/log-sql.ts';
import { Sequencer } from '../../src/ledger/sequencer.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import type { CommandContext, TaskCommand } from '../../src/tasks/command.ts';
import { Requirements } from '../../src/tasks/requirements.ts';
import { resultColumns, resultParameters, resultsCall, type EndedAttempt } from '../../src/tasks/results.ts';
import { Submitter } from '../../src/tasks/submit.ts';
import { moveCall, moveColumns, type Move } from '../../src/tasks/transition.ts';
import { loadCatalog, type Catalog } from '../../src/tools/catalog.ts';
import { createTestDatabase } from '../support/postgres.ts';

export const toolsDir = fileURLToPath(new URL('../../tools', import.meta.url));

/** A principal with these roles. */
export function principalWith(id: string, roles: readonly string[]): Principal {
  return {
    id,
    kind: 'person',
    method: 'api_key',
    credential_id: '00000000-0000-7000-8000-000000000000',
    ...closeRoles(roles),
    scope: null,
    expires_at: null,
    networks: [],
    ip: null,
  };
}

/** Somebody who holds everything. */
export const root = principalWith('root', ['admin']);

/** A task that runs nowhere and harms nobody. */
export const noopTask = { tool: 'noop', action: 'run', payload: {} };
export const destructiveTask = { tool: 'noop', action: 'append', payload: { file: '/f', line: 'x' } };

export interface Order {
  task_id: string;
  attempt: number;
  manifest: string;
  node_id: string;
}

export interface Rooms {
  database: Database;
  audit: AuditLogger;
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  catalog: Catalog;
  submitter: Submitter;
  commands: CommandContext;
  /** What the commands told, by callback. */
  told: { ended: string[]; queued: string[]; cancelRequested: string[] };
  submit(items: readonly object[], by?: Principal): Promise<Task[]>;
  command(taskId: string, by?: Principal): TaskCommand;
  /** A node that is active and can run the whole catalog. */
  addNode(options?: { slots?: number; labels?: Record<string, string> }): Promise<string>;
  /** Gives tasks to a node, in one manifest. */
  dispatch(taskIds: readonly string[], nodeId?: string): Promise<Order[]>;
  /** Ends orders as their node says, or moves them on with `state` null. */
  end(orders: readonly Order[], state: EndState | null, more?: Partial<EndedAttempt>): Promise<void>;
  move(order: Pick<Order, 'task_id' | 'attempt'>, to: Move['to'], more?: Partial<Move>): Promise<void>;
  /** Chains what waits, as the leader would. */
  sequence(): Promise<void>;
  /** Records that wait to be chained, oldest first. */
  records(): Promise<RecordBody[]>;
  /** Runs a statement as the owner of the tables, who may do what the service may not. */
  asOwner(text: string, values?: readonly unknown[]): Promise<void>;
  close(): Promise<void>;
}

export async function openRooms(): Promise<Rooms> {
  const test = await createTestDatabase();
  const { database } = test;
  await insertHead(database, 'test.example/log');
  await database.query(
    `insert into leader (term, holder, expires_at) values (1, gen_random_uuid(), now() + interval '1 hour')`,
  );
  const clock = systemClock;
  const audit = new AuditLogger('test.example/log');
  const aaa = new AAAServiceAdapter({ database, audit, clock });
  const scopes = new ScopeStore(database, clock);
  const catalog = await loadCatalog([toolsDir]);
  const told: Rooms['told'] = { ended: [], queued: [], cancelRequested: [] };
  const submitter = new Submitter({
    database,
    audit,
    aaa,
    scopes,
    catalog,
    requirements: new Requirements(database),
    clock,
    defaults: { priorityMs: 60_000, maxAttempts: 3, retryInitialS: 1, retryMaxS: 60 },
    assertWritable: () => undefined,
    backlog: () => ({ live: 0, max: 1_000_000 }),
    onAccepted: () => undefined,
  });
  const commands: CommandContext = {
    database,
    audit,
    clock,
    priorityMs: 60_000,
    onEnded: (ids) => told.ended.push(...ids),
    onQueued: (ids) => told.queued.push(...ids),
    onCancelRequested: (ids) => told.cancelRequested.push(...ids),
  };
  return {
    database,
    audit,
    aaa,
    scopes,
    catalog,
    submitter,
    commands,
    told,
    submit: async (items, by = root) => {
      const answer = await submitter.submit({ principal: by, items, mode: 'atomic', requestId: 'test' });
      const { results } = JSON.parse(answer.body.toString('utf8')) as { results: { task: Task }[] };
      return results.map(({ task }) => task);
    },
    command: (taskId, by = root) => ({ principal: by, taskId, requestId: 'test' }),
    addNode: (options) => addNode(database, catalog, options),
    dispatch: (taskIds, nodeId = newId()) => dispatch(database, audit, taskIds, nodeId),
    end: (orders, state, more) => end(database, orders, state, more),
    move: async (order, to, more) => {
      await database.query({ text: `select ${moveCall(1)}`, values: moveColumns([{ ...order, to, ...more }]) });
    },
    sequence: async () => {
      const sequencer = new Sequencer({ database, term: 1, onSequenced: () => undefined });
      while (await sequencer.runOnce());
    },
    records: () => inboxRecords(database),
    asOwner: async (text, values) => {
      const owner = createPool({ url: test.url, max: 1 });
      await owner.query(text, values).finally(() => owner.close());
    },
    close: () => test.drop(),
  };
}

async function addNode(
  database: Database,
  catalog: Catalog,
  { slots = 4, labels = {} }: { slots?: number; labels?: Record<string, string> } = {},
): Promise<string> {
  const nodeId: string = newId();
  const tokenId: string = newId();
  const capabilities = Object.fromEntries([...catalog.tools.values()].map(({ tool, digest }) => [tool, digest]));
  await database.query(
    `insert into tokens (token_id, sha256, prefix, kind, name, roles, networks, created_by, expires_at)
     values ($1, $2, 'p', 'join', 'join', '{}', '{}', 'root', now())`,
    [tokenId, createHash('sha256').update(tokenId).digest()],
  );
  await database.query(
    `insert into nodes (node_id, name, status, slots, labels, capabilities, kid, jwk, credential_sha256, join_token, last_heartbeat, lease_until)
     values ($1, 'node', 'active', $2, $3, $4, $7, '{}', $5, $6, now(), now() + interval '1 minute')`,
    [
      nodeId,
      slots,
      JSON.stringify(labels),
      JSON.stringify(capabilities),
      createHash('sha256').update(nodeId).digest(),
      tokenId,
      nodeId,
    ],
  );
  await database.query(
    `insert into trusted_keys (kid, use, jwk, node_id, trusted_from, record_id) values ($1, 'node', '{}', $2, now(), $2)`,
    [nodeId, nodeId],
  );
  return nodeId;
}

async function dispatch(
  database: Database,
  audit: AuditLogger,
  taskIds: readonly string[],
  nodeId: string,
): Promise<Order[]> {
  const jti: string = newId();
  const record = newId();
  const found = await database.query<{ task_id: string; attempt: number }>({
    text: 'select q.task_id, q.attempt + 1 as attempt from unnest($1::uuid[]) with ordinality p (id, n) join queue q on q.task_id = p.id order by n',
    values: [taskIds],
  });
  const orders = found.rows.map((row) => ({ ...row, manifest: jti, node_id: nodeId }));
  const sha256 = createHash('sha256').update(jti).digest();
  await database.query({
    text: `select issue_manifests(1, $1, $2, $3, array[now()], array[now() + interval '1 minute'], $4, array[null::bytea], $5, $6, $7)`,
    values: [
      [jti],
      [sha256],
      [nodeId],
      [record],
      orders.map(() => 1),
      orders.map((o) => o.task_id),
      orders.map((o) => o.attempt - 1),
    ],
  });
  const data = { manifest_sha256: sha256.toString('hex'), jti };
  await audit.append(database, [
    { id: record as never, type: 'manifest.issue', outcome: 'success', target: { kind: 'node', id: nodeId }, data },
  ]);
  return orders;
}

async function end(
  database: Database,
  orders: readonly Order[],
  state: EndState | null,
  more: Partial<EndedAttempt> = {},
): Promise<void> {
  const ended = orders.map((order) => ({
    task_id: order.task_id,
    attempt: order.attempt,
    state,
    status: state === 'succeeded' ? 'succeeded' : 'failed',
    node_id: order.node_id,
    manifest: state === null ? order.manifest : null,
    started_at: '2026-01-01T00:00:00.000Z',
    ended_at: '2026-01-01T00:00:01.000Z',
    record_id: newId(),
    ...more,
  }));
  const moves = orders.map(({ task_id, attempt }): Move => ({ task_id, attempt, to: state ?? 'queued' }));
  await database.query({
    text: `select ${resultsCall(1, moveCall(1 + resultParameters))}`,
    values: [...resultColumns(ended), ...moveColumns(moves)],
  });
}

async function inboxRecords(database: Database): ReturnType<Rooms['records']> {
  const found = await database.query<{ line: string }>(
    `select before_prev || '""' || before_seq || '0' || before_ts || '""' || after_ts as line from audit_inbox order by pos`,
  );
  return found.rows.map(({ line }) => JSON.parse(line) as RecordBody);
}
