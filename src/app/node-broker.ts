/** Connects a node to RabbitMQ with the certificate that it was given when it joined. */

import { AppError } from '../domain/error.ts';
import { connectRabbitMq, type RabbitMqBroker } from '../platform/broker/rabbitmq/rabbitmq-broker.ts';
import type { NodeBrokerAccess } from '../worker/worker-node.ts';

export interface NodeBrokerOptions {
  /** Address and authority in place of those that the orchestrator told; empty for those. */
  url?: string;
  ca?: string;
  random: () => number;
  log: (event: string, fields: Record<string, string | number>) => void;
}

/** Goes on trying while RabbitMQ is away, or does not know the node yet. */
export async function connectNodeBroker(access: NodeBrokerAccess, options: NodeBrokerOptions): Promise<RabbitMqBroker> {
  const url = options.url ?? access.url;
  const ca = options.ca ?? access.ca;
  if (url === undefined || ca === undefined || access.certificate() === null) {
    throw new AppError(
      'invalid',
      'The orchestrator told no address of RabbitMQ: nodes of their own need an orchestrator with BROKER=rabbitmq.',
      { reason: 'no_broker_for_nodes' },
    );
  }
  return connectRabbitMq({
    url,
    tls: () => {
      const certificate = access.certificate();
      if (certificate === null) throw new Error('the certificate is gone');
      return { ca, cert: certificate.chain, key: certificate.key };
    },
    name: `writ node ${access.nodeId}`,
    random: options.random,
    log: options.log,
  });
}
