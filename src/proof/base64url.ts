/** base64url without padding (RFC 4648 §5), strict: one text for each byte string and no other. */

import { bufferOf } from './bytes.ts';
import { ProofError } from './proof-error.ts';

const alphabet = /^[A-Za-z0-9_-]*$/;

export function encodeBase64url(bytes: Uint8Array | string): string {
  const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bufferOf(bytes);
  return buffer.toString('base64url');
}

/** Refuses padding, white space, other alphabets, impossible lengths, and spare bits that are not zero. */
export function decodeBase64url(text: string): Buffer {
  if (!alphabet.test(text) || text.length % 4 === 1) throw new ProofError('bad_base64url', 'not base64url');
  const bytes = Buffer.from(text, 'base64url');
  // Only the last character can hide spare bits: comparing its group suffices, and is cheap for long texts.
  const tail = text.length % 4;
  if (
    tail !== 0 &&
    bytes.subarray(bytes.length - (tail - 1)).toString('base64url') !== text.slice(text.length - tail)
  ) {
    throw new ProofError('bad_base64url', 'not the only base64url of these bytes');
  }
  return bytes;
}
