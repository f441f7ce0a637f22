/** Turns audit records into events; pure. */

import type { EventType } from '../domain/event.ts';
import { sha256Hex } from '../proof/hash.ts';
import type { AuditRecord } from '../proof/record.ts';

/** An event as it goes out. */
export interface ProjectedEvent {
  event_id: string;
  event_type: EventType;
  /** `seq` of its record. */
  audit_seq: number;
  /** The whole of it, a `TelemetryEvent`. */
  json: string;
}

/** One event before it has its place. */
interface Draft {
  type: EventType;
  target?: { kind: string; id: string };
  status?: string;
  attributes?: Record<string, unknown>;
}

const typesOfRecords: Readonly<Record<string, EventType>> = {
  'task.submit': 'task.submitted',
  'task.cancel': 'task.cancelled',
  'task.expire': 'task.expired',
  'task.redrive': 'task.redriven',
  'task.settle': 'task.settled',
  'attempt.lost': 'task.lost',
  'manifest.issue': 'task.dispatched',
  'auth.deny': 'auth.denied',
  'token.create': 'token.changed',
  'token.revoke': 'token.changed',
  'scope.write': 'scope.changed',
  'node.register': 'node.registered',
  'node.status': 'node.status_changed',
  'key.trust': 'key.trusted',
  'key.retire': 'key.retired',
  'manifest.refuse': 'manifest.refused',
  'receipt.refuse': 'receipt.refused',
  'receipt.late': 'receipt.late',
  'audit.read': 'audit.accessed',
  'audit.export': 'audit.accessed',
  'log.heartbeat': 'audit.heartbeat',
  'telemetry.dead': 'telemetry.undeliverable',
};

/**
 * The events of one record, in order, of the types that are wanted. Every record has at least one event before the choice by
 * type, so that what is missing can be seen.
 */
export function eventsOf(
  record: AuditRecord,
  previousSeq: number,
  isWanted: (type: EventType) => boolean,
): ProjectedEvent[] {
  const drafts = draftsOf(record, isWanted);
  if (drafts.length === 0) return [];
  const writer = new EventWriter(record, previousSeq, drafts.length);
  return drafts.map((draft, index) => writer.event(draft, index));
}

/** Writes the events of one record: what one has in common with the event before it, which is nearly all, is written once. */
class EventWriter {
  readonly #record: AuditRecord;
  readonly #ids: string;
  /** What stands before and after a target's id, up to the index, where all events of the record have it. */
  readonly #common: string;
  readonly #place: string;
  readonly #rest: string;
  #last: { draft: Draft; beforeTarget: string; afterTarget: string; end: string } | undefined;

  constructor(record: AuditRecord, previousSeq: number, count: number) {
    const { actor, reason, request_id, seq, ts } = record;
    const who = actor === undefined ? null : { id: actor.id, kind: actor.kind };
    this.#record = record;
    this.#ids = idsOf(record.log, seq);
    this.#common = `"timestamp":${JSON.stringify(ts)},"actor":${JSON.stringify(who)},"target":`;
    this.#place = `"attributes":{"audit_seq":${seq.toString()},"previous_audit_seq":${previousSeq.toString()},"index":`;
    this.#rest = `,"count":${count.toString()}${membersOf({ reason, request_id })}`;
  }

