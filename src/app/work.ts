/** `writ work`: a node as a process of its own. It knows its orchestrator and the broker, and nothing else of the control plane. */

import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { lockDataFolder } from '../platform/data-folder.ts';
import { openLocalSigner } from '../platform/keys/local-signer.ts';
import { createLog, type Log } from '../platform/observability/log.ts';
import { loadSettings, type Settings, type SettingsInput } from '../settings/settings.ts';
import { createControlLink } from '../worker/control-link.ts';
import { openManagementDoor } from '../worker/management.ts';
import { WorkerNode } from '../worker/worker-node.ts';
import { checkOwnFolder } from './dev-files.ts';
import { installedCatalog } from './installed.ts';
import { parseListen } from './listeners.ts';
import { connectNodeBroker } from './node-broker.ts';
import { readOptionalFile } from './read-setting-file.ts';
import { startOn, type Stack } from './stack.ts';

export interface WorkOptions {
  config?: string | undefined;
  flags?: SettingsInput['flags'];
  environment?: SettingsInput['environment'];
  log?: Log;
  /** The node cannot go on, or was told to end. */
  onEnd: (reason: 'failed' | 'terminated') => void;
}

export interface Working {
  nodeId: string;
  dataDir: string;
  /** Address of the management door; undefined while it is shut. */
  managementUrl: string | undefined;
  /** Takes no more, gives what runs the grace period, sends all receipts; calling it twice does nothing. */
  stop(): Promise<void>;
}

/** Starts a node; resolves when it takes orders. It waits for an orchestrator that does not answer yet. */
export function startWork(options: WorkOptions): Promise<Working> {
  return startOn((stack) => work(options, stack));
}

async function work(options: WorkOptions, stack: Stack): Promise<Working> {
  const { settings } = loadSettings({
    file: options.config,
    ...(options.flags === undefined ? {} : { flags: options.flags }),
    ...(options.environment === undefined ? {} : { environment: options.environment }),
  });
  const log = options.log ?? createLog(settings.log_level);
  await mkdir(settings.node_data_dir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(settings.node_data_dir);
  await checkOwnFolder(dataDir);
  const lock = await lockDataFolder(dataDir);
  stack.push(() => lock.release());
  const ca = readOptionalFile('ORCHESTRATOR_CACERT', settings.orchestrator_cacert);
  const brokerCa = readOptionalFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile);
  const noteWarning = (event: string, fields: Record<string, string | number>): void => {
    log(event === 'broker.connected' ? 'info' : 'warn', `node.${event}`, fields);
  };
  const node = await WorkerNode.start({
    dataDir,
    connectBroker: (access) =>
      connectNodeBroker(access, {
        ...(settings.node_rabbitmq_url === '' ? {} : { url: settings.node_rabbitmq_url }),
        ...(brokerCa === undefined ? {} : { ca: brokerCa }),
        random: Math.random,
        log: noteWarning,
      }),
    wantsCertificate: true,
    signer: await openLocalSigner({ path: join(dataDir, 'node.pem'), algorithm: 'EdDSA', create: true }),
    catalog: await installedCatalog(settings),
    clock: systemClock,
    link: createControlLink(settings.orchestrator_url, ca === undefined ? {} : { ca }),
    name: settings.node_name,
    labels: settings.node_labels,
    slots: settings.node_slots,
    joinToken: () => Promise.resolve(requireJoinToken(settings)),
    joinRetryS: settings.registration_retry_delay_s,
    log: noteWarning,
    onFatal: (error) => {
      log('error', 'node.failed', { error });
      options.onEnd('failed');
    },
  });
  let graceS = settings.shutdown_grace_period_s;
  stack.push(() => node.stop(graceS * 1000));
  const managementUrl = await openManagement(settings, stack, (seconds) => {
    graceS = seconds;
    options.onEnd('terminated');
  });
  return { nodeId: node.nodeId, dataDir, managementUrl, stop: () => stack.unwind() };
}

function requireJoinToken({ join_token: token }: Settings): string {
  if (token !== '') return token;
  throw new AppError(
    'invalid',
    'This node has not joined yet and has no join token. Make one with "writ token create NAME --kind join" and set JOIN_TOKEN or JOIN_TOKEN_FILE.',
    { reason: 'join_token_missing' },
  );
}

async function openManagement(
  settings: Settings,
  stack: Stack,
  onTerminate: (graceS: number) => void,
): Promise<string | undefined> {
  const { management_auth_token: token, management_listen: address, shutdown_grace_period_s: graceS } = settings;
  if (token === '') return undefined;
  const door = await openManagementDoor({
    listen: parseListen(address),
    token,
    graceS,
    clock: systemClock,
    onTerminate,
  });
  stack.push(() => door.close());
  return door.url;
}
