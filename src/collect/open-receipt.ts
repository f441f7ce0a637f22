/** Opens a message from a node: verifies the receipt, and that what travels beside it is what was signed. */

import type { Delivery } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import { decodeFrame } from '../domain/frame.ts';
import { RepeatedHash, sha256Hex } from '../proof/hash.ts';
import { clockSkewS } from '../proof/manifest.ts';
import { ProofError, prove } from '../proof/proof-error.ts';
import type { PublicKey } from '../proof/public-key.ts';
import { verifyReceipt, type ReceiptPayload, type Result } from '../proof/receipt.ts';

/** One result with its bytes. `output` is the beginning where the whole was longer. */
export interface OpenResult {
  result: Result;
  output: Buffer | null;
  metadata: Buffer | null;
  isRetryable: boolean;
}

export interface OpenReceipt {
  jws: Buffer;
  sha256: string;
  payload: ReceiptPayload;
  results: OpenResult[];
}

const outputHash = new RepeatedHash();
const metadataHash = new RepeatedHash();

/** A node's clock may be ahead by so much; it may lie behind by any time: a receipt may have waited (formats.md rule 12). */
const aheadMaxS = 300;
/** The record is written a moment later, by the database's clock. */
const aheadMarginS = 20;

/** Finds the key of a node by its thumbprint, and whose it is. */
export type FindNodeKey = (kid: string) => NodeKey | undefined;

/** `fromS`: from when the log trusts it, in seconds. */
export interface NodeKey {
  nodeId: string;
  key: PublicKey;
  fromS: number;
}

/** Throws a ProofError whose code is the reason to record; the message is controlled by whoever may write the queue. */
export function openReceipt(delivery: Delivery, findKey: FindNodeKey, nowS: number): OpenReceipt {
  const { jws, blobs } = decode(delivery.body);
  let fromS = 0;
  const payload = verifyReceipt(jws, (kid) => {
    const found = findKey(kid);
    fromS = found?.fromS ?? 0;
    return found;
  });
  prove(payload.iat <= nowS + aheadMaxS - aheadMarginS, 'not_yet_valid', 'signed in the future');
  prove(payload.iat >= fromS - clockSkewS, 'key_not_trusted_yet', 'signed before its key was trusted');
  prove(blobs.length === payload.results.length * 2, 'bad_frame', 'another number of parts than results');
  const results = payload.results.map((result, i) =>
    openResult(result, blobs[i * 2] ?? null, blobs[i * 2 + 1] ?? null),
  );
  return { jws, sha256: sha256Hex(jws), payload, results };
}

function decode(body: Buffer): ReturnType<typeof decodeFrame> {
  try {
    return decodeFrame(body);
  } catch (error) {
    if (error instanceof AppError) throw new ProofError('bad_frame', error.message);
    throw error;
  }
}

function openResult(result: Result, output: Buffer | null, metadata: Buffer | null): OpenResult {
  prove(
    (output === null) === (result.output_sha256 === null),
    'bad_output',
    'output without hash, or hash without output',
  );
  if (output !== null) {
    const wholeBytes = result.output_bytes ?? 0;
    prove(output.length <= wholeBytes, 'bad_output', 'more output than was signed');
    prove(
      output.length < wholeBytes || outputHash.hex(output) === result.output_sha256,
      'bad_output',
      'another output than was signed',
    );
  }
  prove(
    (metadata === null) === (result.metadata_sha256 === null),
    'bad_metadata',
    'metadata without hash, or hash without metadata',
  );
  prove(
    metadata === null || metadataHash.hex(metadata) === result.metadata_sha256,
    'bad_metadata',
    'other metadata than was signed',
  );
  return { result, output, metadata, isRetryable: result.status === 'failed' && isRetryable(metadata) };
}

function isRetryable(metadata: Buffer | null): boolean {
  if (metadata === null) return false;
  try {
    return (JSON.parse(metadata.toString('utf8')) as { retryable?: unknown } | null)?.retryable === true;
  } catch {
    return false;
  }
}
