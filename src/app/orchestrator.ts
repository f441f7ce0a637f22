/** Composes an orchestrator from its parts: rooms that serve calls, and the engine behind them. */

import { AAAServiceAdapter } from '../aaa/aaa-service-adapter.ts';
import { ScopeStore } from '../aaa/scope-store.ts';
import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { newId, type BootId } from '../domain/ids.ts';
import type { Mark } from '../domain/mark.ts';
import type { Signer } from '../domain/signer.ts';
import { OrchestratorEngine } from '../engine/orchestrator-engine.ts';
import { Fleet } from '../fleet/fleet.ts';
import { openLog, openOrigin } from '../ledger/open-log.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Log } from '../platform/observability/log.ts';
import type { Database } from '../platform/postgres/pool.ts';
import type { Settings } from '../settings/settings.ts';
import type { TelemetryNames } from '../telemetry/feeds.ts';
import { Requirements } from '../tasks/requirements.ts';
import { Submitter } from '../tasks/submit.ts';
import type { Catalog } from '../tools/catalog.ts';

/** What the composition chooses: implementations of the ports. */
export interface OrchestratorPorts {
  database: Database;
  broker: Broker;
  logSigner: Signer;
  manifestSigner: Signer;
  /** Opens the mark of the log with this origin. */
  openMark: (origin: string) => Promise<Mark>;
  catalog: Catalog;
  clock: Clock;
  log: Log;
  settings: Settings;
  /** Tasks that ended in this process: calls may wait for them. */
  onTasksEnded: (taskIds: readonly string[]) => void;
  /** Bound of telemetry queues, for a broker that keeps them in memory. */
  telemetryQueueMaxLength?: number;
}

/** An orchestrator that is composed and not started. */
export interface Orchestrator {
  processId: string;
  origin: string;
  vkey: string;
  database: Database;
  catalog: Catalog;
  clock: Clock;
  audit: AuditLogger;
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  requirements: Requirements;
  submitter: Submitter;
  fleet: Fleet;
  engine: OrchestratorEngine;
  broker: Broker;
  telemetryNames: TelemetryNames;
}

/** Opens the log and composes everything; nothing runs before `engine.start`. */
export async function composeOrchestrator(ports: OrchestratorPorts): Promise<Orchestrator> {
  const { database, broker, clock, log, settings, catalog, logSigner, manifestSigner } = ports;
  const processId = newId<BootId>();
  const origin = await openOrigin(database, `writ.local/${settings.cluster_name}`);
  const { vkey, audit } = await openLog({ database, origin, logSigner, manifestSigner, clock });
  const mark = await ports.openMark(origin);
  const aaa = new AAAServiceAdapter({ database, audit, clock });
  const scopes = new ScopeStore(database, clock);
  const requirements = new Requirements(database);
  const random = Math.random;
  const telemetry = telemetryOf(ports);
  const fleet = new Fleet({
    ...{ database, broker, audit, clock, random, origin, vkey, processId },
    heartbeatIntervalS: settings.heartbeat_interval_s,
    heartbeatMisses: settings.heartbeat_misses,
    leaseS: settings.node_lease_s,
    isFenced: () => engine.state.fenced_reason !== null,
    onNodesChanged: () => {
      engine.nodesChanged();
    },
    onLost: (nodeId, attempts, lost) => {
      engine.lost(nodeId, attempts, lost).catch((error: unknown) => {
        log('warn', 'lost.not_offered', { error });
      });
    },
  });
  const engine: OrchestratorEngine = new OrchestratorEngine({
    ...{ database, broker, mark, logSigner, manifestSigner, clock, random, audit, origin, vkey, processId },
    ...{ catalog, requirements, aaa, scopes, fleet, log },
    telemetry,
    priorityMs: settings.priority_point_s * 1000,
    leaseS: settings.node_lease_s,
    onTasksEnded: ports.onTasksEnded,
  });
  const submitter = new Submitter({
    ...{ database, audit, aaa, scopes, catalog, requirements, clock },
    defaults: {
      priorityMs: settings.priority_point_s * 1000,
      maxAttempts: settings.max_retries,
      retryInitialS: settings.retry_initial_s,
      retryMaxS: settings.retry_max_s,
    },
    assertWritable: () => {
      engine.assertWritable();
    },
    backlog: () => ({ live: engine.liveTasks, max: settings.backlog_max }),
    onAccepted: (ready, accepted) => {
      engine.accepted(ready, accepted);
    },
  });
  return {
    ...{ processId, origin, vkey, database, catalog, clock, audit, aaa, scopes, requirements },
    ...{ submitter, fleet, engine, broker, telemetryNames: telemetry.names },
  };
}

function telemetryOf({
  settings,
  telemetryQueueMaxLength,
}: OrchestratorPorts): ConstructorParameters<typeof OrchestratorEngine>[0]['telemetry'] {
  const wanted = new Set(settings.telemetry_event_types);
  return {
    feeds: settings.telemetry_feeds === 'both' ? ['events', 'batches'] : [settings.telemetry_feeds],
    names: {
      exchange: settings.telemetry_exchange,
      routingKey: settings.telemetry_routing_key,
      queue: settings.telemetry_queue,
      deadLetterQueue: settings.telemetry_dlq,
    },
    isWanted: (type) => wanted.has(type),
    maxAttempts: settings.telemetry_max_attempts,
    backoffInitialS: settings.telemetry_backoff_initial_s,
    backoffMaxS: settings.telemetry_backoff_max_s,
    ...(telemetryQueueMaxLength === undefined ? {} : { queueMaxLength: telemetryQueueMaxLength }),
  };
}
