/** The body of a message that carries a JWS and, beside it, exact bytes that it binds by hash. */

import { AppError } from './error.ts';

/**
 * Layout: uint32 big-endian length of the JWS, the JWS in ASCII, then for each blob its uint32 big-endian length and its bytes.
 * A length of 0xFFFFFFFF stands for a blob that is absent.
 */
export interface Frame {
  /** Its bytes in ASCII. */
  jws: Buffer;
  /** These and the JWS share memory with the message. */
  blobs: (Buffer | null)[];
}

const absent = 0xffffffff;

export function encodeFrame(jws: Buffer, blobs: readonly (Buffer | null)[]): Buffer {
  let length = 4 + jws.length;
  for (const blob of blobs) length += 4 + (blob?.length ?? 0);
  const bytes = Buffer.allocUnsafe(length);
  let at = bytes.writeUInt32BE(jws.length, 0);
  at += jws.copy(bytes, at);
  for (const blob of blobs) {
    at = bytes.writeUInt32BE(blob === null ? absent : blob.length, at);
    if (blob !== null) at += blob.copy(bytes, at);
  }
  return bytes;
}

/** Fails `invalid` where the lengths do not add up. An attacker may have written `bytes`. */
export function decodeFrame(bytes: Buffer): Frame {
  const blobs: (Buffer | null)[] = [];
  const first = readPart(bytes, 0);
  if (first.part === null) throw badFrame();
  let { end } = first;
  while (end < bytes.length) {
    const next = readPart(bytes, end);
    blobs.push(next.part);
    end = next.end;
  }
  return { jws: first.part, blobs };
}

function readPart(buffer: Buffer, at: number): { part: Buffer | null; end: number } {
  if (at + 4 > buffer.length) throw badFrame();
  const length = buffer.readUInt32BE(at);
  if (length === absent) return { part: null, end: at + 4 };
  const end = at + 4 + length;
  if (end > buffer.length) throw badFrame();
  return { part: buffer.subarray(at + 4, end), end };
}

function badFrame(): AppError {
  return new AppError('invalid', 'The message is not a frame of a JWS and its parts.', { reason: 'bad_frame' });
}
