/** SHA-256 in the forms that formats.md names. */

import { hash } from 'node:crypto';

export function sha256(data: Uint8Array | string): Buffer {
  return hash('sha256', data, 'buffer');
}

/** Lower-case hex, as every `…_sha256` member is written. */
export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}

const hex64 = /^[0-9a-f]{64}$/;

/** Whether a text has the form of a `…_sha256` member. */
export function isSha256Hex(text: unknown): text is string {
  return typeof text === 'string' && hex64.test(text);
}
