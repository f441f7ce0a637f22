/** `writ serve`: an orchestrator on real parts, of which several may run side by side. */

import { systemClock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { createBrokerAuthDoor } from '../doors/http/broker-auth.ts';
import { createMetricsDoor } from '../doors/http/metrics-door.ts';
import { createHttpDoor, type HttpDoor } from '../doors/http/server.ts';
import { TaskChanges } from '../doors/http/task-changes.ts';
import { createLog, type Log } from '../platform/observability/log.ts';
import { migrate } from '../platform/postgres/migrate.ts';
import { createNotifier } from '../platform/postgres/notify.ts';
import { createPool, type Database } from '../platform/postgres/pool.ts';
import { loadSettings, type Settings, type SettingsInput } from '../settings/settings.ts';
import { brokerAuthOf } from './broker-auth.ts';
import { httpServices, rateLimitsOf } from './http-services.ts';
import { installed, installedCatalog, installedVersion } from './installed.ts';
import { openKeys } from './keys.ts';
import { isLoopback, parseListen } from './listeners.ts';
import { OrchestratorMetrics } from './metrics.ts';
import { composeOrchestrator, type Orchestrator } from './orchestrator.ts';
import { brokerAccessOf, openRabbitMq, vhostOf } from './rabbitmq.ts';
import { readSettingFile } from './read-setting-file.ts';
import { startOn, type Stack } from './stack.ts';

export interface ServeOptions {
  /** Path of a settings file. */
  config?: string | undefined;
  flags?: SettingsInput['flags'];
  environment?: SettingsInput['environment'];
  log?: Log;
}

export interface Serving {
  /** Address of the API. */
  url: string;
  origin: string;
  orchestrator: Orchestrator;
  database: Database;
  settings: Settings;
  /** Stops everything in order; calling it twice does nothing. */
  stop(): Promise<void>;
}

/** Starts an orchestrator; resolves when it takes calls. What was started is stopped again where a part fails. */
export function startServe(options: ServeOptions): Promise<Serving> {
  return startOn((stack) => serve(options, stack));
}

async function serve(options: ServeOptions, stack: Stack): Promise<Serving> {
  const { settings } = loadSettings({
    file: options.config,
    ...(options.flags === undefined ? {} : { flags: options.flags }),
    ...(options.environment === undefined ? {} : { environment: options.environment }),
  });
  checkParts(settings);
  const listeners = listenersOf(settings);
  const metrics = await metricsOf(settings);
  const written = options.log ?? createLog(settings.log_level);
  const log = metrics?.countedLog(written) ?? written;
  const database = await openDatabase(settings, stack);
  const keys = await openKeys(settings, log);
  stack.push(() => {
    keys.close();
    return Promise.resolve();
  });
  const broker = await openRabbitMq(settings, 'writ orchestrator', log);
  stack.push(() => broker.close());
  const changes = new TaskChanges();
  const orchestrator = await composeOrchestrator({
    ...{ database, log, settings, clock: systemClock },
    broker: metrics?.countedBroker(broker, settings.telemetry_exchange) ?? broker,
    logSigner: metrics?.timedLogSigner(keys.logSigner) ?? keys.logSigner,
    manifestKey: metrics?.timedManifestKey(keys.manifestKey) ?? keys.manifestKey,
    ...{ openMark: keys.openMark, authority: keys.authority },
    brokerAccess: brokerAccessOf(settings),
    catalog: await installedCatalog(settings),
    notifier: createNotifier({ database, url: settings.database_url }),
    onTasksEnded: (taskIds) => {
      changes.notify(taskIds);
      metrics?.tasksEnded(taskIds);
    },
    onPeerTasksEnded: () => {
      changes.notifyAll();
    },
  });
  await openBrokerAuth(settings, orchestrator, stack);
  stack.push(() => orchestrator.engine.stop());
  await orchestrator.engine.start();
  if (metrics !== undefined) await openMetrics(settings, metrics, orchestrator, stack);
  const door = createHttpDoor({
    services: httpServices(orchestrator, changes, settings.priority_point_s * 1000),
    ...listeners,
    version: await installedVersion(),
    rateLimits: rateLimitsOf(settings),
    trustedProxies: settings.http_trusted_proxies,
    onFailure: (error, requestId) => {
      log('error', 'call.failed', { request_id: requestId, error });
    },
    ...(metrics === undefined ? {} : { onAnswered: metrics.onAnswered }),
  });
  stack.push(() => door.close());
  await door.listen();
  return {
    url: urlOf(door),
    origin: orchestrator.origin,
    ...{ orchestrator, database, settings },
    stop: () => stack.unwind(),
  };
}

/** Every part that is not there is told at once. */
function checkParts(settings: Settings): void {
  const missing = [
    ...(settings.database_url === '' ? ['DATABASE_URL: PostgreSQL, postgres://USER:PASSWORD@HOST/DATABASE'] : []),
    ...(settings.broker === 'rabbitmq' ? [] : ['BROKER: writ serve needs rabbitmq; in-process is for writ dev']),
  ];
  if (missing.length === 0) return;
  throw new AppError('invalid', `These settings are missing or do not fit writ serve:\n  ${missing.join('\n  ')}`, {
    reason: 'invalid_settings',
  });
}

/** Brings the database to the present schema and opens it with the rights of the service. */
export async function openDatabase(
  { database_url: url, database_pool_max: max }: Settings,
  stack: Stack,
): Promise<Database> {
  await migrate({ url, directory: installed('migrations') });
  const database = createPool({ url, max, role: 'writ_service' });
  stack.push(() => database.close());
  return database;
}

/** With a certificate, HTTP_LISTEN speaks TLS and nothing else. */
function listenersOf(settings: Settings): Pick<Parameters<typeof createHttpDoor>[0], 'listen' | 'tls'> {
  const listen = parseListen(settings.http_listen);
  const tls = listenerCertificate(settings);
  if (tls !== undefined) return { tls: { ...listen, ...tls } };
  checkPlaintext('HTTP_LISTEN', settings.http_listen, settings);
  return { listen };
}

function listenerCertificate(settings: Settings): { key: string; cert: string } | undefined {
  const { http_tls_certfile: certFile, http_tls_keyfile: keyFile } = settings;
  if (certFile === '' && keyFile === '') return undefined;
  return { cert: readSettingFile('HTTP_TLS_CERTFILE', certFile), key: readSettingFile('HTTP_TLS_KEYFILE', keyFile) };
}

/** Refuses a listener off loopback without TLS, unless plaintext is allowed by name. */
export function checkPlaintext(setting: string, address: string, settings: Settings): void {
  if (isLoopback(parseListen(address).host) || settings.http_allow_plaintext) return;
  throw new AppError(
    'invalid',
    `${setting} (${address}) is not on loopback, and what it takes would cross the network unencrypted. Listen on 127.0.0.1, set HTTP_TLS_CERTFILE and HTTP_TLS_KEYFILE, or set HTTP_ALLOW_PLAINTEXT=true.`,
    { reason: 'plaintext_refused' },
  );
}

async function openBrokerAuth(settings: Settings, orchestrator: Orchestrator, stack: Stack): Promise<void> {
  const { broker_auth_listen: address } = settings;
  if (address === '') return;
  const listen = parseListen(address);
  // A RabbitMQ on this machine asks without TLS, as its configuration in `rabbitmq/` does.
  const tls = isLoopback(listen.host) ? undefined : listenerCertificate(settings);
  if (tls === undefined) checkPlaintext('BROKER_AUTH_LISTEN', address, settings);
  const door = createBrokerAuthDoor({
    listen,
    ...(tls === undefined ? {} : { tls }),
    ...brokerAuthOf(orchestrator, vhostOf(settings.rabbitmq_url)),
  });
  await door.listen();
  stack.push(() => door.close());
}

/** Undefined where nobody asks for metrics: then nothing is counted. */
async function metricsOf(settings: Settings): Promise<OrchestratorMetrics | undefined> {
  const { metrics_listen: address, telemetry_feeds: feeds } = settings;
  if (address === '') return undefined;
  if (listenerCertificate(settings) === undefined) checkPlaintext('METRICS_LISTEN', address, settings);
  return new OrchestratorMetrics({
    clock: systemClock,
    version: await installedVersion(),
    feeds: feeds === 'both' ? ['events', 'batches'] : [feeds],
  });
}

/** With a certificate, METRICS_LISTEN speaks TLS as HTTP_LISTEN does. */
async function openMetrics(
  settings: Settings,
  metrics: OrchestratorMetrics,
  orchestrator: Orchestrator,
  stack: Stack,
): Promise<void> {
  const tls = listenerCertificate(settings);
  const door = createMetricsDoor({
    listen: parseListen(settings.metrics_listen),
    ...(tls === undefined ? {} : { tls }),
    read: () => metrics.read(orchestrator),
    onFailure: (error) => {
      orchestrator.log('warn', 'metrics.failed', { error });
    },
  });
  await door.listen();
  stack.push(() => door.close());
}

function urlOf(door: HttpDoor): string {
  const { url, tlsUrl } = door.address() ?? {};
  return url ?? tlsUrl ?? '';
}
