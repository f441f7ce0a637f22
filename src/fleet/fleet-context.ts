/** What the acts of the fleet work with. */

import type { LostAttempts } from '../collect/recover.ts';
import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import type { BrokerAccess, NodeTrust } from '../domain/node.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { Leases } from './leases.ts';
import type { ReceiptsThrough } from './receipts-through.ts';
import type { NodeRegistry } from './registry.ts';

export interface FleetOptions {
  database: Database;
  broker: Broker;
  audit: AuditLogger;
  clock: Clock;
  random: () => number;
  origin: string;
  vkey: string;
  processId: string;
  heartbeatIntervalS: number;
  heartbeatMisses: number;
  leaseS: number;
  /** Life of a node's credential; a new one is handed out when half of it is over. */
  credentialLifetimeS: number;
  /** Signs a node's request for a certificate to the broker; absent where the broker asks for none. */
  certify?: (csrPem: string, nodeId: string) => Promise<string>;
  /** A certificate could not be had now; the node asks again. */
  onCertifyFailure: (error: unknown) => undefined;
  /** Address and authority of a broker that nodes reach over the network. */
  brokerAccess: Pick<BrokerAccess, 'url' | 'ca'>;
  /** The log is not the one that its mark knows: nothing is sent and nothing given up. */
  isFenced: () => boolean;
  /** Nodes joined, came back or fell silent. */
  onNodesChanged: () => void;
  /** Attempts of a node were given up; `ready` can go again at once. */
  onLost: (nodeId: string, attempts: number, lost: LostAttempts) => void;
}

export interface FleetContext extends FleetOptions {
  registry: NodeRegistry;
  leases: Leases;
  receiptsThrough: ReceiptsThrough;
  /** The trust set, with proofs of the keys that are not among `knownKids`; all keys without proofs where that is undefined. */
  trust: (knownKids?: readonly string[]) => Promise<NodeTrust>;
  declareNode: (nodeId: string) => Promise<void>;
}
