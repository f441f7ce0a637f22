/** The log of a process: one JSON line per event on stderr. */

import { createLogger as createWinston, format, transports } from 'winston';
import { AppError } from '../../domain/error.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
/** One line: what happened, with ids and codes as fields; no secret, no payload. */
export type Log = (level: LogLevel, event: string, fields?: Record<string, unknown>) => void;

/** Writes lines of at least `level` to stderr. Errors are told by their code and message, and their stack where they are bugs. */
export function createLog(level: LogLevel): Log {
  const winston = createWinston({
    level,
    format: format.combine(format.timestamp(), format.json()),
    transports: [new transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })],
  });
  return (at, event, fields = {}) => {
    if (winston.isLevelEnabled(at)) winston.log(at, event, { ...fields, ...errorFields(fields.error) });
  };
}

function errorFields(error: unknown): Record<string, unknown> {
  if (error === undefined) return {};
  if (error instanceof AppError) {
    const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
    return { error: { code: error.code, reason: error.reason, message: error.message, ...cause } };
  }
  if (error instanceof Error) return { error: { message: error.message, stack: error.stack } };
  return { error: { message: 'not an error' } };
}
