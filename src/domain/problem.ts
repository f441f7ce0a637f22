/** Failures as RFC 9457 problem details: what callers over HTTP see of an AppError. */

import type { AppError, ErrorCode, FieldError } from './error.ts';

export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  instance?: string;
  errors?: FieldError[];
}

const statuses: Readonly<Record<ErrorCode, { status: number; title: string }>> = {
  invalid: { status: 400, title: 'The request is not valid' },
  unauthenticated: { status: 401, title: 'Authentication is needed' },
  forbidden: { status: 403, title: 'This is not allowed' },
  not_found: { status: 404, title: 'Not found' },
  conflict: { status: 409, title: 'The request conflicts with the present state' },
  expired: { status: 410, title: 'This is not valid any more' },
  too_large: { status: 413, title: 'Too large' },
  rate_limited: { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Something failed inside' },
  unavailable: { status: 503, title: 'Not available now' },
};

/** Where the codes are explained. */
export const errorDocs = '/docs/errors#';

/** The problem of an error; an `internal` one says nothing of what happened inside. */
export function problemOf(error: AppError, instance?: string): Problem {
  const { status, title } = statuses[error.code];
  const isHidden = error.code === 'internal';
  const code = isHidden ? 'internal' : error.reason;
  const errors = error.details.errors;
  return {
    type: `${errorDocs}${code}`,
    title,
    status: code === 'batch_rejected' ? 422 : status,
    code,
    detail: isHidden ? 'The failure is in the log of the server, under this request id.' : error.message,
    ...(instance === undefined ? {} : { instance }),
    ...(errors === undefined ? {} : { errors }),
  };
}
