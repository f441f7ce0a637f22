/** RabbitMQ as the settings of an orchestrator name it. */

import type { RabbitMqTls } from '../platform/broker/rabbitmq/link.ts';
import { connectRabbitMq, type RabbitMqBroker } from '../platform/broker/rabbitmq/rabbitmq-broker.ts';
import type { Log } from '../platform/observability/log.ts';
import type { Settings } from '../settings/settings.ts';
import { readSettingFile } from './read-setting-file.ts';

/**
 * Connects as an orchestrator. A RabbitMQ that is away is waited for, so that tasks are taken on meanwhile; one that refuses the
 * certificate, or whose own is wrong, fails at once with what is wrong.
 */
export async function openRabbitMq(settings: Settings, name: string, log: Log): Promise<RabbitMqBroker> {
  const broker = await connectRabbitMq({
    url: settings.rabbitmq_url,
    tls: rabbitMqTls(settings),
    name,
    random: Math.random,
    log: (event, fields) => {
      log(event === 'broker.connected' ? 'info' : 'warn', event, fields);
    },
  });
  const { failure } = broker;
  if (failure === undefined || failure.code === 'unavailable') return broker;
  await broker.close();
  throw failure;
}

/** What an orchestrator proves itself with; read again at each connection, so that a renewed certificate needs no restart. */
export function rabbitMqTls(settings: Settings): () => RabbitMqTls {
  const ca = readSettingFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile);
  return () => ({
    ca,
    cert: readSettingFile('RABBITMQ_SSL_CERTFILE', settings.rabbitmq_ssl_certfile),
    key: readSettingFile('RABBITMQ_SSL_KEYFILE', settings.rabbitmq_ssl_keyfile),
    passphrase: given(settings.rabbitmq_ssl_passphrase),
    servername: given(settings.rabbitmq_ssl_servername),
  });
}

/** The virtual host in an address. */
export function vhostOf(url: string): string {
  const path = decodeURIComponent(new URL(url).pathname.slice(1));
  return path === '' ? '/' : path;
}

/** What nodes are told of RabbitMQ when they join. */
export function brokerAccessOf(settings: Settings): { url: string; ca: string } {
  return {
    url: given(settings.node_rabbitmq_url) ?? settings.rabbitmq_url,
    ca: readSettingFile('RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile),
  };
}

function given(text: string): string | undefined {
  return text === '' ? undefined : text;
}
