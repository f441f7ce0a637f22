/** What the acts of the fleet work with. */

import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import type { NodeTrust } from '../domain/node.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
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
  /** The log is not the one that its mark knows: nothing is sent and nothing given up. */
  isFenced: () => boolean;
  /** Nodes joined, came back or fell silent. */
  onNodesChanged: () => void;
  /** Attempts of a node were given up; `ready` can go again at once. */
  onLost: (nodeId: string, attempts: number, lost: { ready: string[]; ended: number }) => void;
}

export interface FleetContext extends FleetOptions {
  registry: NodeRegistry;
  receiptsThrough: ReceiptsThrough;
  trust: () => Promise<NodeTrust>;
  declareNode: (nodeId: string) => Promise<void>;
}
