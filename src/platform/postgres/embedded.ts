/** Runs a PostgreSQL server of Writ's own on a data folder, for `writ dev` and for tests. */
import { mkdir, readFile, realpath, rename, stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { FatalError } from '../../domain/error.ts';
import { chooseAccount, type Account } from './embedded/account.ts';
import { findBinaries } from './embedded/binaries.ts';
import { clusterPath, ensureCluster, type Credentials } from './embedded/cluster.ts';
import { endLeftover, endServerBySignals } from './embedded/leftover.ts';
import { startGuarded, type Exit, type GuardedProcess } from './embedded/process.ts';
import { serverSettings, settingArguments } from './embedded/settings.ts';
import { openSession } from './session.ts';

export interface EmbeddedOptions {
  /** Folder of the server's own, made if missing; its parent is held by `lockDataFolder`. */
  dataDir: string;
  /** Default: one that is free. */
  port?: number;
  /** Server settings over those of `serverSettings`. */
  settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** Database `writ` as its owner `writ`, who is no superuser. */
  url: string;
  /** Database `postgres` as the superuser `postgres`. */
  adminUrl: string;
  port: number;
  pid: number;
  /** Settles when the server ends, by `stop` or by itself. */
  exited: Promise<Exit>;
  /** Ends it in order, within seconds. Calling it twice does nothing. */
  stop(): Promise<void>;
}

interface Launch {
  account: Account;
  postgres: string;
  cluster: string;
  logFile: string;
  options: EmbeddedOptions;
}

const OWNER = 'writ';
const START_LIMIT_MS = 120_000;
const POLL_MS = 10;
const PORT_TRIES = 5;
/** Backends of a server that was killed end within a moment, and hold the data until then. */
const REMAINS_TRIES = 50;
const REMAINS_WAIT_MS = 200;
const LOG_MAX_BYTES = 8 * 1024 * 1024;
/** Line of postmaster.pid that holds the server's state, counted from 0; pg_ctl waits by it too. */
const STATE_LINE = 7;

/**
 * Starts the server and answers when it takes connections; the first start makes its files. The server ends with this process, by
 * SIGKILL as well; should one be left over all the same, it is ended first. Fails `FatalError` and says what to do.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new FatalError('there is no embedded PostgreSQL on Windows: use WSL');
  }
  // Others may pass through, so that the account of PostgreSQL can; nothing in it is readable for them.
  await mkdir(options.dataDir, { recursive: true, mode: 0o711 });
  const dataDir = await realpath(options.dataDir);
  const logFile = join(dataDir, 'postgres.log');
  await turnLogOver(logFile);
  const binaries = await findBinaries();
  const account = await chooseAccount(binaries, dataDir);
  const credentials = await ensureCluster({ dataDir, account, binaries, logFile });
  const cluster = clusterPath(dataDir);
  await endLeftover(cluster);
  const { server, port } = await launch({ account, postgres: binaries.postgres, cluster, logFile, options });
  try {
    return await opened(server, port, credentials);
  } catch (error) {
    await endServer(server);
    throw error;
  }
}

async function opened(server: GuardedProcess, port: number, credentials: Credentials): Promise<EmbeddedPostgres> {
  const adminUrl = urlOf('postgres', credentials.superuser, port, 'postgres');
  await ensureDatabase(adminUrl, credentials.owner);
  server.unref();
  let stopping: Promise<void> | undefined;
  return {
    url: urlOf(OWNER, credentials.owner, port, OWNER),
    adminUrl,
    port,
    pid: server.pid,
    exited: server.exited,
    stop: () => (stopping ??= endServer(server)),
  };
}

async function launch(launched: Launch): Promise<{ server: GuardedProcess; port: number }> {
  let portTries = 0;
  let remainsTries = 0;
  for (;;) {
    const port = launched.options.port ?? (await freePort());
    const server = await startServer(launched, port);
    if (await isReady(server, launched.cluster)) return { server, port };
    const output = await server.output();
    if (output.includes('could not bind') && launched.options.port === undefined && portTries < PORT_TRIES) {
      portTries += 1;
    } else if (output.includes('pre-existing shared memory block') && remainsTries < REMAINS_TRIES) {
      remainsTries += 1;
      await delay(REMAINS_WAIT_MS);
    } else {
      throw new FatalError(`PostgreSQL does not start, it says:\n${lastLines(output)}\nMore in ${launched.logFile}.`);
    }
  }
}

async function startServer(launched: Launch, port: number): Promise<GuardedProcess> {
  const settings = serverSettings(port, launched.options.settings ?? {});
  return startGuarded({
    account: launched.account,
    file: launched.postgres,
    args: ['-D', launched.cluster, ...settingArguments(settings)],
    logFile: launched.logFile,
    signalAtEnd: 'INT',
  });
}

/** False when it ended instead. */
async function isReady(server: GuardedProcess, cluster: string): Promise<boolean> {
  const hasEnded = watchEnd(server);
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += POLL_MS) {
    if (hasEnded()) return false;
    const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (lines[0] === String(server.pid) && lines[STATE_LINE]?.trim() === 'ready') return true;
    await delay(POLL_MS);
  }
  await endServer(server);
  throw new FatalError(
    `PostgreSQL was not ready within ${START_LIMIT_MS / 1000} s, it says:\n${lastLines(await server.output())}`,
  );
}

async function endServer(server: GuardedProcess): Promise<void> {
  const hasEnded = watchEnd(server);
  // Lets an end that has already happened be seen: its number may be another process's by now.
  await Promise.race([server.exited, delay(0)]);
  if (!hasEnded()) await endServerBySignals(server.pid, hasEnded);
}

function watchEnd(server: GuardedProcess): () => boolean {
  let ended = false;
  void server.exited.then(() => (ended = true));
  return () => ended;
}

async function ensureDatabase(adminUrl: string, ownerPassword: string): Promise<void> {
  const session = await openSession({ url: adminUrl, applicationName: 'writ start' });
  try {
    const { rows } = await session.query<{ role: boolean; database: boolean }>(
      `select exists (select from pg_roles where rolname = $1) as role,
              exists (select from pg_database where datname = $1) as database`,
      [OWNER],
    );
    const password = session.escapeLiteral(ownerPassword);
    if (rows[0]?.role !== true)
      await session.query(`create role ${OWNER} login createrole createdb password ${password}`);
    if (rows[0]?.database !== true) await session.query(`create database ${OWNER} owner ${OWNER}`);
  } finally {
    await session.end();
  }
}

function urlOf(user: string, password: string, port: number, database: string): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${database}?sslmode=disable`;
}

/** Free now; PostgreSQL is started anew on another where somebody was faster. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function turnLogOver(logFile: string): Promise<void> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_MAX_BYTES) await rename(logFile, `${logFile}.1`);
}

function lastLines(output: string): string {
  return output.trim().split('\n').slice(-8).join('\n');
}
