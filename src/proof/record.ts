/** The audit record: its members, its form, and its line in the parts between which the sequencer chains it. */

import { hash } from 'node:crypto';
import { canonicalize, type CanonicalValue } from './canonical-json.ts';
import { isSha256Hex } from './hash.ts';
import { isTimestamp, isUuid } from './ids.ts';
import { checkRecordData } from './record-data.ts';
import { holdRule } from './rule.ts';
import { isCount, isText } from './shape.ts';

/** A line has at most so many bytes, so that it fits an entry bundle's length prefix. */
export const recordMaxBytes = 65_535;
/** Each list inside a record has at most so many entries (rule 9). */
export const recordListMax = 500;

export const recordOutcomes = ['allow', 'deny', 'success', 'failure', 'error'] as const;
export type RecordOutcome = (typeof recordOutcomes)[number];

/** A JSON object; members that are `undefined` are absent. */
export type RecordObject = Readonly<Record<string, CanonicalValue | undefined>>;

export type RecordActor = {
  id: string;
  kind: string;
  auth?: { method: string; credential_id?: string | undefined } | undefined;
  ip?: string | undefined;
};

export type RecordAuthorization = {
  permission: string;
  roles?: readonly string[] | undefined;
  policy_sha256?: string | undefined;
  approvals?: readonly CanonicalValue[] | undefined;
};

export type RecordTarget = { kind: string; id: string } | { kind: string; ids: readonly string[] };

/** A record as it is written, complete but for its place in the chain and its time. */
export interface RecordBody {
  v: 1;
  /** Origin of the log. */
  log: string;
  /** UUID, unique in the log. */
  id: string;
  type: string;
  outcome: RecordOutcome;
  reason?: string | undefined;
  actor?: RecordActor | undefined;
  authz?: RecordAuthorization | undefined;
  target?: RecordTarget | undefined;
  data?: RecordObject | undefined;
  data_sha256?: string | undefined;
  request_id?: string | undefined;
}

export interface AuditRecord extends RecordBody {
  /** Index in the log, from 0. */
  seq: number;
  /** Standard base64 of the leaf hash of the record before. */
  prev: string;
  /** RFC 3339 UTC with milliseconds. */
  ts: string;
}

/** A record's line but for `prev`, `seq` and `ts`, which go between the parts as JSON. */
export interface RecordParts {
  before_prev: string;
  before_seq: string;
  before_ts: string;
  after_ts: string;
}

/** `prev` of record 0: standard base64 of 32 zero bytes (rule 6). */
export const firstPrev = Buffer.alloc(32).toString('base64');

/** Bytes of `prev`, `seq` and `ts` as JSON, at most: 46, 16 and 26. */
const chainMaxBytes = 88;

/**
 * Checks a record and writes it in parts. Refuses with `too_large` what could exceed 65,535 bytes, with `rule_…` what
 * breaks a rule of the formats, and as `canonicalize` what is not canonical JSON.
 */
export function recordParts(body: RecordBody): RecordParts {
  const { v, log, id, type, outcome, reason, actor, authz, target, data, data_sha256, request_id } = body;
  const first = canonicalize({ actor, authz, data, data_sha256, id, log, outcome });
  const second = canonicalize({ reason, request_id });
  const third = canonicalize({ target });
  checkBody(body);
  const parts = {
    before_prev: `${first.slice(0, -1)},"prev":`,
    before_seq: second === '{}' ? ',"seq":' : `,${second.slice(1, -1)},"seq":`,
    before_ts: third === '{}' ? ',"ts":' : `,${third.slice(1, -1)},"ts":`,
    after_ts: `,${canonicalize({ type, v }).slice(1)}`,
  };
  const bytes = Buffer.byteLength(parts.before_prev + parts.before_seq + parts.before_ts + parts.after_ts);
  holdRule(bytes + chainMaxBytes <= recordMaxBytes, 9, 'a record has at most 65,535 bytes');
  return parts;
}

/** The line of a record: exactly the canonical JSON of the whole. The three values are not checked again. */
export function completeRecord(parts: RecordParts, prev: string, seq: number, ts: string): string {
  return `${parts.before_prev}"${prev}"${parts.before_seq}${seq.toString()}${parts.before_ts}"${ts}"${parts.after_ts}`;
}

