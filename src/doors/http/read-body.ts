/** Takes the bytes of a request's body, so many at most. */

import type { IncomingMessage } from 'node:http';
import { AppError } from '../../domain/error.ts';

export const bodyMaxBytes = 1024 * 1024;

/** What is too long is still read this far and dropped, so that the caller gets to see the answer instead of a reset. */
const drainMaxBytes = 8 * bodyMaxBytes;

const none = Buffer.alloc(0);

/** The whole body. Fails `too_large` (`body_too_large`), and `invalid` (`body_incomplete`) where the caller went away. */
export function readBody(request: IncomingMessage, maxBytes = bodyMaxBytes): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > drainMaxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else if (length > drainMaxBytes) reject(tooLarge(maxBytes));
    });
    request.on('end', () => {
      const [first = none] = chunks;
      if (length > maxBytes) reject(tooLarge(maxBytes));
      else resolve(chunks.length <= 1 ? first : Buffer.concat(chunks, length));
    });
    request.on('error', (error) => {
      reject(incomplete(error));
    });
    request.on('close', () => {
      if (!request.complete) reject(incomplete());
    });
  });
}

/** JSON in UTF-8 as it is, nothing else: no other charset, no compression. Fails `invalid` (`unsupported_media_type`). */
export function checkJsonType(request: IncomingMessage): void {
  const type = request.headers['content-type'] ?? '';
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (type === 'application/json' && encoding === 'identity') return;
  const isJson = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type);
  if (!isJson || encoding.toLowerCase() !== 'identity') {
    throw new AppError('invalid', 'Send the body as it is, with "Content-Type: application/json".', {
      reason: 'unsupported_media_type',
    });
  }
}

function incomplete(cause?: unknown): AppError {
  return new AppError('invalid', 'The body ended before it was complete.', { reason: 'body_incomplete' }, cause);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('too_large', `A body has at most ${maxBytes.toString()} bytes.`, { reason: 'body_too_large' });
}
