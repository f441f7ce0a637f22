/** Makes the folder of a PostgreSQL server: all of it or nothing. */
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FatalError } from '../../../domain/error.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { startGuarded } from './process.ts';

/** Passwords of a server's own accounts, made at random. */
export interface Credentials {
  superuser: string;
  owner: string;
}

export interface ClusterOptions {
  dataDir: string;
  account: Account;
  binaries: Binaries;
  logFile: string;
}

const CLUSTER = 'cluster';
const PARTIAL_PREFIX = 'cluster.partial-';
const CREDENTIALS = 'credentials.json';

/** Where the server's files lie in the data folder. */
export function clusterPath(dataDir: string): string {
  return join(dataDir, CLUSTER);
}

/**
 * Makes the server's files when they are not there and answers the passwords. initdb works in a folder of another name, which gets
 * its own as the last step, so what an interrupted one leaves is never taken for a server; it is swept up here.
 */
export async function ensureCluster(options: ClusterOptions): Promise<Credentials> {
  const entries = await readdir(options.dataDir);
  for (const entry of entries.filter((name) => name.startsWith(PARTIAL_PREFIX))) {
    // Its initdb may be ending only now, and still write; what cannot be removed goes with the next start.
    const patience = { maxRetries: 20, retryDelay: 20 };
    await rm(join(options.dataDir, entry), { recursive: true, force: true, ...patience }).catch(() => undefined);
  }
  if (!entries.includes(CLUSTER)) return makeCluster(options);
  await refuseOtherVersion(options);
  return readCredentials(options.dataDir);
}

async function makeCluster({ dataDir, account, binaries, logFile }: ClusterOptions): Promise<Credentials> {
  const credentials = {
    superuser: randomBytes(24).toString('base64url'),
    owner: randomBytes(24).toString('base64url'),
  };
  const partial = await mkdtemp(join(dataDir, PARTIAL_PREFIX));
  const cluster = join(partial, CLUSTER);
  const passwordFile = join(partial, 'password');
  await mkdir(cluster, { mode: 0o700 });
  await writeFile(passwordFile, `${credentials.superuser}\n`, { mode: 0o600, flag: 'wx' });
  if (account.owner !== undefined) {
    const { uid, gid } = account.owner;
    for (const path of [partial, cluster, passwordFile]) await chown(path, uid, gid);
  }
  const layout = ['--pgdata', cluster, '--username', 'postgres', '--encoding', 'UTF8', '--locale', 'C'];
  const access = ['--auth', 'scram-sha-256', '--pwfile', passwordFile];
  const initdb = await startGuarded({
    account,
    file: binaries.initdb,
    args: [...layout, ...access, '--no-instructions'],
    logFile,
    signalAtEnd: 'TERM',
  });
  const { code, signal } = await initdb.exited;
  if (code !== 0) {
    throw new FatalError(
      `initdb failed (${code ?? signal ?? ''}): ${(await initdb.output()).trim().split('\n').slice(-8).join('\n')}`,
    );
  }
  await writeDurably(join(dataDir, CREDENTIALS), JSON.stringify(credentials));
  await rename(cluster, join(dataDir, CLUSTER));
  await syncFolder(dataDir);
  await rm(partial, { recursive: true, force: true });
  return credentials;
}

async function refuseOtherVersion({ dataDir, binaries }: ClusterOptions): Promise<void> {
  const made = (await readFile(join(dataDir, CLUSTER, 'PG_VERSION'), 'utf8').catch(() => 'unknown')).trim();
  if (made !== binaries.majorVersion) {
    throw new FatalError(
      `${join(dataDir, CLUSTER)} was made by PostgreSQL ${made}, this is ${binaries.majorVersion}: use the earlier version of this ` +
        'program on it, or another data folder',
    );
  }
}

async function readCredentials(dataDir: string): Promise<Credentials> {
  const path = join(dataDir, CREDENTIALS);
  try {
    const { superuser, owner } = JSON.parse(await readFile(path, 'utf8')) as Partial<Credentials>;
    if (typeof superuser === 'string' && typeof owner === 'string') return { superuser, owner };
  } catch (error) {
    throw new FatalError(`cannot read ${path}, which has the passwords of the database beside it: put it back`, error);
  }
  throw new FatalError(`${path} does not have the passwords of the database beside it: put it back`);
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await chmod(path, 0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