  event(draft: Draft, index: number): ProjectedEvent {
    const { type: event_type, target } = draft;
    if (this.#last === undefined || !areAlike(this.#last.draft, draft)) this.#last = this.#parts(draft);
    const { beforeTarget, afterTarget, end } = this.#last;
    const event_id = this.#ids + index.toString(16).padStart(4, '0');
    const id = target === undefined ? '' : JSON.stringify(target.id);
    const json = `{"event_id":"${event_id}${beforeTarget}${id}${afterTarget}${index.toString()}${end}`;
    return { event_id, event_type, audit_seq: this.#record.seq, json };
  }

  #parts(draft: Draft): { draft: Draft; beforeTarget: string; afterTarget: string; end: string } {
    const { type, target, status = this.#record.outcome, attributes = {} } = draft;
    const aim = target === undefined ? 'null' : `{"kind":${JSON.stringify(target.kind)},"id":`;
    return {
      draft,
      beforeTarget: flat(`","event_type":"${type}",${this.#common}${aim}`),
      afterTarget: flat(`${target === undefined ? '' : '}'},"status":${JSON.stringify(status)},${this.#place}`),
      end: flat(`${this.#rest}${membersOf(attributes)}}}`),
    };
  }
}

/** Whether two events of one record differ in nothing but index and the id of the target. */
function areAlike(a: Draft, b: Draft): boolean {
  return (
    a.type === b.type && a.status === b.status && a.attributes === b.attributes && a.target?.kind === b.target?.kind
  );
}

/** The same text in one piece: what is made of pieces is put together again wherever it becomes part of another. */
function flat(text: string): string {
  return Buffer.from(text).toString();
}

/** The members of an object in JSON, each after a comma. */
function membersOf(object: object): string {
  const json = JSON.stringify(object);
  return json === '{}' ? '' : `,${json.slice(1, -1)}`;
}

function draftsOf(record: AuditRecord, isWanted: (type: EventType) => boolean): Draft[] {
  const { target } = record;
  const data = (record.data ?? {}) as Record<string, unknown>;
  if (record.type === 'receipt.accept') return acceptedDrafts(record, data).filter(({ type }) => isWanted(type));
  const isDenied = record.type === 'task.submit' && record.outcome === 'deny';
  const type = isDenied ? 'auth.denied' : (typesOfRecords[record.type] ?? 'audit.recorded');
  if (!isWanted(type)) return [];
  const attributes = attributesOf(record, data);
  if (target !== undefined && 'ids' in target && target.ids.length > 0) {
    return target.ids.map((id) => ({ type, target: { kind: target.kind, id }, attributes }));
  }
  const one = target !== undefined && 'id' in target ? { target: { kind: target.kind, id: target.id } } : {};
  return [{ type, ...one, attributes }];
}

function acceptedDrafts(record: AuditRecord, data: Record<string, unknown>): Draft[] {
  const results = data.results as [string, number, string][];
  const retried = new Set((data.retried as string[] | undefined) ?? []);
  const nodeId = record.actor?.id;
  const attributes = new Map<number, { attempt: number; node_id: string | undefined }>();
  for (const [, attempt] of results) attributes.set(attempt, { attempt, node_id: nodeId });
  return results.map(([id, attempt, status]) => ({
    type: retried.has(id) ? 'task.retried' : 'task.finished',
    target: { kind: 'task', id },
    status,
    attributes: attributes.get(attempt) ?? {},
  }));
}

/** What of a record's data consumers are told; the log has the rest. */
function attributesOf(record: AuditRecord, data: Record<string, unknown>): Record<string, unknown> {
  switch (record.type) {
    case 'task.submit': {
      const actions = (data.actions as string[] | undefined) ?? [];
      return actions.length === 1 ? { action: actions[0] } : {};
    }
    case 'manifest.issue':
      return { node_id: data.node_id, manifest_jti: data.jti };
    case 'receipt.late':
      return { results: data.results };
    case 'auth.deny':
      return data.stands_for === undefined ? {} : { stands_for: data.stands_for };
    case 'node.status':
      return { node_status: data.status };
    default:
      return typesOfRecords[record.type] === undefined ? { record_type: record.type } : {};
  }
}

/**
 * The ids of a record's events but for their last four digits, which are the event's index: UUIDv8 (RFC 9562 §5.8) over SHA-256 of origin and
 * seq, one a line. A record has 500 events at most.
 */
function idsOf(origin: string, seq: number): string {
  const hex = sha256Hex(`${origin}\n${seq.toString()}\n`);
  const variant = ((parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 28)}`;
}
