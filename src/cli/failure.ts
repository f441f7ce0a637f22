/** Says on stderr what went wrong and what to do next, and with which status the command ends. */

import { CommanderError } from 'commander';
import { AppError, type FieldError } from '../domain/error.ts';
import { exitCodes, type ExitCode } from './exit-code.ts';
import type { CliIo } from './screen.ts';
import { terminalJson, terminalText } from './terminal-text.ts';

interface Told {
  exit: ExitCode;
  code: string;
  message: string;
  errors?: readonly FieldError[];
  /** What to do next. */
  next?: string | undefined;
  status?: number;
  request_id?: string | null;
}

/** Tells a failure and answers the exit status. With `json` it is one line of JSON `{error: {code, message, …}}`. */
export function tellFailure(error: unknown, io: CliIo, json: boolean): ExitCode {
  // Commander has told what is wrong with the call, or shown the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  const told = describe(error);
  const { exit, ...rest } = told;
  io.stderr.write(json ? `${terminalJson({ error: rest })}\n` : `${linesOf(told).join('\n')}\n`);
  return exit;
}

function linesOf({ code, message, errors = [], next, status, request_id }: Told): string[] {
  const lines = message.split('\n').map(terminalText);
  lines[0] = `writ: ${lines[0] ?? ''}`;
  for (const { path, message: what } of errors)
    lines.push(terminalText(`  ${path === '' ? '(whole)' : path}: ${what}`));
  if (next !== undefined) lines.push(terminalText(next));
  if (status !== undefined) {
    const id = request_id == null ? '' : `, request ${request_id}`;
    lines.push(terminalText(`(${status.toString()} ${code}${id}; docs/errors.md explains the code)`));
  }
  return lines;
}

/** What is known of a failure. The client's errors are told by name: its code is loaded only where it is used. */
function describe(error: unknown): Told {
  if (isRefusal(error)) {
    const { status, code, detail, errors, requestId, retryAfterS } = error;
    const exit = status >= 500 ? exitCodes.unreachable : exitCodes.refused;
    return {
      exit,
      code,
      message: detail,
      errors,
      next: nextAfter(status, code, retryAfterS),
      status,
      request_id: requestId,
    };
  }
  if (error instanceof AppError) {
    // Errors of fields stand in the message of those that come from the settings.
    const errors = error.reason === 'invalid_settings' ? [] : (error.details.errors ?? []);
    const exit = error.code === 'unavailable' ? exitCodes.unreachable : exitCodes.usage;
    return { exit, code: error.reason, message: error.message, errors };
  }
  if (!(error instanceof Error)) return { exit: exitCodes.usage, code: 'internal', message: String(error) };
  if (error.name === 'WritUnreachableError') return unreachable(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'internal';
  return { exit: exitCodes.usage, code, message: error.message };
}

function unreachable(error: Error): Told {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'unreachable';
  const isTls = /CERT|SELF_SIGNED|UNABLE_TO|^ERR_TLS|^ERR_SSL|EPROTO/.test(code);
  const next = isTls
    ? 'The certificate is not trusted: give its authority with --cacert FILE or WRIT_CACERT, or check the address.'
    : 'Is it running there? "writ dev" starts one here; --url or WRIT_URL names another.';
  return { exit: exitCodes.unreachable, code, message: error.message, next };
}

function nextAfter(status: number, code: string, retryAfterS: number | null): string | undefined {
  if (status === 401) {
    return 'Set WRIT_TOKEN or WRIT_TOKEN_FILE, give --token-file, or run this in the folder of a "writ dev".';
  }
  if (status === 403) return '"writ whoami" shows your roles and scope.';
  if (code === 'not_finished') return 'Wait for it with "writ task wait".';
  if (retryAfterS !== null) return `Try again in ${retryAfterS.toString()} s.`;
  return undefined;
}

interface Refusal extends Error {
  status: number;
  code: string;
  detail: string;
  errors: FieldError[];
  retryAfterS: number | null;
  requestId: string | null;
}

function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && error.name === 'WritApiError';
}