/** Leaf hash of a record: SHA-256(0x00 ‖ line), without the line feed (RFC 6962 §2.1). */
export function leafHash(line: Uint8Array | string): Buffer {
  if (typeof line === 'string') return hash('sha256', `\0${line}`, 'buffer');
  const prefixed = Buffer.allocUnsafe(line.length + 1);
  prefixed[0] = 0;
  prefixed.set(line, 1);
  return hash('sha256', prefixed, 'buffer');
}

/** Checks the form of a whole record that was read as canonical JSON (rules 2 to 18 as far as one record shows). */
export function checkRecord(value: CanonicalValue): AuditRecord {
  holdRule(isObject(value), 5, 'a record is an object');
  const record = value as unknown as AuditRecord;
  holdRule(isCount(record.seq), 5, 'seq is not a number from 0');
  holdRule(typeof record.prev === 'string' && isHashBase64(record.prev), 2, 'prev is not the base64 of a hash');
  holdRule(isTimestamp(record.ts), 7, 'ts is not a time with milliseconds and Z');
  checkBody(record);
  return record;
}

const members: ReadonlySet<string> = new Set(
  'v log seq prev ts id type outcome reason actor authz target data data_sha256 request_id'.split(' '),
);
const typeName = /^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+$/;
const hashBase64 = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** Whether a text is the one standard padded base64 of 32 bytes. */
export function isHashBase64(text: string): boolean {
  return hashBase64.test(text);
}

function checkBody(record: RecordBody): void {
  for (const name in record) holdRule(members.has(name), 5, 'a record has a member that is not listed');
  const version: unknown = record.v;
  holdRule(version === 1, 5, 'v is not 1');
  holdRule(isText(record.log, 255), 5, 'log is not an origin');
  holdRule(isUuid(record.id), 2, 'id is not a UUID');
  holdRule(isText(record.type, 63) && typeName.test(record.type), 7, 'type is not a dotted name');
  holdRule(recordOutcomes.includes(record.outcome), 5, 'outcome is not one of five');
  holdRule(record.reason === undefined || isText(record.reason, 255), 5, 'reason is not a code');
  holdRule(record.request_id === undefined || isText(record.request_id, 255), 5, 'request_id is not a text');
  holdRule(record.data_sha256 === undefined || isSha256Hex(record.data_sha256), 2, 'data_sha256 is not 64 hex digits');
  holdRule(record.data === undefined || record.data_sha256 === undefined, 8, 'both data and data_sha256');
  if (record.actor !== undefined) checkActor(record.actor);
  if (record.authz !== undefined) checkAuthorization(record.authz);
  if (record.target !== undefined) checkTarget(record.target);
  if (record.data !== undefined) {
    holdRule(isObject(record.data), 5, 'data is not an object');
    checkValue(record.data);
  }
  checkRecordData(record);
}

function checkActor(actor: RecordActor): void {
  holdRule(isObject(actor) && isText(actor.id, 255) && isText(actor.kind, 63), 5, 'actor has no id and kind');
  checkValue(actor);
}

function checkAuthorization(authz: RecordAuthorization): void {
  holdRule(isObject(authz) && isText(authz.permission, 127), 5, 'authz has no permission');
  const { policy_sha256 } = authz;
  holdRule(policy_sha256 === undefined || isSha256Hex(policy_sha256), 2, 'policy_sha256 is not 64 hex digits');
  checkValue(authz);
}

function checkTarget(target: RecordTarget): void {
  holdRule(isObject(target) && isText(target.kind, 63), 5, 'target has no kind');
  const { id, ids } = target as { id?: unknown; ids?: unknown };
  holdRule((id === undefined) !== (ids === undefined), 5, 'target has not exactly one of id and ids');
  holdRule(id === undefined || isText(id, 1024), 5, 'target.id is not a text');
  holdRule(
    ids === undefined || (Array.isArray(ids) && ids.every((name) => isText(name, 1024))),
    5,
    'target.ids is not a list of texts',
  );
  checkValue(target);
}

/** No null at any depth (rule 3), no list over 500 entries (rule 9). */
function checkValue(value: unknown): void {
  if (typeof value !== 'object') return;
  holdRule(value !== null, 3, 'a member is null instead of absent');
  if (Array.isArray(value)) {
    holdRule(value.length <= recordListMax, 9, 'a list has over 500 entries');
    for (const item of value) checkValue(item);
  } else {
    for (const name in value) checkValue((value as Record<string, unknown>)[name]);
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
