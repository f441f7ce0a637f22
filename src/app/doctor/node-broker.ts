/** RabbitMQ as a node reaches it: with the certificate that it was given when it joined. */

import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import type { Settings } from '../../settings/settings.ts';
import type { Identity } from '../../worker/identity.ts';
import { connectNodeBroker } from '../node-broker.ts';
import { readOptionalFile } from '../read-setting-file.ts';
import { wordsOf, type Examination } from './finding.ts';

const check = 'broker';
/** Nodes renew when half of a certificate's life is over: with less than this part left, that has gone wrong. */
const lateShare = 1 / 4;

/** When the certificate ends; heartbeats renew it. */
export function examineNodeCertificate(examination: Examination, { certificate }: Identity, clock: Clock): void {
  const name = 'node certificate';
  if (certificate === null) {
    examination.fail(name, 'The node was given no certificate.', 'Its orchestrator has to run with BROKER=rabbitmq.');
    return;
  }
  const { validFrom, validTo } = new X509Certificate(certificate.chain);
  const endMs = Date.parse(validTo);
  const leftMs = endMs - clock.now();
  const end = new Date(endMs).toISOString().slice(0, 16).replace('T', ' ');
  const hint = 'The next heartbeat renews it: start writ work, and look at its log where it runs.';
  if (leftMs <= 0) examination.fail(name, `The certificate of the node expired at ${end} UTC.`, hint);
  else if (leftMs < (endMs - Date.parse(validFrom)) * lateShare) {
    examination.warn(name, `The certificate of the node ends at ${end} UTC and was not renewed in time.`, hint);
  } else examination.ok(name, `The certificate of the node is good until ${end} UTC, and renewed before.`);
}

/** Connects as the node does, beside it where it runs. */
export async function examineNodeBroker(
  examination: Examination,
  settings: Settings,
  identity: Identity,
): Promise<void> {
  const ca = readOptionalFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile);
  try {
    const broker = await connectNodeBroker(
      { ...identity.broker, nodeId: identity.node_id, certificate: () => identity.certificate },
      {
        ...(settings.node_rabbitmq_url === '' ? {} : { url: settings.node_rabbitmq_url }),
        ...(ca === undefined ? {} : { ca }),
        random: Math.random,
        log: () => undefined,
      },
    );
    examination.defer(() => broker.close());
    if (broker.failure !== undefined) throw broker.failure;
    await broker.depth(identity.broker.queue);
    examination.ok(check, 'RabbitMQ lets the node in, and has its queue.');
  } catch (error) {
    const reason = error instanceof AppError ? error.reason : '';
    const [message, hint] = problems[reason] ?? [wordsOf(error), 'rabbitmq/README.md, "Nodes".'];
    examination.fail(check, message, hint);
  }
}

/** The settings of an orchestrator are not those of a node, whose certificate comes with the join. */
const problems: Readonly<Record<string, readonly [string, string]>> = {
  broker_unreachable: [
    'RabbitMQ does not answer at the address that the orchestrator told.',
    'Look at the network between; NODE_RABBITMQ_URL gives another address, on the orchestrator or here.',
  ],
  broker_name_wrong: [
    "RabbitMQ's certificate is for another name than the host that nodes are told.",
    'Set NODE_RABBITMQ_URL to a name of the certificate.',
  ],
  broker_ca_wrong: [
    "RabbitMQ's certificate is not signed by the authority that the orchestrator told.",
    'Name the right one in RABBITMQ_SSL_CAFILE, here, or on the orchestrator before nodes join.',
  ],
  broker_client_certificate_expired: [
    'RabbitMQ refuses the certificate of the node: it has expired.',
    'The next heartbeat renews it: start writ work, and look at its log where it runs.',
  ],
  broker_client_ca_unknown: [
    'RabbitMQ does not know the authority of node certificates: no node gets in.',
    'Add its root to ssl_options.cacertfile of RabbitMQ: rabbitmq/README.md, "Nodes".',
  ],
  broker_login_refused: [
    'RabbitMQ does not let the node in: no orchestrator has said that it may.',
    'On an orchestrator, run writ doctor (broker auth) and writ nodes: a node that was removed or cloned is refused.',
  ],
  broker_vhost_refused: [
    'RabbitMQ does not let the node into the virtual host.',
    'RABBITMQ_URL and NODE_RABBITMQ_URL of the orchestrator have to name the same one.',
  ],
  broker_queue_not_found: ['RabbitMQ lets the node in and has no queue for it.', 'writ serve makes it when it starts.'],
};
