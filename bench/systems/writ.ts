/** Writ on real parts, each a process: RabbitMQ over mutual TLS, OpenBao, PostgreSQL, orchestrators and nodes. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../scripts/services/ports.ts';
import { startServices, type RunningServices } from '../../scripts/services/start.ts';
import { nodeSettings, startWrit } from '../../scripts/services/writ.ts';
import { heapFlags, type WritProcess } from '../../scripts/services/writ-process.ts';
import { WritClient } from '../../src/client/client.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { cpuMs, pidsOf, type Processes } from '../measure/processes.ts';
import { Cleanup } from './cleanup.ts';
import { startHelper } from './helper.ts';
import { until } from './rest.ts';
import { startWritProcess } from './writ-process.ts';

/** What an installation is like; two of one shape can stand for each other. */
export interface WritShape {
  /** Feed of telemetry: many events a message, or one. Default `batches`. */
  feed?: 'batches' | 'events';
  /** Nodes at the start. Default 1. */
  nodes?: number;
  /** Settings of PostgreSQL over the usual ones. */
  postgres?: Readonly<Record<string, string>>;
  /** Flags of Node.js for orchestrators and nodes, `%` standing for what the process is. */
  flags?: readonly string[];
}

export interface Writ {
  url: string;
  token: string;
  tokenPath: string;
  policyPath: string;
  client: WritClient;
  /** As the owner of the database. */
  database: Database;
  services: RunningServices;
  folder: string;
  orchestratorPid(): number;
  nodeCount(): number;
  addNode(): Promise<WritProcess>;
  stopNodes(): Promise<void>;
  /** A further one, which answers no questions of RabbitMQ; answers its address beside the process. */
  addOrchestrator(): Promise<WritProcess & { url: string }>;
  /** Ends the first orchestrator; the answer starts another in its place. */
  pauseOrchestrator(): Promise<() => Promise<void>>;
  /** User and system time so far, milliseconds by process. */
  cpuMs(): Promise<Record<string, number>>;
  /** Resolves when every task has its end, committed. */
  untilDone(limitMs?: number): Promise<void>;
  /** Resolves when all that was done is chained, signed and published too. */
  untilAtRest(): Promise<void>;
  /** What does not hold of the things that must; empty for a sound installation at rest. */
  problems(): Promise<string[]>;
  stop(): Promise<void>;
}

/** A log of millions of tasks is read as a whole. */
const checkerMaxMb = 12_000;
/** For figures over all tasks of a long run. */
const statementTimeoutMs = 900_000;

export async function startWritSystem(shape: WritShape, outer: Cleanup): Promise<Writ> {
  const cleanup = new Cleanup();
  const stop = outer.add(() => cleanup.close());
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-'));
  cleanup.add(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  try {
    const services = await startServices(folder, { postgres: { settings: shape.postgres ?? {} } });
    cleanup.add(() => services.stop());
    return { ...(await startOn(services, folder, shape, cleanup)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startOn(
  services: RunningServices,
  folder: string,
  shape: WritShape,
  cleanup: Cleanup,
): Promise<Omit<Writ, 'stop'>> {
  const dir = join(folder, 'writ');
  const settings = { TELEMETRY_FEEDS: shape.feed ?? 'batches' };
  const flagsOf = (what: string): string[] => (shape.flags ?? []).map((flag) => flag.replace('%', what));
  const nodeFlags = flagsOf('orchestrator');
  const first = await startWrit({ services, dir, nodes: [], settings, isTls: false, nodeFlags });
  cleanup.add(() => first.stop());
  const { url, adminToken: token, tokenPath, policyPath } = first;
  const client = new WritClient({ url, token });
  const database = createPool({ url: services.postgres.url, max: 4, statementTimeoutMs });
  cleanup.add(() => database.close());

  const nodes: WritProcess[] = [];
  const orchestrators: WritProcess[] = [];
  let firstPid = first.pids.orchestrator;
  let nodesMade = 0;
  const addNode = async (): Promise<WritProcess> => {
    const name = `node-${++nodesMade}`;
    const own = await nodeSettings({ name, dir, url, ca: undefined, admin: client, services });
    const node = await startWritProcess(
      {
        args: ['work', '--json'],
        settings: { ...settings, ...own },
        flags: [...heapFlags, ...flagsOf(name)],
        folder,
      },
      cleanup,
    );
    nodes.push(node);
    return node;
  };
  const serve = async (own: Record<string, string>): Promise<WritProcess> => {
    const secret = { VAULT_SECRET_ID: await services.openBao.newSecretId() };
    const all = { ...services.environment, ...settings, ...secret, ...own };
    return startWritProcess(
      { args: ['serve', '--json'], settings: all, flags: [...heapFlags, ...nodeFlags], folder },
      cleanup,
    );
  };
  for (let n = 0; n < (shape.nodes ?? 1); n++) await addNode();

  const parts = await partsOf(services, folder);
  const processes = (): Processes => ({
    orchestrator: [firstPid, ...orchestrators.map(({ pid }) => pid)],
    node: nodes.map(({ pid }) => pid),
    ...parts,
  });
  return {
    ...{ url, token, tokenPath, policyPath, client, database, services, folder, addNode },
    orchestratorPid: () => firstPid,
    nodeCount: () => nodes.length,
    stopNodes: async () => {
      await Promise.all(nodes.splice(0).map((node) => node.stop()));
    },
    addOrchestrator: async () => {
      const [port = 0] = await freePorts(1);
      const listen = `127.0.0.1:${port}`;
      const added = await serve({ HTTP_LISTEN: listen, BROKER_AUTH_LISTEN: '' });
      orchestrators.push(added);
      const end = async (): Promise<void> => {
        orchestrators.splice(orchestrators.indexOf(added), 1);
        await added.stop();
      };
      return { ...added, url: `http://${listen}`, stop: end };
    },
    pauseOrchestrator: async () => {
      await first.stop();
      return async () => {
        firstPid = (await serve({ HTTP_LISTEN: `127.0.0.1:${new URL(url).port}` })).pid;
      };
    },
    cpuMs: () => cpuMs(processes()),
    untilDone: (limitMs) =>
      until(async () => !(await isBusy(database)), { ...(limitMs && { limitMs }), what: 'tasks' }),
    untilAtRest: () => until(() => isAtRest(database), { everyMs: 100, what: 'the log and its telemetry' }),
    problems: async () => {
      const checker = await startHelper('systems/invariants.ts', {}, cleanup, [`--max-old-space-size=${checkerMaxMb}`]);
      const problems = await checker.call<string[]>('check', { url: services.postgres.url });
      await checker.stop();
      return problems;
    },
  };
}

async function partsOf(services: RunningServices, folder: string): Promise<Processes> {
  return {
    PostgreSQL: [services.postgres.pid],
    RabbitMQ: await pidsOf((command) => command.includes('beam.smp') && command.includes(folder)),
    OpenBao: await pidsOf((command) => command.includes(' server ') && command.includes(join(folder, 'openbao'))),
  };
}

/** Asks an index first: while orders are out, the queue need not be read. */
async function isBusy(database: Database): Promise<boolean> {
  const open = await database.query('select from manifests where open > 0 limit 1');
  if (open.rowCount > 0) return true;
  const live = await database.query('select from queue limit 1');
  return live.rowCount > 0;
}

async function isAtRest(database: Database): Promise<boolean> {
  const { rows } = await database.query<{ rest: boolean }>(
    `select not exists (select from audit_inbox) and size = (select max(size) from checkpoints)
            and not exists (select from projections where next_seq < size) as rest from audit_head`,
  );
  return rows[0]?.rest === true;
}
