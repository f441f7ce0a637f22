/** A door with real rooms behind it, and tokens of every role. */

import { builtInRoles } from '../../../src/aaa/roles.ts';
import { createToken, type TokenRequest } from '../../../src/aaa/tokens.ts';
import { createHttpDoor, type HttpDoor } from '../../../src/doors/http/server.ts';
import type { RateLimits } from '../../../src/doors/http/rate-limit.ts';
import type { HttpServices } from '../../../src/doors/http/services.ts';
import { TaskChanges } from '../../../src/doors/http/task-changes.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { AppError } from '../../../src/domain/error.ts';
import type { Task } from '../../../src/domain/task.ts';
import type { AuditRecord } from '../../../src/proof/record.ts';
import { openRooms, root, type Rooms } from '../../tasks/rooms.ts';

export { noopTask } from '../../tasks/rooms.ts';

/** What answers hold, all kinds in one: a test names the members that it expects, and finds them missing where they are. */
export interface AnswerBody extends Omit<Task, 'state'> {
  state: string;
  code: string;
  type: string;
  detail: string;
  instance: string;
  errors: { path: string; message: string }[];
  next_cursor: string | null;
  tasks: Task[];
  results: {
    task?: Task;
    error?: { code: string };
    decision: string;
    claims: { grant: object };
    candidate_nodes: string[];
  }[];
  reasons: { code: string }[];
  attempts: object[];
  timeline: { type: string }[];
  dead_letters: { task: Task; error: { code: string } }[];
  tools: { tool: string }[];
  actions: { action: string; effects: string }[];
  nodes: { id: string }[];
  total: number;
  records: AuditRecord[];
  record: AuditRecord;
  line: string;
  proofs: { seq: number; type: string }[];
  roles: string[];
  permissions: string[];
  token: string;
  token_id: string;
  tokens: { token_id: string }[];
  scopes: object[];
}

export interface Answered {
  status: number;
  headers: Headers;
  body: AnswerBody;
  text: string;
}

export interface CallOptions {
  token?: string;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Uint8Array<ArrayBuffer>;
  headers?: Record<string, string>;
}

export interface DoorFixture extends Rooms {
  door: HttpDoor;
  services: HttpServices;
  url: string;
  /** What the door could not answer by a code. */
  failures: unknown[];
  /** A token with these roles, by a principal of that name. */
  token(request: Partial<TokenRequest> & { roles: string[] }): Promise<string>;
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
}

export interface DoorFixtureOptions {
  rateLimits?: Partial<RateLimits>;
  services?: Partial<HttpServices>;
}

export async function openDoor(options: DoorFixtureOptions = {}): Promise<DoorFixture> {
  const rooms = await openRooms();
  const failures: unknown[] = [];
  const services: HttpServices = {
    ...rooms,
    changes: new TaskChanges(),
    clock: systemClock,
    auditLog: {
      checkpoint: () => Promise.resolve('test.example/log\n0\n\n\n'),
      tile: (path) => Promise.resolve(path === '0/000' ? { bytes: Buffer.alloc(32), isFull: false } : undefined),
      proof: (seq) => Promise.resolve(`proof of ${seq.toString()}\n`),
      consistency: () => Promise.resolve([]),
      export: () => Promise.resolve(chunks()),
    },
    isAuditLogPublic: false,
    fleet: { register: refuseNode, heartbeat: refuseNode },
    assertWritable: () => undefined,
    manifestKeys: {
      list: () => Promise.resolve([]),
      rotate: () => Promise.reject(new AppError('conflict', 'not here', { reason: 'rotation_pending' })),
    },
    deadEvents: { list: () => Promise.resolve([]), resend: () => Promise.resolve({ sent: 0, refused: 0 }) },
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
    rateLimits: { freeFailures: 1000, ...options.rateLimits },
  });
  await door.listen();
  const url = door.address()?.url ?? '';
  let names = 0;
  return {
    ...rooms,
    door,
    services,
    url,
    failures,
    token: async (request) => {
      const full = { name: `somebody-${(names++).toString()}`, kind: 'svc' as const, expires_in_s: 3600, ...request };
      const context = { audit: rooms.audit, clock: systemClock, requestId: 'setup' };
      return (await rooms.database.transaction((tx) => createToken(tx, root, full, context))).token;
    },
    call: (method, path, callOptions) => call(url, method, path, callOptions),
    close: async () => {
      await door.close();
      await rooms.close();
    },
  };
}

/** A door for one test, closed however the test ends. */
export async function withDoor(options: DoorFixtureOptions, work: (door: DoorFixture) => Promise<void>): Promise<void> {
  const door = await openDoor(options);
  await work(door).finally(() => door.close());
}

function refuseNode(): Promise<object> {
  return Promise.reject(new AppError('unauthenticated', 'The credential is wrong.', { reason: 'unauthenticated' }));
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
  return {
    status: response.status,
    headers: response.headers,
    body: (isJson ? JSON.parse(text) : {}) as AnswerBody,
    text,
  };
}

export const roleNames = Object.keys(builtInRoles).filter((role) => role !== 'node');
