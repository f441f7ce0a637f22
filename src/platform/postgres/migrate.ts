/** Brings a database's schema up to date: numbered plain SQL files, forward only, each in a transaction of its own. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { FatalError } from '../../domain/error.ts';
import { sqlState, translateFailure } from './failure.ts';
import { openSession } from './session.ts';

export interface MigrateOptions {
  url: string;
  /** Folder of `0001_name.sql`, `0002_name.sql`, …; `schema.sql` in it is the dump and is left alone. */
  directory: string;
}

interface Migration {
  number: number;
  name: string;
  sql: string;
  sha256: string;
}

interface AppliedRow {
  number: number;
  name: string;
  sha256: string;
}

/** Any two programs that migrate one database must agree on this key of the advisory lock: "writ" in ASCII. */
const LOCK_KEY = 0x77726974;
/** How long another process may take for one file before this one gives up waiting. */
const LOCK_TIMEOUT_MS = 120_000;
const FILE_PATTERN = /^(\d{4})_[a-z0-9_]+\.sql$/;
const SCHEMA_DUMP = 'schema.sql';

const CREATE_TABLE = `create table if not exists migrations (
  number integer primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default now()
)`;

/**
 * Applies what is missing and answers the names of the files that this call applied. Any number of processes may call it at once:
 * one applies a file, the others wait and find it done. Fails `FatalError` where a file that was applied has changed, where the
 * database knows a file that this program does not (a newer program has been there), and where a file fails; that file then has
 * changed nothing. Fails `unavailable` without a connection.
 */
export async function migrate({ url, directory }: MigrateOptions): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(directory);
  const session = await openSession({ url, applicationName: 'writ migrate' });
  try {
    const applied: string[] = [];
    await locked(session, async () => {
      await session.query(CREATE_TABLE);
      await refuseForeignHistory(session, migrations);
    });
    for (const migration of migrations) {
      if (await locked(session, () => applyOnce(session, migration))) applied.push(migration.name);
    }
    return { applied };
  } catch (error) {
    throw translateFailure(error);
  } finally {
    await session.end().catch(() => undefined);
  }
}

/**
 * Names of the files that `migrate` would apply, of which none is applied here. Fails `FatalError` for a history that is not this
 * program's, as `migrate` does.
 */
export async function pendingMigrations(session: pg.Client, directory: string): Promise<string[]> {
  const migrations = await readMigrations(directory);
  const { rows: tables } = await session.query<{ found: boolean }>(
    "select to_regclass('migrations') is not null as found",
  );
  if (tables[0]?.found !== true) return migrations.map(({ name }) => name);
  await refuseForeignHistory(session, migrations);
  const { rows } = await session.query<Pick<AppliedRow, 'number'>>('select number from migrations');
  const applied = new Set(rows.map(({ number }) => number));
  return migrations.filter(({ number }) => !applied.has(number)).map(({ name }) => name);
}

async function readMigrations(directory: string): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql') && name !== SCHEMA_DUMP).sort();
  const migrations: Migration[] = [];
  for (const name of names) {
    const number = Number(FILE_PATTERN.exec(name)?.[1]);
    if (number !== migrations.length + 1) {
      throw new FatalError(`${join(directory, name)}: migrations are named 0001_name.sql and so on, without a gap`);
    }
    const bytes = await readFile(join(directory, name));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    migrations.push({ number, name, sql: bytes.toString('utf8'), sha256 });
  }
  return migrations;
}

/**
 * One transaction that holds the lock. The lock ends with the transaction, so it holds through a pooler that hands out connections
 * by transaction, and nobody has to let go of it.
 */
async function locked<T>(session: pg.Client, work: () => Promise<T>): Promise<T> {
  await session.query('begin');
  try {
    await session.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await session.query('select pg_advisory_xact_lock($1)', [LOCK_KEY]);
    const result = await work();
    await session.query('commit');
    return result;
  } catch (error) {
    await session.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function refuseForeignHistory(session: pg.Client, migrations: readonly Migration[]): Promise<void> {
  const { rows } = await session.query<AppliedRow>('select number, name, sha256 from migrations order by number');
  for (const row of rows) {
    const migration = migrations[row.number - 1];
    if (migration === undefined) {
      throw new FatalError(
        `the database is newer than this program: it has migration ${row.name}, the newest known here is ` +
          `${migrations.at(-1)?.name ?? 'none'}. Start the newer program.`,
      );
    }
    refuseChanged(migration, row);
  }
}

function refuseChanged(migration: Migration, row: AppliedRow): void {
  if (row.sha256 !== migration.sha256) {
    throw new FatalError(
      `migration ${migration.name} has changed since it was applied as ${row.name}: restore the file, and write a new one for the change`,
    );
  }
}

async function applyOnce(session: pg.Client, migration: Migration): Promise<boolean> {
  const { rows } = await session.query<AppliedRow>('select number, name, sha256 from migrations where number = $1', [
    migration.number,
  ]);
  const row = rows[0];
  if (row !== undefined) {
    refuseChanged(migration, row);
    return false;
  }
  try {
    await session.query(migration.sql);
  } catch (error) {
    throw sqlState(error) === undefined
      ? error
      : new FatalError(failureText(migration, error as pg.DatabaseError), error);
  }
  await session.query('insert into migrations (number, name, sha256) values ($1, $2, $3)', [
    migration.number,
    migration.name,
    migration.sha256,
  ]);
  return true;
}

function failureText(migration: Migration, error: pg.DatabaseError): string {
  const upTo = error.position === undefined ? undefined : migration.sql.slice(0, Number(error.position) - 1);
  const place = upTo === undefined ? '' : `, line ${upTo.split('\n').length}`;
  return `migration ${migration.name}${place}: ${error.message}`;
}
