/** The one error class of Writ and its closed set of codes; each door translates them once. */

/** What kind of failure it is; decides the status of an answer and whether a retry can help. */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'rate_limited'
  | 'too_large'
  | 'expired'
  | 'unavailable'
  | 'internal';

/** One member of an input that is wrong: `path` is dotted, `tasks.3.payload.host`; empty for the whole. */
export interface FieldError {
  path: string;
  message: string;
}

export interface ErrorDetails {
  /** Stable machine-readable code of this very failure, listed in docs/errors.md; the kind where none is given. */
  reason?: string;
  /** Members of the input that are wrong. */
  errors?: FieldError[];
  /** Seconds after which a retry may help. */
  retryAfterS?: number;
}

/**
 * A failure with a stable code. `message` is shown to callers: it says what is wrong and what to do next, and holds
 * no secret, no payload and no text of a lower layer. `cause` is for the log alone.
 */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'AppError';
    this.code = code;
    this.details = details;
  }

  /** The stable code that callers see. */
  get reason(): string {
    return this.details.reason ?? this.code;
  }
}

/** A condition under which a role of the process must stop: a broken invariant, never a caller's mistake. */
export class FatalError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'FatalError';
  }
}
