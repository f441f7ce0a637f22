/** `writ dev`: orchestrator and node in one process, on embedded parts, with data in one folder. */

import { mkdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '../domain/error.ts';
import { systemClock } from '../domain/clock.ts';
import type { Signer } from '../domain/signer.ts';
import { createHttpDoor, type HttpDoor } from '../doors/http/server.ts';
import { TaskChanges } from '../doors/http/task-changes.ts';
import { dropLead } from '../engine/leadership.ts';
import { InProcessBrokerServer } from '../platform/broker/in-process.ts';
import { lockDataFolder } from '../platform/data-folder.ts';
import { createListenerCertificate } from '../platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../platform/keys/local-authority.ts';
import { openLocalMark } from '../platform/keys/local-mark.ts';
import { openLocalSigner } from '../platform/keys/local-signer.ts';
import { createLog, type Log } from '../platform/observability/log.ts';
import { startEmbeddedPostgres } from '../platform/postgres/embedded.ts';
import { migrate } from '../platform/postgres/migrate.ts';
import { createPool, type Database } from '../platform/postgres/pool.ts';
import { loadSettings, type Settings, type SettingsInput } from '../settings/settings.ts';
import { rewindFeed } from '../telemetry/rewind.ts';
import { loadCatalog, type Catalog } from '../tools/catalog.ts';
import { createControlLink } from '../worker/control-link.ts';
import { WorkerNode } from '../worker/worker-node.ts';
import { checkOwnFolder, ensureAdminToken, ensurePolicy, makeJoinToken, writeAddress } from './dev-files.ts';
import { httpServices } from './http-services.ts';
import { isLoopback, nextFreePort, parseListen } from './listeners.ts';
import { composeOrchestrator, type Orchestrator } from './orchestrator.ts';
import { openTelemetryTap } from './telemetry-tap.ts';

/** Telemetry messages held in memory; the rest waits in the log. */
const telemetryQueueMax = 5000;
const poolMax = 16;

export interface DevOptions {
  dataDir: string;
  /** Path of a settings file. */
  config?: string | undefined;
  flags?: SettingsInput['flags'];
  log?: Log;
}

export interface Dev {
  url: string;
  httpsUrl: string;
  dataDir: string;
  databasePort: number;
  /** Of PostgreSQL’s first process. */
  databasePid: number;
  caPath: string;
  policyPath: string;
  tokenPath: string;
  adminToken: string;
  nodeId: string;
  database: Database;
  settings: Settings;
  catalog: Catalog;
  /** Stops everything in order; calling it twice does nothing. */
  stop(): Promise<void>;
}

/** What was started, to be stopped in the opposite order, also when a later start fails. */
class Stack {
  readonly #stops: (() => Promise<void>)[] = [];
  #stopping: Promise<void> | undefined;

  push(stop: () => Promise<void>): void {
    this.#stops.push(stop);
  }

  unwind(): Promise<void> {
    return (this.#stopping ??= this.#unwind());
  }

  async #unwind(): Promise<void> {
    const failures: unknown[] = [];
    for (const stop of this.#stops.toReversed()) await stop().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

/** Starts everything; resolves when it is ready. What was started is stopped again where a part fails. */
export async function startDev(options: DevOptions): Promise<Dev> {
  const stack = new Stack();
  try {
    return await start(options, stack);
  } catch (error) {
    await stack.unwind().catch(() => undefined);
    throw error;
  }
}

async function start(options: DevOptions, stack: Stack): Promise<Dev> {
  const { settings } = loadSettings({
    file: options.config,
    defaults: { heartbeat_interval_s: 2 },
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  });
  const log = options.log ?? createLog(settings.log_level);
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(options.dataDir);
  await checkOwnFolder(dataDir);
  checkMarkFolder(settings.mark_dir, dataDir);
  const lock = await lockDataFolder(dataDir);
  stack.push(() => lock.release());

  const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres') });
  stack.push(() => postgres.stop());
  await migrate({ url: postgres.url, directory: installed('migrations') });
  const database = createPool({ url: postgres.url, max: poolMax, role: 'writ_service' });
  stack.push(() => database.close());

  // The lock on the folder says that whoever led before is gone.
  await dropLead(database);
  const broker = new InProcessBrokerServer();
  stack.push(() => {
    broker.close();
    return Promise.resolve();
  });
  for (const feed of ['events', 'batches'] as const) await rewindFeed(database, feed);
  const changes = new TaskChanges();
  const catalog = await loadCatalog([
    installed('tools'),
    ...settings.tools_path.split(':').filter((dir) => dir !== ''),
  ]);
  const orchestrator = await composeOrchestrator({
    ...{ database, catalog, clock: systemClock, log, settings, broker: broker.connect() },
    ...(await openKeys(dataDir)),
    openMark: (origin) => openLocalMark({ directory: settings.mark_dir, origin }),
    onTasksEnded: (taskIds) => {
      changes.notify(taskIds);
    },
    telemetryQueueMaxLength: telemetryQueueMax,
  });
  stack.push(() => orchestrator.engine.stop());
  await orchestrator.engine.start();

  const { door, url, httpsUrl } = await openDoor(dataDir, orchestrator, changes, settings, log);
  stack.push(() => door.close());
  const adminToken = await ensureAdminToken(dataDir, orchestrator);
  await ensurePolicy(dataDir, orchestrator.vkey);
  stack.push(await writeAddress(dataDir, url));
  const queue = settings.telemetry_queue;
  const tap = await openTelemetryTap({ dataDir, connect: () => broker.connect(), database, queue });
  stack.push(() => tap.close());
  const node = await startNode({ dataDir, url, broker, orchestrator, settings, log });
  stack.push(() => node.stop(settings.shutdown_grace_period_s * 1000));

  return {
    ...{ url, httpsUrl, dataDir, adminToken, database, settings, catalog },
    databasePort: postgres.port,
    databasePid: postgres.pid,
    caPath: join(dataDir, 'ca.pem'),
    policyPath: join(dataDir, 'audit.policy'),
    tokenPath: join(dataDir, 'admin.token'),
    nodeId: node.nodeId,
    stop: () => stack.unwind(),
  };
}

async function openKeys(dataDir: string): Promise<{ logSigner: Signer; manifestSigner: Signer }> {
  const folder = join(dataDir, 'keys');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    logSigner: await openLocalSigner({ path: join(folder, 'log.pem'), algorithm: 'EdDSA', create: true }),
    manifestSigner: await openLocalSigner({ path: join(folder, 'manifest.pem'), algorithm: 'ES256', create: true }),
  };
}

async function openDoor(
  dataDir: string,
  orchestrator: Orchestrator,
  changes: TaskChanges,
  settings: Settings,
  log: Log,
): Promise<{ door: HttpDoor; url: string; httpsUrl: string }> {
  const authority = await openLocalAuthority({
    keyPath: join(dataDir, 'keys', 'ca.pem'),
    certificatePath: join(dataDir, 'ca.pem'),
    create: true,
    clock: systemClock,
  });
  const certificate = await createListenerCertificate(authority);
  const http = parseListen(settings.http_listen);
  if (!isLoopback(http.host) && !settings.http_allow_plaintext) {
    throw new AppError(
      'invalid',
      `HTTP_LISTEN (${settings.http_listen}) is not on loopback, and tokens would cross the network unencrypted. Listen on 127.0.0.1, or set HTTP_ALLOW_PLAINTEXT=true.`,
      { reason: 'plaintext_refused' },
    );
  }
  const https =
    settings.https_listen === ''
      ? { host: http.host, port: await nextFreePort(http) }
      : parseListen(settings.https_listen);
  const door = createHttpDoor({
    services: httpServices(orchestrator, changes, settings.priority_point_s * 1000),
    listen: http,
    tls: { ...https, key: certificate.keyPem, cert: certificate.certificatePem },
    version: await installedVersion(),
    onFailure: (error, requestId) => {
      log('error', 'call.failed', { request_id: requestId, error });
    },
  });
  await door.listen();
  const { url = '', tlsUrl = '' } = door.address() ?? {};
  return { door, url, httpsUrl: tlsUrl };
}

async function startNode(parts: {
  dataDir: string;
  url: string;
  broker: InProcessBrokerServer;
  orchestrator: Orchestrator;
  settings: Settings;
  log: Log;
}): Promise<WorkerNode> {
  const { settings, orchestrator, log } = parts;
  const dataDir = join(parts.dataDir, 'node');
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  return WorkerNode.start({
    dataDir,
    broker: parts.broker.connect(),
    signer: await openLocalSigner({ path: join(dataDir, 'node.pem'), algorithm: 'EdDSA', create: true }),
    catalog: orchestrator.catalog,
    clock: systemClock,
    link: createControlLink(parts.url),
    name: settings.node_name,
    labels: settings.node_labels,
    slots: settings.node_slots,
    joinToken: () => makeJoinToken(settings.node_name, orchestrator),
    log: (event, fields) => {
      log('warn', `node.${event}`, fields);
    },
    onFatal: (error) => {
      log('error', 'node.failed', { error });
      process.exitCode = 1;
      process.kill(process.pid, 'SIGTERM');
    },
  });
}

/** The mark tells a log that was set back: a mark that is set back with it tells nothing. */
function checkMarkFolder(markDir: string, dataDir: string): void {
  const path = relative(dataDir, resolve(markDir));
  if (path === '' || (!path.startsWith('..') && !isAbsolute(path))) {
    throw new AppError('invalid', `MARK_DIR (${markDir}) lies inside the data folder. Choose a folder outside of it.`, {
      reason: 'invalid_settings',
    });
  }
}

/** The version of this installation. */
async function installedVersion(): Promise<string> {
  return (JSON.parse(await readFile(installed('package.json'), 'utf8')) as { version: string }).version;
}

/** A folder or file of this installation. */
export function installed(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}
