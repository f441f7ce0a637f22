/** What is measured: Writ on embedded parts in one process, or on real parts in processes of their own. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServices } from '../scripts/services/start.ts';
import { startWrit } from '../scripts/services/writ.ts';
import { startDev } from '../src/app/dev.ts';
import { createPool, type Database } from '../src/platform/postgres/pool.ts';

const ticksPerS = 100;

export interface BenchSystem {
  parts: 'embedded' | 'real';
  url: string;
  token: string;
  tokenPath: string;
  database: Database;
  /** Statements that the orchestrator has sent so far, where that can be told. */
  statements: (() => number) | undefined;
  /** User and system time so far, milliseconds by process. */
  cpuMs(): Promise<Record<string, number>>;
  stop(): Promise<void>;
}

/** Everything in this process, but for PostgreSQL. */
export async function startEmbedded(feed: string): Promise<BenchSystem> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-'));
  const dev = await startDev({
    dataDir: join(folder, 'data'),
    flags: { http_listen: '127.0.0.1:0', mark_dir: join(folder, 'marks'), telemetry_feeds: feed },
    log: (level, event, fields) => {
      if (level === 'error') console.error(event, fields);
    },
  });
  return {
    parts: 'embedded',
    url: dev.url,
    token: dev.adminToken,
    tokenPath: dev.tokenPath,
    database: dev.database,
    statements: () => dev.database.statements(),
    cpuMs: async () => {
      const { user, system } = process.cpuUsage();
      return { 'orchestrator and node': (user + system) / 1000, PostgreSQL: await treeCpuMs([dev.databasePid]) };
    },
    stop: async () => {
      await dev.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** RabbitMQ over mutual TLS, OpenBao Transit, an orchestrator and a node, each a process. */
export async function startReal(feed: string): Promise<BenchSystem> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-'));
  const services = await startServices(folder, {});
  const dir = join(folder, 'writ');
  const settings = { TELEMETRY_FEEDS: feed };
  const writ = await startWrit({ services, dir, nodes: ['node-1'], settings, isTls: false }).catch(
    async (error: unknown) => {
      await services.stop();
      throw error;
    },
  );
  const database = createPool({ url: services.postgres.url, max: 2 });
  const pids = {
    orchestrator: [writ.pids.orchestrator],
    node: writ.pids.nodes,
    PostgreSQL: [services.postgres.pid],
    RabbitMQ: await pidsOf((command) => command.includes('beam.smp') && command.includes(folder)),
    OpenBao: await pidsOf((command) => command.includes('server') && command.includes(join(folder, 'openbao'))),
  };
  return {
    parts: 'real',
    url: writ.url,
    token: writ.adminToken,
    tokenPath: writ.tokenPath,
    database,
    statements: undefined,
    cpuMs: async () => {
      const entries = Object.entries(pids).map(async ([name, roots]) => [name, await treeCpuMs(roots)] as const);
      return Object.fromEntries(await Promise.all(entries));
    },
    stop: async () => {
      await database.close();
      await writ.stop();
      await services.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function pidsOf(isIt: (command: string) => boolean): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await allPids()) {
    const command = await readFile(`/proc/${pid.toString()}/cmdline`, 'latin1').catch(() => '');
    if (isIt(command.replaceAll('\0', ' '))) found.push(pid);
  }
  return found;
}

/** Time of these processes and of their children, those that have ended included. */
async function treeCpuMs(roots: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of await allPids()) {
    const stat = await readFile(`/proc/${pid.toString()}/stat`, 'utf8').catch(() => '');
    // proc_pid_stat(5): after the name in brackets come state and parent; 11 and 12 are the own times, 13 and 14 those of children.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (roots.includes(pid)) ticks += sum(fields.slice(11, 15));
    else if (roots.includes(Number(fields[1]))) ticks += sum(fields.slice(11, 13));
  }
  return (ticks * 1000) / ticksPerS;
}

async function allPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
}

function sum(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + Number(text), 0);
}
