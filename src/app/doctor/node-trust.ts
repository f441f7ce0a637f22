/** Whether RabbitMQ lets in whom the authority of node certificates has signed. */

import { AppError } from '../../domain/error.ts';
import { readGreeting } from '../../platform/broker/rabbitmq/greeting.ts';
import type { Settings } from '../../settings/settings.ts';
import { readOptionalFile } from '../read-setting-file.ts';
import type { Examination } from './finding.ts';

/** Shakes hands with a certificate of a node, and logs nobody in. */
export async function examineNodeTrust(
  examination: Examination,
  settings: Settings,
  certificate: { cert: string; key: string },
): Promise<void> {
  const check = 'rabbitmq node authority';
  const ca = readOptionalFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile);
  if (settings.broker !== 'rabbitmq' || ca === undefined) return;
  const servername = settings.rabbitmq_ssl_servername;
  try {
    await readGreeting({
      url: settings.rabbitmq_url,
      tls: () => ({ ca, ...certificate, ...(servername === '' ? {} : { servername }) }),
    });
    examination.ok(check, 'RabbitMQ knows the authority of node certificates.');
  } catch (error) {
    const reason = error instanceof AppError ? error.reason : '';
    if (reason === 'broker_client_ca_unknown' || reason === 'broker_client_certificate_refused') {
      const message = 'RabbitMQ does not know the authority of node certificates: no node gets in.';
      const hint = 'Add the root (bao read -field=certificate pki/cert/ca) to ssl_options.cacertfile of RabbitMQ.';
      examination.fail(check, message, hint);
    } else examination.warn(check, 'Not checked: there is no connection to RabbitMQ.');
  }
}
