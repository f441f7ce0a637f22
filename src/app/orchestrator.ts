/** Composes an orchestrator from its parts: rooms that serve calls, and the engine behind them. */

import { AAAServiceAdapter } from '../aaa/aaa-service-adapter.ts';
import { ScopeStore } from '../aaa/scope-store.ts';
import type { Authority } from '../domain/authority.ts';
import type { Broker } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { newId, type BootId } from '../domain/ids.ts';
import type { Mark } from '../domain/mark.ts';
import type { BrokerAccess } from '../domain/node.ts';
import type { Signer, SigningKey } from '../domain/signer.ts';
import { OrchestratorEngine } from '../engine/orchestrator-engine.ts';
import { Peers } from '../engine/peers.ts';
import { Fleet } from '../fleet/fleet.ts';
import { openLog, openOrigin } from '../ledger/open-log.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import { ManifestKeys } from '../ledger/manifest-keys.ts';
import type { Log } from '../platform/observability/log.ts';
import type { Notifier } from '../platform/postgres/notify.ts';
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
  manifestKey: SigningKey;
  /** Opens the mark of the log with this origin. */
  openMark: (origin: string) => Promise<Mark>;
  /** Certifies nodes to the broker; absent where the broker asks for no certificates. */
  authority?: Authority;
  /** Address and authority of a broker that nodes reach over the network. */
  brokerAccess?: Pick<BrokerAccess, 'url' | 'ca'>;
  /** Tells other orchestrators on the same database; absent where there can be none. */
  notifier?: Notifier;
  catalog: Catalog;
  clock: Clock;
  log: Log;
  settings: Settings;
  /** Tasks that ended in this process: calls may wait for them. */
  onTasksEnded: (taskIds: readonly string[]) => void;
  /** Tasks ended in another process. */
  onPeerTasksEnded?: () => void;
  /** Bound of telemetry queues, for a broker that keeps them in memory; that of the settings without it. */
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
  manifestKeys: ManifestKeys;
  broker: Broker;
  telemetryNames: TelemetryNames;
  log: Log;
}

/** Opens the log and composes everything; nothing runs before `engine.start`. */
export async function composeOrchestrator(ports: OrchestratorPorts): Promise<Orchestrator> {
  const { database, broker, clock, log, settings, catalog, logSigner, authority } = ports;
  const processId = newId<BootId>();
  const origin = await openOrigin(database, `writ.local/${settings.cluster_name}`);
  const { vkey, audit } = await openLog({ database, origin, logSigner, clock });
  const manifestKeys = await ManifestKeys.open({
    ...{ database, audit, clock, key: ports.manifestKey },
    activationS: settings.key_activation_s,
  });
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
    credentialLifetimeS: settings.node_credential_lifetime_s,
    brokerAccess: ports.brokerAccess ?? {},
    ...(authority === undefined ? {} : { certify: certifier(authority, settings.node_certificate_lifetime_s) }),
    onCertifyFailure: (error) => {
      log('warn', 'certificate.not_issued', { error });
      return undefined;
    },
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
    ...{ database, broker, mark, logSigner, manifestKeys, clock, random, audit, origin, vkey, processId },
    ...{ catalog, requirements, aaa, scopes, fleet, log },
    telemetry,
    priorityMs: settings.priority_point_s * 1000,
    leaseS: settings.node_lease_s,
    ...(ports.notifier === undefined ? {} : { peers: new Peers(ports.notifier, clock) }),
    onTasksEnded: ports.onTasksEnded,
    onPeerTasksEnded: ports.onPeerTasksEnded ?? (() => undefined),
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
    ...{ submitter, fleet, engine, manifestKeys, broker, telemetryNames: telemetry.names, log },
  };
}

/** Node certificates carry the node's id as their only name, and are good for a client alone. */
function certifier(authority: Authority, lifetimeS: number): (csrPem: string, nodeId: string) => Promise<string> {
  return async (csrPem, nodeId) => {
    const issued = await authority.issue({ csrPem, commonName: nodeId, names: [], usage: 'client', lifetimeS });
    return issued.certificatePem;
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
    queueMaxLength: telemetryQueueMaxLength ?? settings.telemetry_queue_max_length,
  };
}
