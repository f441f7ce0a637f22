/** Events that the broker refused for good: listed, and sent again when somebody has mended the cause. */

import { actorOf, authzOf } from '../aaa/accounting.ts';
import type { Broker } from '../domain/broker.ts';
import type { Principal } from '../domain/principal.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { batchesKey, type TelemetryNames } from './feeds.ts';
import { deleteDeadEvents, readDeadEvents, type StoredDeadEvent } from './telemetry-sql.ts';

/** Messages that are sent again in one call at most. */
const resendMax = 500;

export interface DeadEvents {
  list(after: number, limit: number): Promise<StoredDeadEvent[]>;
  /** Sends the oldest again, with the ids that they had; those that the broker takes are dead no more. */
  resend(principal: Principal, requestId: string): Promise<{ sent: number; refused: number }>;
}

export function deadEvents(options: {
  database: Database;
  broker: Broker;
  audit: AuditLogger;
  names: TelemetryNames;
}): DeadEvents {
  const { database, broker, audit, names } = options;
  return {
    list: (after, limit) => readDeadEvents(database, after, limit),
    resend: async (principal, requestId) => {
      const dead = await readDeadEvents(database, 0, resendMax);
      const outcomes = await broker.publish(dead.map((event) => messageOf(event, names)));
      const sent = dead.filter((_, i) => outcomes[i]?.outcome === 'confirmed');
      await database.transaction(async (tx) => {
        await deleteDeadEvents(
          tx,
          sent.map(({ dead_event_id }) => dead_event_id),
        );
        await audit.append(tx, [
          {
            type: 'telemetry.resend',
            outcome: 'success',
            actor: actorOf(principal),
            authz: authzOf(principal, 'telemetry:resend'),
            data: { sent: sent.length, refused: dead.length - sent.length },
            request_id: requestId,
          },
        ]);
      });
      return { sent: sent.length, refused: dead.length - sent.length };
    },
  };
}

function messageOf(
  { feed, message_id, type, body }: StoredDeadEvent,
  names: TelemetryNames,
): Parameters<Broker['publish']>[0][number] {
  return {
    exchange: names.exchange,
    routingKey: feed === 'batches' ? batchesKey : names.routingKey,
    body,
    messageId: message_id,
    type,
    contentType: feed === 'batches' ? 'application/x-ndjson' : 'application/json',
    ...(feed === 'batches' ? { headers: { 'x-event-count': body.toString('utf8').split('\n').length - 1 } } : {}),
  };
}
