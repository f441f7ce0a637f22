/** What the failures of a PostgreSQL connection mean to the rooms above. */
import { AppError } from '../../domain/error.ts';

/** SQLSTATE classes and codes after which nothing is known to have happened and a later try may work. */
const UNAVAILABLE_CLASSES = new Set(['08', '53', '57P', '58']);
const BUSY_STATES = new Set(['57014', '55P03', '25P03']);
const CONTENTION_STATES = new Set(['40001', '40P01']);
const RETRY_AFTER_S = 2;

/** Messages of the driver for connections that ended or never came about; it gives them no code. */
const DRIVER_MESSAGES = [
  /^Connection terminated/,
  /^timeout exceeded when trying to connect/,
  /^timeout expired/,
  /^Query read timeout/,
  /^Client has encountered a connection error/,
  /^Client was closed/,
  /^Cannot use a pool after calling end/,
  /^The server does not support SSL/,
];

/** The five-character SQLSTATE of a server's error, of it or of its cause; undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && 'severity' in error) return code;
  return error.cause === undefined ? undefined : sqlState(error.cause);
}

/** The constraint that a server's error names, for `23505` and its like. */
export function violatedConstraint(error: unknown): string | undefined {
  const { constraint } = error as { constraint?: unknown };
  return sqlState(error)?.startsWith('23') === true && typeof constraint === 'string' ? constraint : undefined;
}

/**
 * `unavailable` with the reason `database_unavailable` where the connection is gone or cannot be had, `database_busy` where a
 * time limit of the server passed, `database_contention` where two transactions stood in each other's way. Anything else is
 * handed back as it is: what a constraint means only the room knows that owns the table.
 */
export function translateFailure(error: unknown): unknown {
  const state = sqlState(error);
  if (state === undefined) {
    return isLostConnection(error)
      ? unavailable('database_unavailable', 'The database cannot be reached.', error)
      : error;
  }
  if (BUSY_STATES.has(state)) return unavailable('database_busy', 'The database took too long.', error);
  if (CONTENTION_STATES.has(state))
    return unavailable('database_contention', 'The database was busy with the same rows.', error);
  if (UNAVAILABLE_CLASSES.has(state.slice(0, 2)) || UNAVAILABLE_CLASSES.has(state.slice(0, 3))) {
    return unavailable('database_unavailable', 'The database cannot be reached.', error);
  }
  return error;
}

function unavailable(reason: string, text: string, cause: unknown): AppError {
  return new AppError(
    'unavailable',
    `${text} Try again in ${RETRY_AFTER_S} s.`,
    { reason, retryAfterS: RETRY_AFTER_S },
    cause,
  );
}

function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { syscall } = error as { syscall?: unknown };
  if (typeof syscall === 'string') return true;
  if (error instanceof AggregateError) return error.errors.some(isLostConnection);
  return DRIVER_MESSAGES.some((message) => message.test(error.message));
}
