/** Standard padded base64 (RFC 4648 §4), strict: one text for each byte string and no other. */

import { ProofError } from './proof-error.ts';

const form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Refuses white space, missing padding, other alphabets, and spare bits that are not zero. */
export function decodeBase64(text: string): Buffer {
  if (form.test(text)) {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') === text) return bytes;
  }
  throw new ProofError('bad_base64', 'not padded base64');
}

/** A hash of 32 bytes from its base64. */
export function decodeHash(text: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes.length !== 32) throw new ProofError('bad_hash', 'not a hash of 32 bytes');
  return bytes;
}
