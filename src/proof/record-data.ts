/** What the types of records that verification reads carry in `data` (formats.md rules 8 to 18). */

import { isSha256Hex } from './hash.ts';
import { isTimestamp, isUuid } from './ids.ts';
import { importPublicKey, type Jwk } from './public-key.ts';
import { resultStatuses, type ResultStatus } from './receipt.ts';
import { holdRule } from './rule.ts';
import { isCount, isText } from './shape.ts';

/** Of `manifest.issue` and `manifest.void`. */
export interface ManifestData {
  manifest_sha256: string;
  jti: string;
}

/** One result as its record tells it. */
export type ResultEntry = readonly [taskId: string, attempt: number, status: ResultStatus];

/** Of `receipt.accept` and `receipt.late`. */
export interface ReceiptData {
  receipt_sha256: string;
  results: readonly ResultEntry[];
}

/** Of `attempt.lost`. */
export interface LostData {
  attempts: readonly (readonly [taskId: string, attempt: number])[];
}

export type KeyUse = 'manifest' | 'node' | 'log';

/** Of `key.trust`. `vkey` is there with `use: log`, `node_id` with `use: node`. */
export interface KeyTrustData {
  kid: string;
  jwk: Jwk;
  use: KeyUse;
  node_id?: string;
  from: string;
  vkey?: string;
}

/** Of `key.retire`. */
export interface KeyRetireData {
  kid: string;
  until: string;
}

/** Of `evidence.prune`. */
export interface PruneData {
  sha256: readonly string[];
}

type Data = Readonly<Record<string, unknown>>;

/** What is looked at here of a record whose own form holds. */
interface TypedRecord {
  type: string;
  outcome: string;
  target?: object | undefined;
  data?: Data | undefined;
}

/** Types of records that always carry `data` (rule 8). */
const carriesData = /^(?:manifest\.|receipt\.|key\.|attempt\.lost$|evidence\.prune$)/;

const checks: Readonly<Record<string, (record: TypedRecord, data: Data) => void>> = {
  'manifest.issue': (record, data) => {
    holdRule(record.outcome === 'success', 13, 'the outcome of manifest.issue is success');
    checkManifestData(data, 13);
  },
  'manifest.void': (_record, data) => {
    checkManifestData(data, 16);
  },
  'receipt.accept': (record, data) => {
    holdRule(record.outcome === 'success', 13, 'the outcome of receipt.accept is success');
    checkReceiptData(data);
  },
  'receipt.late': (record, data) => {
    holdRule(record.outcome === 'deny', 13, 'the outcome of receipt.late is deny');
    checkReceiptData(data);
  },
  'attempt.lost': (_record, data) => {
    holdRule(isList(data['attempts'], isAttempt), 15, 'attempts is not a list of [task_id, attempt]');
  },
  'evidence.prune': (_record, data) => {
    holdRule(isList(data['sha256'], isSha256Hex), 18, 'sha256 is not a list of hashes');
  },
  'key.trust': (_record, data) => {
    checkKeyTrust(data);
  },
  'key.retire': (_record, data) => {
    holdRule(isText(data['kid'], 43) && isTimestamp(data['until']), 11, 'key.retire has no kid and until');
  },
};

/** Checks what one record of a known type must carry; unknown types pass (rule 7). */
export function checkRecordData(record: TypedRecord): void {
  if (record.type === 'task.submit') {
    checkSubmission(record);
    return;
  }
  if (!carriesData.test(record.type)) return;
  holdRule(record.data !== undefined, 8, `${record.type} carries no data`);
  if (Object.hasOwn(checks, record.type)) checks[record.type]?.(record, record.data);
}

function checkManifestData(data: Data, rule: number): void {
  holdRule(isSha256Hex(data['manifest_sha256']), rule, 'manifest_sha256 is not 64 hex digits');
  holdRule(isUuid(data['jti']), rule, 'jti is not a UUID');
}

function checkReceiptData(data: Data): void {
  holdRule(isSha256Hex(data['receipt_sha256']), 14, 'receipt_sha256 is not 64 hex digits');
  holdRule(isList(data['results'], isResult), 14, 'results is not a list of [task_id, attempt, status]');
}

function checkSubmission(record: TypedRecord): void {
  const { target } = record;
  const ids: unknown = target !== undefined && 'ids' in target ? target.ids : undefined;
  const sha256 = record.data?.['tasks_sha256'];
  if (record.outcome === 'deny') {
    holdRule(ids === undefined && sha256 === undefined, 10, 'a denied submission names no tasks');
    return;
  }
  const needed = record.outcome === 'allow' || record.outcome === 'success';
  if (!needed && ids === undefined && sha256 === undefined) return;
  holdRule(isList(ids, isUuid), 10, 'a submission has no target.ids');
  holdRule(isSha256Hex(sha256), 10, 'a submission has no tasks_sha256');
}

function checkKeyTrust(data: Data): void {
  const { kid, jwk, use, node_id: nodeId, from, vkey } = data;
  holdRule(use === 'manifest' || use === 'node' || use === 'log', 11, 'use is not manifest, node or log');
  holdRule(isTimestamp(from), 11, 'from is not a time');
  holdRule(use === 'node' ? isUuid(nodeId) : nodeId === undefined, 11, 'node_id goes with use: node');
  holdRule(use === 'log' ? isText(vkey, 512) : vkey === undefined, 11, 'vkey goes with use: log');
  holdRule(importPublicKey(jwk).kid === kid, 11, 'kid is not the thumbprint of the key');
}

function isAttempt(entry: unknown): boolean {
  return Array.isArray(entry) && entry.length === 2 && isUuid(entry[0]) && isCount(entry[1], 1);
}

function isResult(entry: unknown): boolean {
  if (!Array.isArray(entry) || entry.length !== 3) return false;
  return isUuid(entry[0]) && isCount(entry[1], 1) && resultStatuses.includes(entry[2] as ResultStatus);
}

function isList(value: unknown, holds: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(holds);
}
