/** RabbitMQ as an orchestrator meets it: TLS, login, version, and that nobody gets in by another way. */

import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import { readGreeting, speaksPlainAmqp } from '../../platform/broker/rabbitmq/greeting.ts';
import { RabbitMqInspection } from '../../platform/broker/rabbitmq/inspection.ts';
import type { Settings } from '../../settings/settings.ts';
import { rabbitMqTls } from '../rabbitmq.ts';
import { examineEnd } from './certificates.ts';
import { wordsOf, type Examination } from './finding.ts';
import { examineRights, examineTopology } from './rabbitmq-topology.ts';

const check = 'rabbitmq';
const plainPort = 5672;
const versionLeast = [3, 10] as const;

export interface RabbitMqExamination {
  clock: Clock;
  /** Where a listener without TLS would be; 5672 where it is not given. */
  plainPort?: number | undefined;
}

/** Declares, binds and publishes nothing that stays. */
export async function examineRabbitMq(
  examination: Examination,
  settings: Settings,
  options: RabbitMqExamination,
): Promise<void> {
  if (settings.broker !== 'rabbitmq') {
    examination.warn(check, 'Not checked: BROKER is in-process.');
    return;
  }
  const inspection = await examineLogin(examination, settings, options.clock);
  if (settings.rabbitmq_url.startsWith('amqps:')) await examinePlainListener(examination, settings, options.plainPort);
  if (inspection === undefined) {
    examination.warn('rabbitmq queues', 'Not checked: there is no connection to RabbitMQ.');
    return;
  }
  examineVersion(examination, inspection.version);
  await examineTopology(examination, settings, inspection);
  await examineRights(examination, settings, inspection);
}

async function examineLogin(
  examination: Examination,
  settings: Settings,
  clock: Clock,
): Promise<RabbitMqInspection | undefined> {
  const url = settings.rabbitmq_url;
  try {
    const tls = rabbitMqTls(settings);
    const { mechanisms, certificate } = await readGreeting({ url, tls });
    const named = { name: "RabbitMQ's certificate", certificate: new X509Certificate(certificate) };
    const hint = 'Renew it on RabbitMQ: rabbitmq/README.md, "Certificates".';
    examineEnd(examination, 'rabbitmq certificate', { ...named, hint }, clock);
    examineMechanisms(examination, mechanisms);
    const inspection = await RabbitMqInspection.open({ url, tls, name: 'writ doctor' });
    examination.defer(() => inspection.close());
    return inspection;
  } catch (error) {
    examination.fail(check, wordsOf(error), hintFor(error));
    return undefined;
  }
}

function examineMechanisms(examination: Examination, mechanisms: readonly string[]): void {
  const others = mechanisms.filter((mechanism) => mechanism !== 'EXTERNAL');
  const hint = 'Set auth_mechanisms.1 = EXTERNAL and no other in rabbitmq.conf, as in rabbitmq/.';
  if (others.length > 0) {
    const message = `RabbitMQ lets others in by password: it offers ${others.join(', ')}.`;
    examination.fail('rabbitmq mechanisms', message, hint);
  } else examination.ok('rabbitmq mechanisms', 'RabbitMQ takes certificates alone.');
}

async function examinePlainListener(
  examination: Examination,
  { rabbitmq_url: url }: Settings,
  port = plainPort,
): Promise<void> {
  const host = URL.canParse(url) ? new URL(url).hostname.replaceAll(/[[\]]/g, '') : '';
  const isThere = host !== '' && (await speaksPlainAmqp(host, port));
  const at = `${host}:${port.toString()}`;
  if (isThere) {
    const message = `At ${at} a broker takes AMQP without TLS.`;
    examination.warn('rabbitmq plain listener', message, 'If it is this RabbitMQ, set listeners.tcp = none.');
  } else examination.ok('rabbitmq plain listener', `Nothing takes AMQP without TLS at ${at}.`);
}

function examineVersion(examination: Examination, version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < versionLeast[0] || (major === versionLeast[0] && minor < versionLeast[1]);
  if (isOld) examination.fail(check, `RabbitMQ is version ${version}.`, 'Use 3.10 or newer.');
  else examination.ok(check, `RabbitMQ ${version} takes the client certificate.`);
}

/** What to do, beyond what the message says. */
function hintFor(error: unknown): string {
  const reason = error instanceof AppError ? error.reason : '';
  return hints[reason] ?? 'Compare the settings RABBITMQ_… with rabbitmq/README.md.';
}

const hints: Readonly<Record<string, string>> = {
  broker_url_refused: 'Write amqps://HOST:5671, and /VHOST after it where Writ has one of its own.',
  broker_unreachable: 'Look whether RabbitMQ runs, and at host, port and firewalls.',
  broker_name_wrong: 'openssl x509 -ext subjectAltName shows the names of a certificate.',
  broker_ca_wrong: 'Name the file with the authority that signed the certificate of RabbitMQ.',
  broker_certificate_expired: 'rabbitmq/README.md, "Certificates".',
  broker_client_certificate_expired: 'Have a new one signed: rabbitmq/README.md, "Certificates".',
  broker_client_ca_unknown: 'RabbitMQ reads the changed file by itself within minutes.',
  broker_client_certificate_refused: 'It has to be one for clients (extendedKeyUsage=clientAuth).',
  broker_client_key_wrong: 'Name the two that belong together.',
  broker_mechanism_missing: 'Copy rabbitmq/enabled_plugins and rabbitmq/rabbitmq.conf.',
  broker_login_refused: 'Make the user: rabbitmq/definitions.json has it; its name is the common name.',
  broker_vhost_refused: 'Make the virtual host, and give the user its rights there: rabbitmq/definitions.json.',
  broker_no_tls: 'rabbitmq/rabbitmq.conf sets that listener.',
  broker_no_amqp: 'rabbitmq/README.md lists the ports.',
};
