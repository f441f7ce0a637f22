/** Calls of RabbitMQ's management API, for what a test sets wrong on purpose. */

import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';

/** Sends one call; parts of the path are encoded. Fails where RabbitMQ refuses it. */
export async function callManagement(
  { managementUrl, managementUser, managementPassword }: RabbitMqService,
  method: 'GET' | 'PUT' | 'DELETE',
  path: readonly string[],
  body?: object,
): Promise<unknown> {
  const credentials = Buffer.from(`${managementUser}:${managementPassword}`).toString('base64');
  const response = await fetch(`${managementUrl}/api/${path.map(encodeURIComponent).join('/')}`, {
    method,
    headers: { authorization: `Basic ${credentials}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`RabbitMQ answers ${method} ${path.join('/')} with ${response.status}: ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}
