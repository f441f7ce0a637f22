/** The receipt: a batch of results from one node, signed by that node as one compact JWS (formats.md rule 23). */

import type { CanonicalValue } from './canonical-json.ts';
import { isSha256Hex } from './hash.ts';
import { isTimestamp, isUuid } from './ids.ts';
import { verifyCompactJws, type CompactJws } from './jws.ts';
import { prove } from './proof-error.ts';
import type { PublicKey } from './public-key.ts';
import { checkShape, isAttempt, isCount, isText, type MemberCheck } from './shape.ts';

/** How an attempt ended, as its node saw it. `not_started` and `refused` had no effect. */
export const resultStatuses = [
  'succeeded',
  'failed',
  'cancelled',
  'timed_out',
  'interrupted',
  'not_started',
  'refused',
] as const;
export type ResultStatus = (typeof resultStatuses)[number];

export interface ResultError {
  /** Machine-readable. */
  code: string;
  /** For people; 256 characters at most. */
  message: string;
}

/** One result. Output and metadata travel beside the JWS as exact bytes; null hashes where there are none. */
export interface Result {
  task_id: string;
  attempt: number;
  status: ResultStatus;
  started_at: string | null;
  ended_at: string | null;
  /** Of the whole output, also where only its beginning is kept. */
  output_sha256: string | null;
  output_bytes: number | null;
  error: ResultError | null;
  metadata_sha256: string | null;
}

export interface ReceiptPayload {
  iss: string;
  jti: string;
  iat: number;
  boot_id: string;
  /** Counts from 0 in each boot, without a gap. */
  seq: number;
  /** In the first receipt of a boot: the last boot of this node that signed one, and its last `seq`. */
  previous_boot?: { boot_id: string; seq: number };
  results: Result[];
}

export const resultsMax = 500;
export const errorMessageMaxCharacters = 256;

const resultMembers: Record<keyof Result, MemberCheck> = {
  task_id: { holds: isUuid, expected: 'a UUID' },
  attempt: { holds: isAttempt, expected: 'a number from 1' },
  status: { holds: (v) => resultStatuses.includes(v as ResultStatus), expected: 'a status' },
  started_at: { holds: (v) => v === null || isTimestamp(v), expected: 'a time or null' },
  ended_at: { holds: (v) => v === null || isTimestamp(v), expected: 'a time or null' },
  output_sha256: { holds: (v) => v === null || isSha256Hex(v), expected: '64 hex digits or null' },
  output_bytes: { holds: (v) => v === null || isCount(v), expected: 'a count or null' },
  error: { holds: (v) => v === null || typeof v === 'object', expected: 'an error or null' },
  metadata_sha256: { holds: (v) => v === null || isSha256Hex(v), expected: '64 hex digits or null' },
};

const errorMembers: Record<keyof ResultError, MemberCheck> = {
  code: { holds: (v) => isText(v, 64) && !v.includes('\0'), expected: 'a code' },
  message: {
    holds: (v) => typeof v === 'string' && v.length <= errorMessageMaxCharacters && !v.includes('\0'),
    expected: 'a short text',
  },
};

const bootMembers: Record<string, MemberCheck> = {
  boot_id: { holds: isUuid, expected: 'a UUID' },
  seq: { holds: (v) => isCount(v), expected: 'a number from 0' },
};

const payloadMembers: Record<keyof ReceiptPayload, MemberCheck> = {
  iss: { holds: isUuid, expected: 'a node id' },
  jti: { holds: isUuid, expected: 'a UUID' },
  iat: { holds: (v) => isCount(v), expected: 'a number of seconds' },
  boot_id: { holds: isUuid, expected: 'a UUID' },
  seq: { holds: (v) => isCount(v), expected: 'a number from 0' },
  previous_boot: { holds: (v) => typeof v === 'object', expected: 'a boot', optional: true },
  results: {
    holds: (v) => Array.isArray(v) && v.length >= 1 && v.length <= resultsMax,
    expected: 'a list of 1 to 500',
  },
};

/** Checks the form of a receipt's payload: members, their forms, and the rules between them. */
export function checkReceiptPayload(value: CanonicalValue): ReceiptPayload {
  checkShape(value, payloadMembers, 'receipt');
  const payload = value as unknown as ReceiptPayload;
  if (payload.previous_boot !== undefined) {
    checkShape(payload.previous_boot, bootMembers, 'previous_boot');
    prove(payload.seq === 0, 'bad_payload', 'previous_boot in a receipt that is not the first of its boot');
    prove(
      payload.previous_boot.boot_id !== payload.boot_id,
      'bad_payload',
      'a boot that names itself as the one before',
    );
  }
  const tasks = new Set<string>();
  for (const result of payload.results) {
    checkShape(result, resultMembers, 'result');
    if (result.error !== null) checkShape(result.error, errorMembers, 'error');
    tasks.add(result.task_id);
  }
  prove(
    tasks.size === payload.results.length || areAttemptsApart(payload.results),
    'bad_payload',
    'two results of one attempt',
  );
  return payload;
}

function areAttemptsApart(results: readonly Result[]): boolean {
  return new Set(results.map(({ task_id, attempt }) => `${task_id} ${attempt.toString()}`)).size === results.length;
}

/**
 * Verifies a receipt by the key of the node that it names. `findKey` answers the node's key for a kid, and the node's
 * id with it; a key of another node is refused with `bad_issuer`.
 */
export function verifyReceipt(
  jws: CompactJws,
  findKey: (kid: string) => { nodeId: string; key: PublicKey } | undefined,
): ReceiptPayload {
  const verified = verifyCompactJws(jws, 'writ-receipt+jws', (kid) => findKey(kid)?.key);
  const payload = checkReceiptPayload(verified.payload);
  prove(findKey(verified.key.kid)?.nodeId === payload.iss, 'bad_issuer', 'signed by the key of another node');
  return payload;
}
