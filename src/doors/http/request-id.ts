/** The id of a request: the caller's where it is plain, else a new one; the same in answers, logs and records. */

import type { Request, Response } from 'express';
import { newId, type RecordId } from '../../domain/ids.ts';

export const requestIdHeader = 'X-Request-Id';

const plain = /^[\x21-\x7e]{1,128}$/;

/** Chooses the request's id and puts it into the answer. The header is whatever the caller sent. */
export function assignRequestId(request: Request, response: Response): void {
  const given = request.headers['x-request-id'];
  response.setHeader(requestIdHeader, typeof given === 'string' && plain.test(given) ? given : newId<RecordId>());
}

/** The id that the answer carries. */
export function requestIdOf(response: Response): string {
  return String(response.getHeader(requestIdHeader));
}
