/** Databases for tests: one server for the whole run, one database for whoever asks, made from a migrated template. */
import { randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { openSession } from '../../src/platform/postgres/session.ts';
import { makeScratchFolder, scratchParent } from './scratch.ts';

export interface TestDatabase {
  /** As the owner of the database, who may change its tables: for a pool of the test's own. */
  url: string;
  /** As the superuser of the server, who may do more than any part of Writ: for looking into it. */
  superuserUrl: string;
  /** As the service, with the rights that Writ has when it runs. In an empty database as its owner. */
  database: Database;
  /** Closes `database` and removes all of it, whoever is still connected. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  /** Nothing in it: no tables, no roles. Default false: all migrations are applied. */
  empty?: boolean;
}

/** The folder of Writ's own migrations. */
export const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

const TEMPLATE = 'migrated';
const FOLDER_PREFIX = 'writ-test-postgres-';

let server: Promise<{ postgres: EmbeddedPostgres; folder: string }> | undefined;
let template: Promise<void> | undefined;

/** A new database. The server is started and the template made by whoever asks first, in about a second. */
export async function createTestDatabase({ empty = false }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { postgres } = await (server ??= startServer());
  if (!empty) await (template ??= makeTemplate(postgres));
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(postgres, `create database ${name} owner writ template ${empty ? 'template0' : TEMPLATE}`);
  const url = urlOf(postgres.url, name);
  const database = createPool({ url, max: 5, ...(empty ? {} : { role: 'writ_service' }) });
  return {
    url,
    superuserUrl: urlOf(postgres.adminUrl, name),
    database,
    drop: async () => {
      await database.close();
      await administer(postgres, `drop database if exists ${name} with (force)`);
    },
  };
}

/** Ends the server and removes its files; for the end of the run. */
export async function stopTestPostgres(): Promise<void> {
  if (server === undefined) return;
  const { postgres, folder } = await server;
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}

async function startServer(): Promise<{ postgres: EmbeddedPostgres; folder: string }> {
  await sweep();
  const folder = await makeScratchFolder(`${FOLDER_PREFIX}${process.pid}-`);
  // What a test commits need not outlive the machine, and the folder may lie in memory.
  const unsafe = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
  const settings = { ...unsafe, max_wal_size: '128MB', min_wal_size: '32MB', max_connections: '200' };
  const postgres = await startEmbeddedPostgres({ dataDir: folder, settings });
  return { postgres, folder };
}

/** Runs that were killed left their folders behind; their servers have ended by themselves. */
async function sweep(): Promise<void> {
  const parent = await scratchParent();
  for (const name of await readdir(parent)) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const pid = Number(name.slice(FOLDER_PREFIX.length).split('-')[0]);
    if (!isAlive(pid)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function makeTemplate(postgres: EmbeddedPostgres): Promise<void> {
  await administer(postgres, `create database ${TEMPLATE} owner writ template template0`);
  await migrate({ url: urlOf(postgres.url, TEMPLATE), directory: MIGRATIONS });
}

function urlOf(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}

async function administer(postgres: EmbeddedPostgres, text: string): Promise<void> {
  const session = await openSession({ url: postgres.adminUrl, applicationName: 'writ test' });
  try {
    await session.query(text);
  } finally {
    await session.end();
  }
}
