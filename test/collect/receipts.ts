/** Results, receipts and live tasks made from a few members. */

import type { OpenReceipt, OpenResult } from '../../src/collect/open-receipt.ts';
import type { LiveTask } from '../../src/collect/outcome.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import type { ReceiptPayload, Result } from '../../src/proof/receipt.ts';

export const nodeId = '00000000-0000-7000-8000-0000000000aa';
export const otherNodeId = '00000000-0000-7000-8000-0000000000bb';

/** A UUID that sorts as its number does. */
export function uuid(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** A live task in the hands of the node, after its first start. */
export function liveTask(number: number, members: Partial<LiveTask> = {}): LiveTask {
  return {
    task_id: uuid(number),
    state: 'dispatched',
    attempt: 1,
    tries: 1,
    node_id: nodeId,
    manifest: uuid(0xffff),
    effects: 'none',
    max_attempts: 3,
    retry_initial_s: 2,
    retry_max_s: 60,
    is_cancel_requested: false,
    ...members,
  };
}

/** The result of a run without output. */
export function resultOf(number: number, members: Partial<Result> = {}): Result {
  return {
    task_id: uuid(number),
    attempt: 1,
    status: 'succeeded',
    started_at: null,
    ended_at: null,
    output_sha256: null,
    output_bytes: null,
    error: null,
    metadata_sha256: null,
    ...members,
  };
}

export function payloadOf(results: Result[], members: Partial<ReceiptPayload> = {}): ReceiptPayload {
  return { iss: nodeId, jti: uuid(0x1000), iat: 1_700_000_000, boot_id: uuid(0x2000), seq: 0, results, ...members };
}

/** A receipt as if it had been opened. */
export function openOf(number: number, results: readonly (Result & Partial<OpenResult>)[]): OpenReceipt {
  const payload = payloadOf([...results], { jti: uuid(0x10000 + number), seq: number });
  return {
    jws: Buffer.from(`jws ${number}`),
    sha256: sha256Hex(`jws ${number}`),
    payload,
    results: results.map((result) => ({
      result,
      output: null,
      metadata: null,
      isRetryable: result.isRetryable ?? false,
    })),
  };
}
