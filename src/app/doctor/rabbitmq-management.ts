/** What RabbitMQ's management API tells beyond AMQP: plugins, alarms, listeners, users. */

import { setTimeout as delay } from 'node:timers/promises';
import { receiptsQueue } from '../../domain/queues.ts';
import type { Settings } from '../../settings/settings.ts';
import { isLoopback } from '../listeners.ts';
import { vhostOf } from '../rabbitmq.ts';
import type { Examination } from './finding.ts';
import { callProblem } from './http-call.ts';
import { managementApi, notSeen, type ReadManagement, type Seen } from './management-api.ts';
import { examineUserRights } from './rabbitmq-users.ts';

const check = 'rabbitmq management';
const plugins = ['rabbitmq_auth_mechanism_ssl', 'rabbitmq_auth_backend_http', 'rabbitmq_auth_backend_cache'];
/** RabbitMQ 4 drops a message of a quorum queue after 20 deliveries where nothing says otherwise. */
const deliveryLimitLeast = 1_000_000;
const countTries = 20;
const countIntervalMs = 500;

export async function examineManagement(examination: Examination, settings: Settings): Promise<void> {
  const { rabbitmq_management_url: url } = settings;
  if (url === '') {
    examination.ok(check, 'Not asked: RABBITMQ_MANAGEMENT_URL is not set.');
    return;
  }
  const read = managementApi(settings);
  let overview: Seen;
  try {
    overview = await read('overview');
  } catch (error) {
    const names = { address: 'RABBITMQ_MANAGEMENT_URL', authority: 'RABBITMQ_SSL_CAFILE' };
    examination.fail(check, `The management API ${callProblem(error, names)}.`, 'Correct it, or unset it.');
    return;
  }
  if (overview.kind !== 'found') {
    const message = 'The management API refuses the user in RABBITMQ_MANAGEMENT_USER.';
    examination.fail(check, message, 'Set user and password, and give the user the tag monitoring or administrator.');
    return;
  }
  examineAccess(examination, url);
  examineListeners(examination, overview.value);
  await examineServers(examination, read);
  await examineDeliveryLimit(examination, settings, { read, version: versionIn(overview.value) });
  await examineGuest(examination, read);
  await examineUserRights(examination, settings, read);
}

function examineAccess(examination: Examination, url: string): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'http:' && !isLoopback(hostname.replaceAll(/[[\]]/g, ''))) {
    const message = 'The password of the management API crosses the network unencrypted.';
    examination.warn(check, message, 'Let it listen on loopback, or over https.');
  } else examination.ok(check, 'The management API answers.');
}

function examineListeners(examination: Examination, overview: unknown): void {
  const { listeners } = overview as { listeners?: { protocol?: string; ip_address?: string; port?: number }[] };
  const open = (listeners ?? []).filter(({ protocol }) => protocol === 'amqp');
  if (open.length === 0) {
    examination.ok('rabbitmq listeners', 'RabbitMQ listens for AMQP over TLS alone.');
    return;
  }
  const [{ ip_address: host = '', port = 0 } = {}] = open;
  const message = `RabbitMQ takes AMQP without TLS at ${host}, port ${port.toString()}.`;
  examination.fail('rabbitmq listeners', message, 'Set listeners.tcp = none, as in rabbitmq/rabbitmq.conf.');
}

interface Server {
  name?: string;
  running?: boolean;
  enabled_plugins?: string[];
  mem_alarm?: boolean;
  disk_free_alarm?: boolean;
  partitions?: string[];
}

async function examineServers(examination: Examination, read: ReadManagement): Promise<void> {
  const servers = await readServers(read);
  if (servers === undefined) {
    examination.warn('rabbitmq plugins', notSeen('plugins and alarms', 'the tag monitoring'));
    return;
  }
  const enabled = servers.filter(({ running }) => running === true);
  const missing = plugins.filter((plugin) => enabled.some(({ enabled_plugins }) => !enabled_plugins?.includes(plugin)));
  if (missing.length > 0) {
    const message = `These plugins are not enabled: ${missing.join(', ')}.`;
    examination.fail('rabbitmq plugins', message, `Run: rabbitmq-plugins enable ${missing.join(' ')}`);
  } else examination.ok('rabbitmq plugins', 'The plugins for certificates and for nodes are enabled.');
  const alarms = enabled.flatMap((server) => alarmsOf(server));
  for (const { message, hint } of alarms) examination.fail('rabbitmq alarms', message, hint);
  const stopped = servers.filter(({ running }) => running !== true).map(({ name = '' }) => name);
  if (stopped.length > 0) {
    examination.warn('rabbitmq alarms', `These servers of the cluster are down: ${stopped.join(', ')}.`, 'Start them.');
  }
  if (alarms.length + stopped.length === 0) examination.ok('rabbitmq alarms', 'RabbitMQ has memory and disk.');
}

