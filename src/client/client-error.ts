/** The two ways in which a call fails: the server refused it, or no answer came. */

import type { FieldError } from '../domain/error.ts';

export interface Refusal {
  status: number;
  /** Stable code of this very failure, listed in docs/errors.md. */
  code: string;
  /** What is wrong and what to do next, as the server says it. */
  detail: string;
  /** Members of the input that are wrong. */
  errors: FieldError[];
  /** Seconds after which a retry may help. */
  retryAfterS: number | null;
  /** The id under which the server's log and the audit log know the call. */
  requestId: string | null;
}

/** The server answered, and the answer is no. */
export class WritApiError extends Error implements Refusal {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors: FieldError[];
  readonly retryAfterS: number | null;
  readonly requestId: string | null;

  constructor(refusal: Refusal) {
    super(`${refusal.status.toString()} ${refusal.code}: ${refusal.detail}`);
    this.name = 'WritApiError';
    this.status = refusal.status;
    this.code = refusal.code;
    this.detail = refusal.detail;
    this.errors = refusal.errors;
    this.retryAfterS = refusal.retryAfterS;
    this.requestId = refusal.requestId;
  }
}

/** No whole answer came. A write may have been carried out; the same Idempotency-Key finds out. */
export class WritUnreachableError extends Error {
  readonly url: string;
  /** The system's code, such as `ECONNREFUSED`; null where there is none. */
  readonly code: string | null;

  /** `timeoutMs` where the time was up. */
  constructor(url: string, timeoutMs: number | undefined, cause: unknown) {
    const code = systemCode(cause);
    const said = `No connection to ${url}${code === null ? '' : ` (${code})`}.`;
    super(timeoutMs === undefined ? said : `No answer from ${url} within ${(timeoutMs / 1000).toString()} s.`, {
      cause,
    });
    this.name = 'WritUnreachableError';
    this.url = url;
    this.code = code;
  }
}

/** The innermost `code` of a chain of causes: fetch wraps what the socket said. */
function systemCode(error: unknown): string | null {
  let found: string | null = null;
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if ('code' in at && typeof at.code === 'string') found = at.code;
  }
  return found;
}

const bodyMaxChars = 64 * 1024;

/** Reads a refusal: problem details where the answer has them, else what its status says. */
export async function refusalOf(response: Response): Promise<WritApiError> {
  const text = (await response.text()).slice(0, bodyMaxChars);
  const problem = parseObject(text);
  const said = (member: string): string | undefined => {
    const value = problem[member];
    return typeof value === 'string' ? value : undefined;
  };
  const isRedirect = response.status >= 300 && response.status < 400;
  return new WritApiError({
    status: response.status,
    code: said('code') ?? (isRedirect ? 'redirected' : `http_${response.status.toString()}`),
    detail:
      said('detail') ??
      (isRedirect
        ? 'The address answers with a redirect, which is not followed: give the final address.'
        : 'The answer is not of the documented form: is this the address of a Writ server?'),
    errors: Array.isArray(problem['errors']) ? problem['errors'].flatMap(fieldError) : [],
    retryAfterS: retryAfterS(response),
    requestId: response.headers.get('x-request-id'),
  });
}

function retryAfterS(response: Response): number | null {
  const text = response.headers.get('retry-after');
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function fieldError(value: unknown): FieldError[] {
  if (typeof value !== 'object' || value === null || !('path' in value) || !('message' in value)) return [];
  return typeof value.path === 'string' && typeof value.message === 'string'
    ? [{ path: value.path, message: value.message }]
    : [];
}
