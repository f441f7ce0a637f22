/** An orchestrator and nodes in one process, on embedded or real parts, for end-to-end tests. */

import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import { generateApiKey, parseApiKey } from '../../src/aaa/api-key.ts';
import { closeRoles } from '../../src/aaa/roles.ts';
import { insertToken } from '../../src/aaa/token-sql.ts';
import { brokerAuthOf } from '../../src/app/broker-auth.ts';
import type { Orchestrator } from '../../src/app/orchestrator.ts';
import type { Broker, Consumer } from '../../src/domain/broker.ts';
import { AppError } from '../../src/domain/error.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { newId, type TokenId } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/domain/principal.ts';
import type { Signer, SigningKey } from '../../src/domain/signer.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { loadCatalog } from '../../src/tools/catalog.ts';
import type { ControlLink } from '../../src/worker/control-link.ts';
import { WorkerNode } from '../../src/worker/worker-node.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { createBrokerAuthDoor } from '../../src/doors/http/broker-auth.ts';
import type { SideDoor } from '../../src/doors/http/side-door.ts';
import type { CommandContext } from '../../src/tasks/command.ts';
import { checkInvariants, type Findings } from '../support/invariants.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually } from './eventually.ts';
import { composeMember, type Member } from './member.ts';
import type { Parts } from './part-set.ts';
import { openParts } from './parts.ts';

const catalogDir = fileURLToPath(new URL('../../tools', import.meta.url));

