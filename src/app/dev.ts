/** `writ dev`: orchestrator and node in one process, on embedded parts, with data in one folder. */

import { mkdir, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { AppError } from '../domain/error.ts';
import { systemClock } from '../domain/clock.ts';
import { createHttpDoor, type HttpDoor } from '../doors/http/server.ts';
import { TaskChanges } from '../doors/http/task-changes.ts';
import { dropLead } from '../engine/leadership.ts';
import { InProcessBrokerServer } from '../platform/broker/in-process/in-process.ts';
import { lockDataFolder } from '../platform/data-folder.ts';
import { createListenerCertificate } from '../platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../platform/keys/local-authority.ts';
import { openLocalSigner } from '../platform/keys/local-signer.ts';
import { createLog, type Log } from '../platform/observability/log.ts';
import { startEmbeddedPostgres } from '../platform/postgres/embedded.ts';
import { migrate } from '../platform/postgres/migrate.ts';
import { createPool, type Database } from '../platform/postgres/pool.ts';
import { loadSettings, type Settings, type SettingsInput } from '../settings/settings.ts';
import type { Catalog } from '../tools/catalog.ts';
import { createControlLink } from '../worker/control-link.ts';
import { WorkerNode } from '../worker/worker-node.ts';
import { checkOwnFolder, ensureAdminToken, ensurePolicy, makeJoinToken, writeAddress } from './dev-files.ts';
import { httpServices, rateLimitsOf } from './http-services.ts';
import { installed, installedCatalog, installedVersion } from './installed.ts';
import { openLocalKeys } from './keys.ts';
import { isLoopback, nextFreePort, parseListen } from './listeners.ts';
import { composeOrchestrator, type Orchestrator } from './orchestrator.ts';
import { startOn, type Stack } from './stack.ts';
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

/** Starts everything; resolves when it is ready. What was started is stopped again where a part fails. */
export function startDev(options: DevOptions): Promise<Dev> {
  return startOn((stack) => start(options, stack));
}

async function start(options: DevOptions, stack: Stack): Promise<Dev> {
  const { settings } = loadSettings({
    file: options.config,
    defaults: { heartbeat_interval_s: 2, broker: 'in-process', signer: 'local' },
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
  const changes = new TaskChanges();
  const catalog = await installedCatalog(settings);
  const keys = await openLocalKeys(join(dataDir, 'keys'), settings.mark_dir);
  const orchestrator = await composeOrchestrator({
    ...{ database, catalog, clock: systemClock, log, settings, broker: broker.connect() },
    ...{ logSigner: keys.logSigner, manifestKey: keys.manifestKey, openMark: keys.openMark },
    onTasksEnded: (taskIds) => {
      changes.notify(taskIds);
    },
    telemetryQueueMaxLength: telemetryQueueMax,
  });
  stack.push(() => orchestrator.engine.stop());
  await orchestrator.engine.start();

  const { door, url, httpsUrl } = await openDoor(dataDir, orchestrator, changes, settings, log);
  stack.push(() => door.close());
  const adminToken = await ensureAdminToken(join(dataDir, 'admin.token'), orchestrator);
  await ensurePolicy(join(dataDir, 'audit.policy'), orchestrator.vkey);
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
    rateLimits: rateLimitsOf(settings),
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
    connectBroker: () => Promise.resolve(parts.broker.connect()),
    wantsCertificate: false,
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
