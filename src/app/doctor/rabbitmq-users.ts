/** What users of RabbitMQ may do, compared with what they need: no less, and no more. */

import { randomUUID, X509Certificate } from 'node:crypto';
import { epochQueue, nodeQueue, receiptsQueue } from '../../domain/queues.ts';
import type { Settings } from '../../settings/settings.ts';
import { readSettingFile } from '../read-setting-file.ts';
import { vhostOf } from '../rabbitmq.ts';
import type { Examination } from './finding.ts';
import { notSeen, type ReadManagement } from './management-api.ts';
import { wantedTopology } from './rabbitmq-topology.ts';

const rights = ['configure', 'write', 'read'] as const;

/** Names that each right has to reach. */
type Needs = Readonly<Record<(typeof rights)[number], readonly string[]>>;

/** The user of the client certificate, and `writ-consumer` where there is one. */
export async function examineUserRights(
  examination: Examination,
  settings: Settings,
  read: ReadManagement,
): Promise<void> {
  const user = commonNameOf(settings) ?? 'writ-orchestrator';
  await examineUser(examination, settings, { read, user, needs: orchestratorNeeds(settings), isNeeded: true });
  const queues = wantedTopology(settings).queues.map(({ name }) => name);
  const needs = { configure: [], write: [], read: queues.filter((name) => name !== receiptsQueue) };
  await examineUser(examination, settings, { read, user: 'writ-consumer', needs, isNeeded: false });
}

function orchestratorNeeds(settings: Settings): Needs {
  const { exchanges, queues } = wantedTopology(settings);
  const own = [...new Set([...exchanges, ...queues].map(({ name }) => name))];
  return {
    configure: [...own, nodeQueue(randomUUID()), epochQueue(randomUUID())],
    write: [...own, 'amq.default'],
    read: own,
  };
}

interface UserCheck {
  read: ReadManagement;
  user: string;
  needs: Needs;
  isNeeded: boolean;
}

async function examineUser(
  examination: Examination,
  settings: Settings,
  { read, user, needs, isNeeded }: UserCheck,
): Promise<void> {
  const check = `rabbitmq user ${user}`;
  const vhost = vhostOf(settings.rabbitmq_url);
  const answer = await read('permissions', vhost, user);
  const hint = `Set them as in rabbitmq/definitions.json: rabbitmqctl set_permissions -p ${vhost} ${user} CONFIGURE WRITE READ`;
  if (answer.kind === 'denied') {
    examination.ok(check, notSeen(`the rights of ${user}`, 'the tag administrator'));
    return;
  }
  if (answer.kind === 'missing') {
    const message = `The user ${user} has no rights in the virtual host ${vhost}, or is not there.`;
    if (isNeeded) examination.fail(check, message, hint);
    else examination.ok(check, message);
    return;
  }
  const patterns = answer.value as Record<string, string>;
  const lacking = rights.flatMap((right) =>
    needs[right].filter((name) => !reaches(patterns[right], name)).map((name) => `${right} on ${name}`),
  );
  const foreign = rights.flatMap((right) =>
    foreignNames(needs, right)
      .filter((name) => reaches(patterns[right], name))
      .map((name) => `${right} on ${name}`),
  );
  if (lacking.length > 0) examination.fail(check, `The user ${user} lacks ${listOf(lacking)}.`, hint);
  if (foreign.length > 0) {
    examination.warn(check, `The user ${user} may do more than it needs: ${listOf(foreign)}.`, hint);
  }
  if (lacking.length + foreign.length === 0)
    examination.ok(check, `The user ${user} may do what it needs, and no more.`);
}

/** Names that the right must not reach: those of other rights, of other programs, and ones that begin or end like its own. */
function foreignNames(needs: Needs, right: (typeof rights)[number]): string[] {
  const all = new Set(rights.flatMap((other) => needs[other]));
  const similar = needs[right].flatMap((name) => [`x${name}`, `${name}x`]);
  const names = [...all, 'amq.default', 'amq.topic', 'amq.direct', 'another-queue', nodeQueue('x'), ...similar];
  return [...new Set(names)].filter((name) => !needs[right].includes(name));
}

/** RabbitMQ takes an empty pattern for one that reaches nothing. */
function reaches(pattern: string | undefined, name: string): boolean {
  if (pattern === undefined || pattern === '') return false;
  try {
    return new RegExp(pattern).test(name);
  } catch {
    return false;
  }
}

function listOf(items: readonly string[]): string {
  return items.length > 4
    ? `${items.slice(0, 4).join(', ')} and ${(items.length - 4).toString()} more`
    : items.join(', ');
}

function commonNameOf(settings: Settings): string | undefined {
  try {
    const pem = readSettingFile('RABBITMQ_SSL_CERTFILE', settings.rabbitmq_ssl_certfile);
    return /^CN=(.+)$/m.exec(new X509Certificate(pem).subject)?.[1];
  } catch {
    return undefined;
  }
}
