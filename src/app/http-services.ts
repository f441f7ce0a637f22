/** Hands the HTTP door the rooms behind it. */

import type { AAAServiceAdapter, CallContext } from '../aaa/aaa-service-adapter.ts';
import { AppError } from '../domain/error.ts';
import type { RateLimits } from '../doors/http/rate-limit.ts';
import type { TaskChanges } from '../doors/http/task-changes.ts';
import type { HttpServices } from '../doors/http/services.ts';
import { exportBundle } from '../ledger/export.ts';
import { toTar } from '../ledger/export-tar.ts';
import { readConsistencyProof, readProofs } from '../ledger/proofs.ts';
import { readCheckpointNote, readTile } from '../ledger/tile-service.ts';
import { readTrustedKeys } from '../ledger/trust.ts';
import { KeyRing } from '../platform/keys/key-ring.ts';
import type { Settings } from '../settings/settings.ts';
import { deadEvents } from '../telemetry/dead-events.ts';
import type { Orchestrator } from './orchestrator.ts';

/** How often somebody may call. */
export function rateLimitsOf(settings: Settings): Partial<RateLimits> {
  return { perCredential: settings.rate_limit_credential, perNetwork: settings.rate_limit_network };
}

/** Services of an orchestrator; `changes` are the calls that wait for its tasks. */
export function httpServices(orchestrator: Orchestrator, changes: TaskChanges, priorityMs: number): HttpServices {
  const { database, audit, aaa, scopes, catalog, submitter, clock, engine, fleet, origin, vkey } = orchestrator;
  const { broker, telemetryNames, manifestKeys } = orchestrator;
  return {
    ...{ database, audit, aaa, scopes, catalog, submitter, clock, changes },
    commands: {
      ...{ database, audit, clock, priorityMs },
      onEnded: (taskIds) => {
        engine.ended(taskIds);
      },
      onQueued: (taskIds) => {
        void engine.requeued(taskIds);
      },
      onCancelRequested: () => {
        engine.changed();
      },
    },
    auditLog: {
      checkpoint: () => readCheckpointNote(database),
      tile: async (path) => {
        const bytes = await readTile(database, `tile/${path}`);
        return bytes === undefined ? undefined : { bytes, isFull: !path.includes('.p/') };
      },
      proof: async (seq) => (await readProofs(database, { seq }))[0],
      consistency: (from, to) => readConsistencyProof(database, from, to),
      export: async (range) => toTar(await exportBundle(database, range, { origin, vkey })),
    },
    isAuditLogPublic: false,
    fleet: {
      register: (token, body, context) =>
        fleet.join(token, body, context.requestId).catch(recordRefusal(aaa, 'node.register', context)),
      heartbeat: (token, nodeId, body, context) =>
        fleet.heartbeat(token, nodeId, body).catch(recordRefusal(aaa, 'node.heartbeat', context)),
    },
    manifestKeys,
    deadEvents: deadEvents({ database, audit, broker, names: telemetryNames }),
    assertWritable: () => {
      engine.assertWritable();
    },
    system: () => engine.state,
    readiness: () => engine.health(),
    jwks: async () => {
      const ring = new KeyRing();
      for (const { kid, jwk, use, trusted_from, trusted_until } of await readTrustedKeys(database)) {
        ring.add({ kid, jwk, use, from: trusted_from, ...(trusted_until === null ? {} : { until: trusted_until }) });
      }
      return { current: ring.jwks(new Date(clock.now())), archive: ring.jwksArchive() };
    },
  };
}

/** A credential that does not count where a node should be is recorded, as any other is. */
function recordRefusal(
  aaa: AAAServiceAdapter,
  call: string,
  { ip, requestId }: CallContext,
): (error: unknown) => Promise<never> {
  return async (error) => {
    if (error instanceof AppError && ['unauthenticated', 'forbidden', 'conflict'].includes(error.code)) {
      await aaa.denials.record({
        type: 'auth.deny',
        outcome: 'deny',
        reason: error.reason === 'unauthenticated' ? 'wrong_node_credential' : error.reason,
        actor: { id: 'unknown', kind: 'node', ...(ip === null ? {} : { ip }) },
        data: { call },
        request_id: requestId,
      });
    }
    throw error;
  };
}
