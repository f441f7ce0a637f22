/** Takes the bytes of a request's body, so many at most. */

import type { IncomingMessage } from 'node:http';
import { AppError } from '../../domain/error.ts';

export const bodyMaxBytes = 1024 * 1024;

/** What is too long is still read this far and dropped, so that the caller gets to see the answer instead of a reset. */
const drainMaxBytes = 8 * bodyMaxBytes;

const none = Buffer.alloc(0);

/** The whole body. Fails `too_large` (`body_too_large`), and `invalid` (`body_incomplete`) where the caller went away. */
export async function readBody(request: IncomingMessage, maxBytes = bodyMaxBytes): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  if (Number(request.headers['content-length'] ?? 0) > drainMaxBytes) throw tooLarge(maxBytes);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > drainMaxBytes) break;
      if (length <= maxBytes) chunks.push(chunk);
    }
  } catch (error) {
    throw new AppError('invalid', 'The body ended before it was complete.', { reason: 'body_incomplete' }, error);
  }
  if (length > maxBytes) throw tooLarge(maxBytes);
  const [first = none] = chunks;
  return chunks.length <= 1 ? first : Buffer.concat(chunks, length);
}

/** JSON in UTF-8 as it is, nothing else: no other charset, no compression. Fails `invalid` (`unsupported_media_type`). */
export function checkJsonType(request: IncomingMessage): void {
  const type = request.headers['content-type'] ?? '';
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (type === 'application/json' && encoding === 'identity') return;
  const isJson = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type);
  if (!isJson || encoding.toLowerCase() !== 'identity') {
    throw new AppError('invalid', 'Send the body as it is, with "Content-Type: application/json".', { reason: 'unsupported_media_type' });
  }
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('too_large', `A body has at most ${maxBytes.toString()} bytes.`, { reason: 'body_too_large' });
}
