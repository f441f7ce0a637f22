/** A door with real rooms behind it on a database of its own, and tokens of every role. */

import { fileURLToPath } from 'node:url';
import { AAAServiceAdapter } from '../../../src/aaa/aaa-service-adapter.ts';
import { builtInRoles, closeRoles } from '../../../src/aaa/roles.ts';
import { ScopeStore } from '../../../src/aaa/scope-store.ts';
import { createToken, type TokenRequest } from '../../../src/aaa/tokens.ts';
import { createHttpDoor, type HttpDoor } from '../../../src/doors/http/server.ts';
import type { RateLimits } from '../../../src/doors/http/rate-limit.ts';
import type { HttpServices } from '../../../src/doors/http/services.ts';
import { TaskChanges } from '../../../src/doors/http/task-changes.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { AppError } from '../../../src/domain/error.ts';
import type { Principal } from '../../../src/domain/principal.ts';
import { AuditLogger } from '../../../src/ledger/audit-logger.ts';
import { insertHead } from '../../../src/ledger/log-sql.ts';
import { Sequencer } from '../../../src/ledger/sequencer.ts';
import type { Database } from '../../../src/platform/postgres/pool.ts';
import { Requirements } from '../../../src/tasks/requirements.ts';
import { Submitter } from '../../../src/tasks/submit.ts';
import { loadCatalog } from '../../../src/tools/catalog.ts';
import { createTestDatabase } from '../../support/postgres.ts';

export const toolsDir = fileURLToPath(new URL('../../../tools', import.meta.url));

/** Somebody who holds everything. */
export const root: Principal = {
  id: 'root',
  kind: 'person',
  method: 'api_key',
  credential_id: '00000000-0000-7000-8000-000000000000',
  ...closeRoles(['admin']),
  scope: null,
  expires_at: null,
  ip: null,
};

export interface Answered {
  status: number;
  headers: Headers;
  body: any;
  text: string;
}

export interface CallOptions {
  token?: string;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Uint8Array;
  headers?: Record<string, string>;
}

export interface DoorFixture {
  door: HttpDoor;
  services: HttpServices;
  database: Database;
  url: string;
  failures: unknown[];
  ended: string[];
  queued: string[];
  cancelRequested: string[];
  /** A token with these roles, by a principal of that name. */
  token(request: Partial<TokenRequest> & { roles: string[] }): Promise<string>;
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
  /** Types and reasons of the records that wait to be chained, oldest first. */
  records(): Promise<{ type: string; outcome: string; reason: string | undefined; data: any; actor: any }[]>;
  /** Chains what waits, as the leader would. */
  sequence(): Promise<void>;
  close(): Promise<void>;
}

export async function openDoor(options: { rateLimits?: Partial<RateLimits>; services?: Partial<HttpServices> } = {}): Promise<DoorFixture> {
  const test = await createTestDatabase();
  const { database } = test;
  await insertHead(database, 'test.example/log');
  const clock = systemClock;
  const audit = new AuditLogger('test.example/log');
  const aaa = new AAAServiceAdapter({ database, audit, clock });
  const scopes = new ScopeStore(database, clock);
  const catalog = await loadCatalog([toolsDir]);
  const ended: string[] = [];
  const queued: string[] = [];
  const cancelRequested: string[] = [];
  const failures: unknown[] = [];
  const submitter = new Submitter({
    database,
    audit,
    aaa,
    scopes,
    catalog,
    requirements: new Requirements(database),
    clock,
    defaults: { priorityMs: 60_000, maxAttempts: 3, retryInitialS: 1, retryMaxS: 60 },
    backlog: () => ({ live: 0, max: 1_000_000 }),
    onAccepted: () => undefined,
  });
  const services: HttpServices = {
    database,
    audit,
    aaa,
    scopes,
    catalog,
    submitter,
    commands: {
      database,
      audit,
      clock,
      priorityMs: 60_000,
      onEnded: (ids) => ended.push(...ids),
      onQueued: (ids) => queued.push(...ids),
      onCancelRequested: (ids) => cancelRequested.push(...ids),
    },
    changes: new TaskChanges(),
    clock,
    auditLog: {
      checkpoint: () => Promise.resolve('test.example/log\n0\n\n\n'),
      tile: (path) => Promise.resolve(path === '0/000' ? { bytes: Buffer.alloc(32), isFull: false } : undefined),
      proof: (seq) => Promise.resolve(`proof of ${seq.toString()}\n`),
      consistency: () => Promise.resolve([]),
      export: () => Promise.resolve(chunks()),
    },
    isAuditLogPublic: false,
    fleet: { register: refuseNode, heartbeat: refuseNode },
    system: () => ({ signer_ok: true, broker_ok: true, fenced_reason: null, leading: true }),
    readiness: () => Promise.resolve({ ready: true, parts: { database: { ok: true } } }),
    jwks: () => Promise.resolve({ current: { keys: [] }, archive: { keys: [] } }),
    ...options.services,
  };
  const door = createHttpDoor({
    services,
    listen: { host: '127.0.0.1', port: 0 },
    version: '0.0.0',
    onFailure: (error) => failures.push(error),
    closeGraceMs: 500,
    ...(options.rateLimits === undefined ? {} : { rateLimits: options.rateLimits }),
  });
  await door.listen();
  const url = door.address()?.url ?? '';
  let names = 0;
  return {
    door,
    services,
    database,
    url,
    failures,
    ended,
    queued,
    cancelRequested,
    token: async (request) => {
      const full = { name: `somebody-${(names++).toString()}`, kind: 'svc' as const, expires_in_s: 3600, ...request };
      const made = await database.transaction((tx) => createToken(tx, root, full, { audit, clock, requestId: 'setup' }));
      return made.token;
    },
    call: (method, path, callOptions) => call(url, method, path, callOptions),
    records: () => inboxRecords(database),
    sequence: () => sequenceAll(database, url),
    close: async () => {
      await door.close();
      await test.drop();
    },
  };
}

function refuseNode(): Promise<object> {
  return Promise.reject(new AppError('unauthenticated', 'wrong token', { reason: 'unauthenticated' }));
}

async function* chunks(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('first ');
  await Promise.resolve();
  yield Buffer.from('second');
}

async function call(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answered> {
  const { token, body, raw, headers } = options;
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      ...(sent === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: sent }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text, text };
}

async function inboxRecords(database: Database) {
  const found = await database.query<{ line: string }>(
    `select before_prev || '""' || before_seq || '0' || before_ts || '""' || after_ts as line from audit_inbox order by pos`,
  );
  return found.rows.map(({ line }) => JSON.parse(line) as Awaited<ReturnType<DoorFixture['records']>>[number]);
}

async function sequenceAll(database: Database, _url: string): Promise<void> {
  await database.query(
    `insert into leader (term, holder, expires_at) values (1, gen_random_uuid(), now() + interval '1 hour') on conflict do nothing`,
  );
  const sequencer = new Sequencer(database);
  await sequencer.runOnce(1);
}

export const roleNames = Object.keys(builtInRoles).filter((role) => role !== 'node');

/** A task that runs nowhere and harms nobody. */
export const noopTask = { tool: 'noop', action: 'run', payload: {} };
