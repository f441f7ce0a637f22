/** The peers: other queues for Node.js, with jobs that do nothing, set up as their documents call fast. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { cpuMs, type Processes } from '../measure/processes.ts';
import type { Cleanup } from './cleanup.ts';
import { startHelper, type Helper } from './helper.ts';
import { startRedis } from './redis.ts';

export type PeerName = keyof typeof peers;

interface PeerDefinition {
  title: string;
  store: 'Redis' | 'PostgreSQL';
  /** Package and program: `peers/<program>.mjs`. */
  program: 'bullmq' | 'graphile-worker' | 'pg-boss';
  /** Further members of the program's argument. */
  argument: object;
  /** Jobs of one call, and calls side by side. */
  load: { size: number; atOnce: number };
  /** Finds something while jobs are not ended; of a peer that says so itself there is none. */
  busy?: string;
}

/** Of the peers' PostgreSQL, over those of Writ's. */
const settings = { autovacuum: 'off' };

const bulk = { size: 500, atOnce: 2 };

export const peers = {
  bullmq: {
    title: 'BullMQ, addBulk of 500',
    store: 'Redis',
    program: 'bullmq',
    argument: { queue: 'bulk' },
    load: bulk,
  },
  bullmqSingle: {
    title: 'BullMQ, single adds, 32 at once',
    store: 'Redis',
    program: 'bullmq',
    argument: { queue: 'single' },
    load: { size: 1, atOnce: 32 },
  },
  graphile: {
    title: 'graphile-worker, defaults',
    store: 'PostgreSQL',
    program: 'graphile-worker',
    argument: { schema: 'graphile_default', localQueue: false, batchesCompletion: false },
    load: bulk,
    busy: 'select from graphile_default._private_jobs limit 1',
  },
  graphileLocalQueue: {
    title: 'graphile-worker, fetching 500, completing one by one',
    store: 'PostgreSQL',
    program: 'graphile-worker',
    argument: { schema: 'graphile_local', localQueue: true, batchesCompletion: false },
    load: bulk,
    busy: 'select from graphile_local._private_jobs limit 1',
  },
  graphileBatching: {
    title: 'graphile-worker, with batching',
    store: 'PostgreSQL',
    program: 'graphile-worker',
    argument: { schema: 'graphile_batching', localQueue: true, batchesCompletion: true },
    load: bulk,
    busy: 'select from graphile_batching._private_jobs limit 1',
  },
  pgBoss: {
    title: 'pg-boss, batches of 500',
    store: 'PostgreSQL',
    program: 'pg-boss',
    argument: { schema: 'pgboss' },
    load: bulk,
    busy: "select from pgboss.job where state < 'completed' limit 1",
  },
} as const satisfies Record<string, PeerDefinition>;

/** A peer that runs. Between `resume` and `pause` alone its worker does anything. */
export interface Peer {
  title: string;
  producer: Helper;
  worker: Helper;
  load: { size: number; atOnce: number };
  cpuMs(): Promise<Record<string, number>>;
  /**
   * Takes away what was deleted, as autovacuum does in time, and counts what is in the tables now, for query plans. Not while they are empty:
   * plans that walk the whole table come out, and are kept when it fills up.
   */
  vacuum(): Promise<void>;
  /** Whether jobs are left that are not ended, committed. */
  isBusy(): Promise<boolean>;
}

/** Owns the stores, each started for the first peer that needs it. */
export class Peers {
  readonly #cleanup: Cleanup;
  #folder: Promise<string> | undefined;
  #redis: Promise<{ pid: number; port: number }> | undefined;
  #postgres: Promise<{ pid: number; url: string; database: Database }> | undefined;
  readonly #started = new Map<PeerName, Promise<Peer>>();

  constructor(cleanup: Cleanup) {
    this.#cleanup = cleanup;
  }

  /** Producer and worker, each a process, the worker standing still. */
  start(name: PeerName): Promise<Peer> {
    const known = this.#started.get(name);
    if (known !== undefined) return known;
    const starting = this.#start(peers[name]);
    this.#started.set(name, starting);
    return starting;
  }

  async #start({ title, store, program, argument, load, busy }: PeerDefinition): Promise<Peer> {
    const { pid, ...address } = store === 'Redis' ? await this.#openRedis() : await this.#openPostgres();
    const { database, ...where } = { database: undefined, ...address };
    const start = (role: string): Promise<Helper> =>
      startHelper(`peers/${program}.mjs`, { role, ...where, ...argument }, this.#cleanup);
    // The producer first: it makes the tables.
    const producer = await start('producer');
    const worker = await start('worker');
    const processes: Processes = { worker: [worker.pid], [store]: [pid], producer: [producer.pid] };
    worker.pause();
    return {
      ...{ title, producer, worker, load },
      cpuMs: () => cpuMs(processes),
      vacuum: async () => {
        await database?.query('vacuum analyze');
      },
      isBusy: async () => database !== undefined && busy !== undefined && (await database.query(busy)).rowCount > 0,
    };
  }

  #openRedis(): Promise<{ pid: number; port: number }> {
    return (this.#redis ??= this.#makeFolder().then((folder) => startRedis(join(folder, 'redis'), this.#cleanup)));
  }

  /**
   * The binaries and the settings of Writ's own, another server. When autovacuum counts the rows of a queue that happens to be empty, plans
   * that walk all of it come out, and the same peer is ten times slower or not by chance: here it is done by hand, where it helps.
   */
  #openPostgres(): Promise<{ pid: number; url: string; database: Database }> {
    return (this.#postgres ??= this.#makeFolder().then(async (folder) => {
      const { pid, url, stop } = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), settings });
      this.#cleanup.add(stop);
      const database = createPool({ url, max: 2 });
      this.#cleanup.add(() => database.close());
      return { pid, url, database };
    }));
  }

  #makeFolder(): Promise<string> {
    return (this.#folder ??= mkdtemp(join(tmpdir(), 'writ-bench-peers-')).then((folder) => {
      this.#cleanup.add(() => rm(folder, { recursive: true, force: true }));
      return folder;
    }));
  }
}
