/** Reads RabbitMQ's management API. */

import type { Settings } from '../../settings/settings.ts';
import { readOptionalFile } from '../read-setting-file.ts';
import { callHttp, type HttpAnswer } from './http-call.ts';

/** Reads what is at a path of the API. */
export type ReadManagement = (...path: string[]) => Promise<Seen>;

/** What was answered; `denied` where the user may not see it. */
export type Seen = { kind: 'found'; value: unknown } | { kind: 'missing' } | { kind: 'denied' };

/** Reads with the user of the settings. */
export function managementApi(settings: Settings): ReadManagement {
  const { rabbitmq_management_url: url, rabbitmq_management_user: user } = settings;
  const credentials = Buffer.from(`${user}:${settings.rabbitmq_management_password}`).toString('base64');
  const ca = readOptionalFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile);
  return async (...path) => {
    const target = `${url.replace(/\/$/, '')}/api/${path.map(encodeURIComponent).join('/')}`;
    return seen(await callHttp({ url: target, headers: { authorization: `Basic ${credentials}` }, ca }));
  };
}

function seen({ status, body }: HttpAnswer): Seen {
  if (status === 404) return { kind: 'missing' };
  if (status === 401 || status === 403) return { kind: 'denied' };
  if (status !== 200) throw new Error(`it answers with status ${status.toString()}`);
  return { kind: 'found', value: JSON.parse(body) };
}

/** For what the user of the management API may not see. */
export function notSeen(what: string, right: string): string {
  return `Not checked: the user in RABBITMQ_MANAGEMENT_USER does not see ${what} without ${right}.`;
}