/** Undefined where the user may not see them. */
async function readServers(read: ReadManagement): Promise<Server[] | undefined> {
  const answer = await readUntil(
    () => read('nodes'),
    (servers) =>
      (servers as Server[]).every(({ running, enabled_plugins: known }) => running !== true || known !== undefined),
  );
  return answer.kind === 'found' ? (answer.value as Server[]) : undefined;
}

/** RabbitMQ tells some things of a server or queue seconds after that has come about: asks again for some time. */
async function readUntil(ask: () => Promise<Seen>, isWhole: (value: unknown) => boolean): Promise<Seen> {
  for (let tries = 1; ; tries++) {
    const answer = await ask();
    if (answer.kind !== 'found' || isWhole(answer.value) || tries === countTries) return answer;
    await delay(countIntervalMs);
  }
}

function effectivePolicy(queue: unknown): { 'delivery-limit'?: number } | undefined {
  return (queue as { effective_policy_definition?: { 'delivery-limit'?: number } }).effective_policy_definition;
}

function alarmsOf({
  name = '',
  mem_alarm,
  disk_free_alarm,
  partitions = [],
}: Server): { message: string; hint: string }[] {
  const takesNone = 'and takes no messages.';
  return [
    ...(mem_alarm === true
      ? [{ message: `${name} is short of memory, ${takesNone}`, hint: 'Have queues consumed, or give it more memory.' }]
      : []),
    ...(disk_free_alarm === true
      ? [{ message: `${name} is short of disk, ${takesNone}`, hint: 'Have queues consumed, or give it more disk.' }]
      : []),
    ...(partitions.length > 0
      ? [{ message: `${name} does not see ${partitions.join(', ')}.`, hint: 'Mend the network of the cluster.' }]
      : []),
  ];
}

async function examineDeliveryLimit(
  examination: Examination,
  settings: Settings,
  { read, version }: { read: ReadManagement; version: string },
): Promise<void> {
  const name = 'rabbitmq policy';
  if (Number(version.split('.')[0]) < 4) {
    examination.ok(name, `RabbitMQ ${version} hands a receipt back as often as it has to.`);
    return;
  }
  const answer = await readUntil(
    () => read('queues', vhostOf(settings.rabbitmq_url), receiptsQueue),
    (queue) => effectivePolicy(queue) !== undefined,
  );
  if (answer.kind === 'denied') {
    examination.warn(name, notSeen(`the policy of ${receiptsQueue}`, 'a permission in the virtual host'));
    return;
  }
  const policy = answer.kind === 'found' ? effectivePolicy(answer.value) : undefined;
  if (policy === undefined) {
    examination.warn(
      name,
      `Not checked: RabbitMQ tells no policy of the queue ${receiptsQueue}, or has none of that name.`,
    );
    return;
  }
  const limit = policy['delivery-limit'];
  // From 4.0 on a negative limit is none.
  if (limit !== undefined && (limit < 0 || limit >= deliveryLimitLeast)) {
    examination.ok(name, `A receipt can be handed back as often as it has to.`);
    return;
  }
  const drops = `RabbitMQ ${version} drops a receipt that was handed back ${(limit ?? 20).toString()} times.`;
  examination.fail(name, drops, 'Set the policy writ-receipts of rabbitmq/definitions.json.');
}

async function examineGuest(examination: Examination, read: ReadManagement): Promise<void> {
  const answer = await read('users', 'guest');
  if (answer.kind === 'found') {
    const message = 'There is a user guest, whose password everybody knows.';
    examination.fail('rabbitmq guest', message, 'Run: rabbitmqctl delete_user guest');
  } else if (answer.kind === 'missing') examination.ok('rabbitmq guest', 'There is no user guest.');
  else examination.ok('rabbitmq guest', notSeen('users', 'the tag administrator'));
}

function versionIn(overview: unknown): string {
  return (overview as { rabbitmq_version?: string }).rabbitmq_version ?? '0';
}
