/** The members of a bundle and their lines: what an export writes and what a verifier reads (formats.md rules 26 to 30). */

import { canonicalize, parseCanonical, type CanonicalValue } from './canonical-json.ts';
import { decodeHash } from './base64.ts';
import { isSha256Hex } from './hash.ts';
import { isTimestamp, isUuid } from './ids.ts';
import { jwsMaxBytes } from './jws.ts';
import { prove } from './proof-error.ts';
import { importPublicKey, type Jwk } from './public-key.ts';
import { isHashBase64 } from './record.ts';
import { holdRule } from './rule.ts';
import { checkShape, isCount, isText, type MemberCheck } from './shape.ts';
import { subtreeCount } from './tree.ts';

/** Members that every bundle has, empty ones included (rule 30), in the order in which an export writes them. */
export const bundleMembers = [
  'bundle.json',
  'log.vkey',
  'checkpoint',
  'checkpoints.jsonl',
  'keys.json',
  'records.jsonl',
  'manifests.jsonl',
  'receipts.jsonl',
] as const;

/** Only with `from` > 0 (rule 28). */
export const trustMember = 'trust.jsonl';

/** Lines of the members other than records.jsonl have at most so many bytes. */
export const memberLineMaxBytes = 1024 * 1024;

/** Of `bundle.json`: records are `from` … `size` − 1. */
export interface BundleHeader {
  v: 1;
  log: string;
  from: number;
  size: number;
  /** Informative. */
  created: string;
  /** Base64 hashes of the compact range of leaves 0 … `from` − 1, largest subtree first. */
  prefix: string[];
}

/** A line of `checkpoints.jsonl`. */
export interface CheckpointLine {
  size: number;
  note: string;
}

/** A line of `manifests.jsonl` or `receipts.jsonl`. */
export interface EvidenceLine {
  sha256: string;
  jws: string;
}

/** A line of `trust.jsonl`: `record` is the record's line, `proof` base64 hashes from leaf to root. */
export interface TrustLine {
  seq: number;
  record: string;
  proof: string[];
}

/** A key of `keys.json`: the JWK and, beside it, its kid and what the log says of it. */
export type ArchivedKey = Jwk & {
  kid: string;
  writ_use: 'manifest' | 'node';
  writ_node?: string;
  writ_from: string;
  writ_until?: string;
};

export function formatBundleHeader(header: BundleHeader): string {
  return formatLine(header);
}

export function formatKeyArchive(keys: readonly ArchivedKey[]): string {
  return formatLine({ keys });
}

/** One line of any `.jsonl` member but records.jsonl, whose lines are the records themselves. */
export function formatMemberLine(line: CheckpointLine | EvidenceLine | TrustLine): string {
  return formatLine(line);
}

const headerMembers: Record<keyof BundleHeader, MemberCheck> = {
  v: { holds: (v) => v === 1, expected: '1' },
  log: { holds: (v) => isText(v, 255), expected: 'an origin' },
  from: { holds: (v) => isCount(v), expected: 'a number from 0' },
  size: { holds: (v) => isCount(v), expected: 'a number from 0' },
  created: { holds: isTimestamp, expected: 'a time' },
  prefix: { holds: isHashList, expected: 'a list of base64 hashes' },
};

/** Reads `bundle.json`, the whole member. */
export function parseBundleHeader(text: string): BundleHeader {
  const value = parseWholeMember(text);
  checkShape(value, headerMembers, 'bundle.json');
  const header = value as unknown as BundleHeader;
  prove(header.from <= header.size, 'bad_bundle', 'from is beyond size');
  prove(header.prefix.length === subtreeCount(header.from), 'bad_bundle', 'prefix is not the compact range of from');
  return header;
}

const keyMembers: Record<string, MemberCheck> = {
  kty: { holds: (v) => v === 'EC' || v === 'OKP', expected: 'EC or OKP' },
  crv: { holds: (v) => v === 'P-256' || v === 'Ed25519', expected: 'P-256 or Ed25519' },
  x: { holds: (v) => isText(v, 64), expected: 'a coordinate' },
  y: { holds: (v) => isText(v, 64), expected: 'a coordinate', optional: true },
  kid: { holds: (v) => isText(v, 43), expected: 'a thumbprint' },
  writ_use: { holds: (v) => v === 'manifest' || v === 'node', expected: 'manifest or node' },
  writ_node: { holds: isUuid, expected: 'a UUID', optional: true },
  writ_from: { holds: isTimestamp, expected: 'a time' },
  writ_until: { holds: isTimestamp, expected: 'a time', optional: true },
};

/** Reads `keys.json`, the whole member. Whether the records agree is for the verifier to see. */
export function parseKeyArchive(text: string): ArchivedKey[] {
  const value = parseWholeMember(text);
  checkShape(value, { keys: { holds: Array.isArray, expected: 'a list' } }, 'keys.json');
  const { keys } = value as unknown as { keys: ArchivedKey[] };
  for (const key of keys) {
    checkShape(key, keyMembers, 'a key');
    holdRule(importPublicKey(jwkOf(key)).kid === key.kid, 26, 'a kid is not the thumbprint of its key');
  }
  return keys;
}

const checkpointMembers: Record<keyof CheckpointLine, MemberCheck> = {
  size: { holds: (v) => isCount(v), expected: 'a number from 0' },
  note: { holds: (v) => isText(v, memberLineMaxBytes), expected: 'a signed note' },
};

export function parseCheckpointLine(text: string): CheckpointLine {
  const value = parseCanonical(text);
  checkShape(value, checkpointMembers, 'a line');
  return value as unknown as CheckpointLine;
}

const evidenceMembers: Record<keyof EvidenceLine, MemberCheck> = {
  sha256: { holds: isSha256Hex, expected: '64 hex digits' },
  jws: { holds: (v) => isText(v, jwsMaxBytes), expected: 'a JWS' },
};

export function parseEvidenceLine(text: string): EvidenceLine {
  const value = parseCanonical(text);
  checkShape(value, evidenceMembers, 'a line');
  return value as unknown as EvidenceLine;
}

const trustMembers: Record<keyof TrustLine, MemberCheck> = {
  seq: { holds: (v) => isCount(v), expected: 'a number from 0' },
  record: { holds: (v) => isText(v, memberLineMaxBytes), expected: 'a record' },
  proof: { holds: isHashList, expected: 'a list of base64 hashes' },
};

export function parseTrustLine(text: string): TrustLine {
  const value = parseCanonical(text);
  checkShape(value, trustMembers, 'a line');
  return value as unknown as TrustLine;
}

/** The hashes of `prefix` or of a `proof`, as bytes. */
export function decodeHashes(hashes: readonly string[]): Buffer[] {
  return hashes.map(decodeHash);
}

function jwkOf(key: ArchivedKey): object {
  const { kty, crv, x } = key;
  return key.kty === 'EC' ? { kty, crv, x, y: key.y } : 'y' in key ? { kty, crv, x, y: key.y } : { kty, crv, x };
}

function formatLine(value: object): string {
  return `${canonicalize(value as CanonicalValue)}\n`;
}

/** A member of one line of canonical JSON and one line feed (rule 26). */
function parseWholeMember(text: string): CanonicalValue {
  holdRule(text.endsWith('\n'), 26, 'no line feed at the end');
  return parseCanonical(text.slice(0, -1));
}

function isHashList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && isHashBase64(item));
}
