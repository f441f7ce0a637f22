/** Connections to the RabbitMQ of the tests, as one of its users. */

import { readFileSync } from 'node:fs';
import {
  connectRabbitMq,
  type RabbitMqBroker,
  type RabbitMqOptions,
} from '../../src/platform/broker/rabbitmq/rabbitmq-broker.ts';
import type { RabbitMqTls } from '../../src/platform/broker/rabbitmq/link.ts';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';

export type TestUser = Parameters<RabbitMqService['certificate']>[0];

/** What a user of the service connects with. */
export function tlsOf(service: RabbitMqService, user: TestUser): RabbitMqTls {
  const { certPath, keyPath } = service.certificate(user);
  return {
    ca: readFileSync(service.caPath, 'utf8'),
    cert: readFileSync(certPath, 'utf8'),
    key: readFileSync(keyPath, 'utf8'),
  };
}

export interface TestConnection {
  service: RabbitMqService;
  vhost: string;
  user?: TestUser;
  /** Where a proxy stands before the service. */
  port?: number;
  options?: Partial<RabbitMqOptions>;
}

/** A connection to a virtual host; by default as an orchestrator. */
export function connectTestRabbitMq(connection: TestConnection): Promise<RabbitMqBroker> {
  const { service, vhost, user = 'writ-orchestrator', port = service.port, options = {} } = connection;
  const tls = tlsOf(service, user);
  return connectRabbitMq({
    url: `amqps://localhost:${port.toString()}/${encodeURIComponent(vhost)}`,
    tls: () => tls,
    name: 'test',
    random: Math.random,
    log: () => undefined,
    ...options,
  });
}