export interface Rig {
  orchestrator: Orchestrator;
  /** The first one, and those that were added. */
  members: readonly Member[];
  /** Starts another one beside it; for a rig that `hasPeers`. */
  addMember(): Promise<Member>;
  database: Database;
  /** As the owner of the tables. */
  url: string;
  folder: string;
  broker: Broker;
  manifestKey: SigningKey;
  /** Another connection with the rights of an orchestrator: what somebody could do who has them. Closed with the rig. */
  connect(): Promise<Broker>;
  /** A connection of a consumer of telemetry. Closed with the rig. */
  connectConsumer(): Promise<Broker>;
  /** Ends a connection without goodbye. */
  sever(broker: Broker): Promise<void>;
  nodes: WorkerNode[];
  log: { level: string; event: string; fields: Record<string, unknown> | undefined }[];
  addNode(name: string, options?: NodeOptions): Promise<WorkerNode>;
  /** Nothing of the node's gets through any more, nor to it, until the answer is called. */
  cutOff(node: WorkerNode): () => void;
  /** As `cutOff`, for good: its data folder can be given to a new node. */
  crash(node: WorkerNode): void;
  /** Manifests for the node are lost on the way, and counted, until `restore`. */
  swallow(node: WorkerNode): { readonly count: number; restore(): void };
  /** A principal with a stored credential. */
  principal(name: string, roles: string[], scope?: string): Promise<Principal>;
  submit(principal: Principal, items: readonly unknown[]): Promise<{ task_id: string }[]>;
  /** For commands on tasks. */
  commands: CommandContext;
  /** Events that a consumer of the queue has received so far. */
  events: TelemetryEvent[];
  /** The consumer that collects `events` leaves; what comes waits for the next consumer, or for `resumeTelemetry`. */
  pauseTelemetry(): Promise<void>;
  resumeTelemetry(): Promise<void>;
  /** Waits until everything is chained, signed and consumed, and checks the invariants. */
  atRest(): Promise<Findings>;
  /** Resolves when no task is live; fails after the time. */
  settled(timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
}

export interface NodeOptions {
  slots?: number;
  dataDir?: string;
  /** Put between the node and its orchestrator. */
  wrapLink?: (link: ControlLink) => ControlLink;
  onFatal?: (error: unknown) => void;
}

export interface RigOptions {
  flags?: Parameters<typeof loadSettings>[0] extends infer T
    ? NonNullable<T> extends { flags?: infer F }
      ? F
      : never
    : never;
  testDatabase?: TestDatabase;
  /** Whether orchestrators are added, and tell each other what they do. Default false. */
  hasPeers?: boolean;
  /** Bound of the telemetry queues. */
  telemetryQueueMaxLength?: number;
  /** Longest message that the broker takes. */
  messageMaxBytes?: number;
  /** Real parts, whatever the others run on. */
  real?: { rabbitMq: RabbitMqService; vhost?: string };
  /** Put between the orchestrator and its signer of manifests. */
  wrapSigner?: (signer: Signer) => Signer;
  /** Put between the orchestrator and its broker. */
  wrapBroker?: (broker: Broker) => Broker;
}

/** Starts an orchestrator that leads; nodes are added by the test. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const testDatabase = options.testDatabase ?? (await createTestDatabase());
  const database = createPool({ url: testDatabase.url, max: 10, role: 'writ_service' });
  const folder = await mkdtemp(join(tmpdir(), 'writ-rig-'));
  const { telemetryQueueMaxLength, messageMaxBytes, wrapSigner = same, wrapBroker = same } = options;
  const parts = await openParts({
    folder,
    ...(messageMaxBytes === undefined ? {} : { messageMaxBytes }),
    ...options.real,
  });
  const broker = await parts.connect();
  const connections = [broker];
  const { settings } = loadSettings({
    environment: {},
    flags: { heartbeat_interval_s: 1, mark_dir: join(folder, 'marks'), ...options.flags },
  });
  const catalog = await loadCatalog([catalogDir]);
  const log: Rig['log'] = [];
  const members: Member[] = [];
  const compose = async (connection: Broker): Promise<Member> => {
    const member = await composeMember({
      database,
      broker: wrapBroker(connection),
      ...parts,
      manifestKey: wrapKey(parts.manifestKey, wrapSigner),
      catalog,
      clock: systemClock,
      log: (level, event, fields) => log.push({ level, event, fields }),
      settings,
      ...(telemetryQueueMaxLength === undefined ? {} : { telemetryQueueMaxLength }),
      ...(options.hasPeers === true ? { notifyUrl: testDatabase.url } : {}),
      sever: () => parts.sever(connection),
    });
    members.push(member);
    return member;
  };
  const { orchestrator } = await compose(broker);
  const auth = await openNodeAuth(parts, orchestrator);
  await orchestrator.engine.start();
  const nodes: WorkerNode[] = [];
  const events: TelemetryEvent[] = [];
  const connected = async (connecting: Promise<Broker>): Promise<Broker> => {
    const connection = await connecting;
    connections.push(connection);
    return connection;
  };
  let telemetryConnection: Broker | undefined;
  const consumeTelemetry = async (): Promise<Consumer> => {
    telemetryConnection ??= await connected(parts.connectConsumer());
    const consumer = await telemetryConnection.consume(settings.telemetry_queue, {
      prefetch: 100,
      onDeliveries: (deliveries) => {
        for (const { body } of deliveries) events.push(JSON.parse(Buffer.from(body).toString()) as TelemetryEvent);
        consumer.ack(deliveries);
      },
      // As a consumer of its own would: it begins anew when the broker is back.
      onCancelled: () => {
        void eventually(async () => (telemetryConsumer = await consumeTelemetry().catch(() => undefined)), 120_000);
      },
    });
    return consumer;
  };
  let telemetryConsumer: Consumer | undefined = await consumeTelemetry();
  const wires = new Map<WorkerNode, Wire>();
  const rig: Rig = {
    ...{ orchestrator, members, database, url: testDatabase.url, folder, broker, nodes, log, events },
    addMember: async () => {
      const member = await compose(await connected(parts.connect()));
      await member.orchestrator.engine.start();
      return member;
    },
    manifestKey: parts.manifestKey,
    connect: () => connected(parts.connect()),
    connectConsumer: () => connected(parts.connectConsumer()),
    sever: (connection) => parts.sever(connection),
    commands: {
      ...{ database, audit: orchestrator.audit, clock: systemClock, priorityMs: 60_000 },
      onEnded: (taskIds) => {
        orchestrator.engine.ended(taskIds);
      },
      onQueued: (taskIds) => void orchestrator.engine.requeued(taskIds),
      onCancelRequested: () => {
        orchestrator.engine.changed();
      },
    },
    pauseTelemetry: async () => telemetryConsumer?.cancel(),
    resumeTelemetry: async () => {
      telemetryConsumer = await eventually(() => consumeTelemetry().catch(() => undefined));
    },
    atRest: async () => {
      await eventually(async () => {
        const { rows } = await database.query<{ rest: boolean }>(
          `select not exists (select from audit_inbox) and size = (select max(size) from checkpoints)
                  and size = (select next_seq from projections where name = 'telemetry.events') as rest from audit_head`,
        );
        return rows[0]?.rest === true && events.at(-1) !== undefined ? true : undefined;
      });
      const connection = telemetryConnection ?? broker;
      await eventually(async () => ((await connection.depth(settings.telemetry_queue)) === 0 ? true : undefined));
      return checkInvariants(database, events);
    },
    addNode: async (name, { slots = 8, dataDir = join(folder, name), wrapLink = same, onFatal } = {}) => {
      await mkdir(dataDir, { recursive: true });
      const wire: Wire = { isCut: false, isSwallowing: false, swallowed: 0 };
      const node = await WorkerNode.start({
        dataDir,
        connectBroker: async (access) => wiredBroker(await parts.connectNode(access), wire),
        wantsCertificate: parts.nodeAuthPort !== undefined,
        signer: await openLocalSigner({ path: join(dataDir, 'node.key'), algorithm: 'EdDSA', create: true }),
        catalog,
        clock: systemClock,
        link: wrapLink({
          join: (token, request) => orchestrator.fleet.join(token, request, 'rig'),
          heartbeat: (credential, nodeId, beat) => {
            if (wire.isCut) throw new AppError('unavailable', 'cut off');
            return orchestrator.fleet.heartbeat(credential, nodeId, beat);
          },
        }),
        joinRetryS: 0.01,
        name,
        labels: {},
        slots,
        joinToken: () => makeToken(database, 'join', name, []),
        log: (event, fields) => log.push({ level: 'node', event, fields }),
        onFatal: (error) => {
          log.push({ level: 'fatal', event: 'node', fields: { name, error } });
          onFatal?.(error);
        },
      });
      nodes.push(node);
      wires.set(node, wire);
      return node;
    },
    cutOff: (node) => {
      const wire = wireOf(wires, node);
      wire.isCut = true;
      return () => (wire.isCut = false);
    },
    crash: (node) => {
      wireOf(wires, node).isCut = true;
    },
    swallow: (node) => {
      const wire = wireOf(wires, node);
      wire.isSwallowing = true;
      return {
        get count() {
          return wire.swallowed;
        },
        restore: () => (wire.isSwallowing = false),
      };
    },
    principal: async (name, roles, scope) => {
      const token = await makeToken(database, 'svc', name, roles, scope);
      return orchestrator.aaa.authenticate(token, { ip: '127.0.0.1', requestId: 'rig' });
    },
    submit: async (principal, items) => {
      const answer = await orchestrator.submitter.submit({ principal, items, mode: 'batch', requestId: 'rig' });
      const { results } = JSON.parse(answer.body.toString()) as {
        results: { task?: { task_id: string }; error?: object }[];
      };
      return results.map(({ task, error }) => {
        if (task === undefined) throw new Error(JSON.stringify(error));
        return task;
      });
    },
    settled: async (timeoutMs = 30_000) => {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const { rows } = await database.query<{ n: number }>('select count(*) as n from queue');
        if (rows[0]?.n === 0) return;
        if (Date.now() > until) throw new Error(`${String(rows[0]?.n)} tasks are still live`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop(0).catch(() => undefined)));
      for (const member of members) await member.stop();
      await Promise.all(connections.map((connection) => connection.close()));
      await auth?.close();
      await parts.stop();
      await database.close();
      await testDatabase.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return rig;
}

function same<T>(value: T): T {
  return value;
}

/** Answers RabbitMQ about the rig's nodes. */
async function openNodeAuth({ nodeAuthPort, vhost }: Parts, orchestrator: Orchestrator): Promise<SideDoor | undefined> {
  if (nodeAuthPort === undefined || vhost === undefined) return undefined;
  const door = createBrokerAuthDoor({
    listen: { host: '127.0.0.1', port: nodeAuthPort },
    ...brokerAuthOf(orchestrator, vhost),
  });
  await door.listen();
  return door;
}

function wrapKey(key: SigningKey, wrap: (signer: Signer) => Signer): SigningKey {
  return {
    versions: () => key.versions(),
    signer: async (version) => wrap(await key.signer(version)),
    rotate: () => key.rotate(),
    retireBefore: (version) => key.retireBefore(version),
  };
}

/** What a test does to the connections of a node. */
interface Wire {
  isCut: boolean;
  isSwallowing: boolean;
  swallowed: number;
}

function wireOf(wires: ReadonlyMap<WorkerNode, Wire>, node: WorkerNode): Wire {
  const wire = wires.get(node);
  if (wire === undefined) throw new Error('not a node of this rig');
  return wire;
}

function wiredBroker(broker: Broker, wire: Wire): Broker {
  return {
    declare: (topology, options) => broker.declare(topology, options),
    deleteQueue: (name) => broker.deleteQueue(name),
    depth: (queue) => broker.depth(queue),
    health: () => broker.health(),
    close: () => broker.close(),
    publish: (messages) =>
      wire.isCut ? Promise.resolve(messages.map(() => ({ outcome: 'unconfirmed' }))) : broker.publish(messages),
    consume: async (queue, options) => {
      const consumer = await broker.consume(queue, {
        ...options,
        onDeliveries: (deliveries) => {
          if (wire.isSwallowing) {
            wire.swallowed += deliveries.length;
            consumer.ack(deliveries);
          } else if (!wire.isCut) {
            options.onDeliveries(deliveries);
          }
        },
      });
      return consumer;
    },
  };
}

async function makeToken(
  db: Database,
  kind: 'svc' | 'join',
  name: string,
  roles: string[],
  scope?: string,
): Promise<string> {
  const token = generateApiKey(kind);
  const parsed = parseApiKey(token);
  if (parsed === undefined) throw new Error('unreachable');
  closeRoles(roles);
  await insertToken(db, {
    token_id: newId<TokenId>(),
    sha256: parsed.sha256,
    prefix: parsed.prefix,
    kind,
    name,
    roles,
    scope: scope ?? null,
    networks: [],
    created_by: 'rig',
    expires_at: new Date(Date.now() + 600_000),
  });
  return token;
}
