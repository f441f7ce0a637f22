/** What the engine is made of; the composition hands it in. */

import type { AAAServiceAdapter } from '../aaa/aaa-service-adapter.ts';
import type { ScopeStore } from '../aaa/scope-store.ts';
import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import type { EventType } from '../domain/event.ts';
import type { Mark } from '../domain/mark.ts';
import type { Signer } from '../domain/signer.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { ManifestKeys } from '../ledger/manifest-keys.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { Feed, TelemetryNames } from '../telemetry/feeds.ts';
import type { Catalog } from '../tools/catalog.ts';
import type { Requirements } from '../tasks/requirements.ts';
import type { Peers } from './peers.ts';

export interface EngineParts {
  database: Database;
  broker: Broker;
  mark: Mark;
  logSigner: Signer;
  manifestKeys: ManifestKeys;
  clock: Clock;
  random: () => number;
  audit: AuditLogger;
  origin: string;
  vkey: string;
  /** Id of this run of the process. */
  processId: string;
  catalog: Catalog;
  requirements: Requirements;
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  fleet: Fleet;
  telemetry: {
    feeds: readonly Feed[];
    names: TelemetryNames;
    isWanted: (type: EventType) => boolean;
    maxAttempts: number;
    backoffInitialS: number;
    backoffMaxS: number;
    queueMaxLength?: number;
  };
  priorityMs: number;
  leaseS: number;
  /** Other orchestrators on the same database; absent where there can be none. */
  peers?: Peers;
  /** Tasks ended in another process: whoever waits here looks again. */
  onPeerTasksEnded: () => void;
  /** Tasks that ended: callers may wait for them. */
  onTasksEnded: (taskIds: readonly string[]) => void;
  /** One line for the log: what happened, with ids and codes only. */
  log: (level: 'info' | 'warn' | 'error', event: string, fields: Record<string, unknown>) => void;
}
