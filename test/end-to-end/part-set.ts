/** What a rig stands on. */

import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import type { Authority } from '../../src/domain/authority.ts';
import type { Broker } from '../../src/domain/broker.ts';
import type { Mark } from '../../src/domain/mark.ts';
import type { BrokerAccess } from '../../src/domain/node.ts';
import type { Signer, SigningKey } from '../../src/domain/signer.ts';
import type { NodeBrokerAccess } from '../../src/worker/worker-node.ts';

export interface Parts {
  logSigner: Signer;
  manifestKey: SigningKey;
  openMark: (origin: string) => Promise<Mark>;
  authority?: Authority;
  brokerAccess?: Pick<BrokerAccess, 'url' | 'ca'>;
  /** Where RabbitMQ asks about nodes, and the virtual host that it asks about. */
  nodeAuthPort?: number;
  vhost?: string;
  /** A connection with the rights of an orchestrator. */
  connect(): Promise<Broker>;
  /** A connection with the rights of a consumer of telemetry. */
  connectConsumer(): Promise<Broker>;
  /** The connection of a node. */
  connectNode(access: NodeBrokerAccess): Promise<Broker>;
  /** Ends a connection without goodbye; it does not come back. */
  sever(broker: Broker): Promise<void>;
  stop(): Promise<void>;
}

export interface PartsOptions {
  folder: string;
  /** Longest message that the broker takes. */
  messageMaxBytes?: number;
  /** A RabbitMQ of the test's own, in place of the one that all share. */
  rabbitMq?: RabbitMqService;
  /** A virtual host that is there, in place of one of the rig's own. */
  vhost?: string;
}
