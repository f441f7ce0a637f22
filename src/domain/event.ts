/** Events on the telemetry queue: what audit records say to consumers. */

import { z } from 'zod';

/** Types of event; `task.dispatched` goes out only where it is asked for. */
export const eventTypes = [
  'task.submitted',
  'task.dispatched',
  'task.finished',
  'task.retried',
  'task.cancelled',
  'task.expired',
  'task.lost',
  'task.redriven',
  'task.settled',
  'auth.denied',
  'token.changed',
  'scope.changed',
  'node.registered',
  'node.status_changed',
  'key.trusted',
  'key.retired',
  'manifest.refused',
  'receipt.refused',
  'receipt.late',
  'audit.accessed',
  'audit.heartbeat',
  'telemetry.undeliverable',
  'audit.recorded',
] as const;
export type EventType = (typeof eventTypes)[number];

export const telemetryEvent = z.object({
  /** UUIDv8 of (origin, seq, index): the same however often the event is sent. */
  event_id: z.uuid(),
  event_type: z.enum(eventTypes),
  /** Of the record. */
  timestamp: z.iso.datetime(),
  actor: z.object({ id: z.string(), kind: z.string() }).nullable(),
  target: z.object({ kind: z.string(), id: z.string() }).nullable(),
  /** The record's outcome, or how an attempt ended. */
  status: z.string(),
  attributes: z
    .object({
      /** `seq` of the record; events of one record share it. */
      audit_seq: z.int(),
      /** `seq` of the record that the feed told of before this one; -1 for none. Another than the last seen means a gap. */
      previous_audit_seq: z.int(),
      /** Position among the events of the record, and how many there are. */
      index: z.int(),
      count: z.int(),
    })
    .loose(),
});
export type TelemetryEvent = z.infer<typeof telemetryEvent>;
