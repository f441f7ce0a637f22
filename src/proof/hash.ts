/** SHA-256 in the forms that formats.md names. */

import { hash } from 'node:crypto';

export function sha256(data: Uint8Array | string): Buffer {
  return hash('sha256', data, 'buffer');
}

/** Lower-case hex, as every `…_sha256` member is written. */
export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}

/** Bytes longer than this are not remembered. */
const rememberedMaxBytes = 1024;

/** SHA-256 of bytes that often are those of the time before: comparing them costs a tenth of hashing them. */
export class RepeatedHash {
  #bytes = Buffer.alloc(0);
  #hex = sha256Hex('');

  /** As `sha256Hex`. */
  hex(bytes: Buffer): string {
    if (bytes.equals(this.#bytes)) return this.#hex;
    const hex = sha256Hex(bytes);
    if (bytes.length <= rememberedMaxBytes) {
      this.#bytes = Buffer.from(bytes);
      this.#hex = hex;
    }
    return hex;
  }
}

const hex64 = /^[0-9a-f]{64}$/;

/** Whether a text has the form of a `…_sha256` member. */
export function isSha256Hex(text: unknown): text is string {
  return typeof text === 'string' && hex64.test(text);
}
