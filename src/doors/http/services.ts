/** What the HTTP door calls: the rooms behind it, handed in by the composition. */

import type { AAAServiceAdapter, CallContext } from '../../aaa/aaa-service-adapter.ts';
import type { ScopeStore } from '../../aaa/scope-store.ts';
import type { Clock } from '../../domain/clock.ts';
import type { AuditLogger } from '../../ledger/audit-logger.ts';
import type { ManifestKeys } from '../../ledger/manifest-keys.ts';
import type { Database } from '../../platform/postgres/pool.ts';
import type { CommandContext } from '../../tasks/command.ts';
import type { SystemState } from '../../tasks/explain.ts';
import type { Submitter } from '../../tasks/submit.ts';
import type { DeadEvents } from '../../telemetry/dead-events.ts';
import type { Catalog } from '../../tools/catalog.ts';
import type { TaskChanges } from './task-changes.ts';

/** Proofs and exports of the audit log. Undefined answers stand for what is not there, or not covered yet. */
export interface AuditService {
  /** The newest signed checkpoint. */
  checkpoint(): Promise<string | undefined>;
  /** Bytes of a resource of the tlog-tiles layout by its path below `tile/`; full tiles never change. */
  tile(path: string): Promise<{ bytes: Buffer; isFull: boolean } | undefined>;
  /** A C2SP `tlog-proof` file for a record. */
  proof(seq: number): Promise<string | undefined>;
  /** RFC 6962 consistency proof between two sizes, standard base64. */
  consistency(from: number, to: number): Promise<string[] | undefined>;
  /** A bundle as tar, streamed: records from `from` on, up to the first checkpoint beyond `to`. */
  export(range: { from?: number; to?: number }): Promise<AsyncIterable<Uint8Array>>;
}

/** Joins and heartbeats of nodes. Both check the token themselves and fail `unauthenticated` for a wrong one. */
export interface FleetService {
  register(token: string, body: unknown, context: CallContext): Promise<object>;
  heartbeat(token: string, nodeId: string, body: unknown, context: CallContext): Promise<object>;
}

/** Whether this process can do its work, part by part. */
export interface Readiness {
  ready: boolean;
  parts: Readonly<Record<string, { ok: boolean; detail?: string }>>;
}

export interface HttpServices {
  database: Database;
  audit: AuditLogger;
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  catalog: Catalog;
  submitter: Submitter;
  commands: CommandContext;
  changes: TaskChanges;
  clock: Clock;
  auditLog: AuditService;
  /** Serves checkpoint and tiles to anybody. */
  isAuditLogPublic: boolean;
  fleet: FleetService;
  deadEvents: DeadEvents;
  manifestKeys: Pick<ManifestKeys, 'list' | 'rotate'>;
  system: () => SystemState;
  /** Fails `unavailable` where nothing may be changed now; without it, everything may. */
  assertWritable: () => void;
  readiness: () => Promise<Readiness>;
  /** Public keys as JWK sets: those that sign now, and all that ever did. */
  jwks: () => Promise<{ current: object; archive: object }>;
}
