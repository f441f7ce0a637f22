/** What may go wrong with Vault, each with its stable reason and what to do next. */

import { AppError, type ErrorCode } from '../../../domain/error.ts';

interface Failure {
  code: ErrorCode;
  reason: string;
  /** Shown to callers: no address, no path, nothing that was sent or answered. */
  message: string;
}

const failures = {
  unreachable: {
    code: 'unavailable',
    reason: 'vault_unreachable',
    message:
      'Vault cannot be reached. Check that it runs, VAULT_ADDR, and with https the certificate and VAULT_CACERT.',
  },
  timeout: {
    code: 'unavailable',
    reason: 'vault_timeout',
    message: 'Vault did not answer in time. Look at its load and at the network between.',
  },
  sealed: {
    code: 'unavailable',
    reason: 'vault_sealed',
    message: 'Vault is sealed. Have it unsealed; work goes on by itself then.',
  },
  rateLimited: {
    code: 'unavailable',
    reason: 'vault_rate_limited',
    message: 'Vault takes no more calls at the moment. Raise its rate limit quota where this goes on.',
  },
  failed: {
    code: 'unavailable',
    reason: 'vault_failed',
    message: 'Vault failed at a call. Its own log, or that of the proxy before it, has the cause.',
  },
  redirected: {
    code: 'unavailable',
    reason: 'vault_redirected',
    message:
      'Vault answered with a redirect, and none is followed. Set VAULT_ADDR to the active server, or to a load balancer that finds it.',
  },
  answerInvalid: {
    code: 'unavailable',
    reason: 'vault_answer_invalid',
    message: 'What answers at VAULT_ADDR does not answer as Vault does. Check that no proxy or login page is between.',
  },
  loginFailed: {
    code: 'unavailable',
    reason: 'vault_login_failed',
    message:
      'Vault does not take the credentials. Set a new VAULT_TOKEN, or a new VAULT_SECRET_ID for the role, and start again.',
  },
  secretIdUnwrapped: {
    code: 'unavailable',
    reason: 'vault_login_failed',
    message:
      'The wrapped secret id cannot be unwrapped: it has expired, was unwrapped by somebody else, or was not made for this role. Revoke what it held and make a new one.',
  },
  closed: {
    code: 'unavailable',
    reason: 'vault_closed',
    message: 'The connection to Vault is closed. The process is about to end; try again with the next.',
  },
  denied: {
    code: 'forbidden',
    reason: 'vault_denied',
    message: "Vault denies this call. Compare the policies of Writ's token with those in vault/.",
  },
  refused: {
    code: 'invalid',
    reason: 'vault_refused',
    message: 'Vault refuses this call as invalid. Compare its mounts, keys and roles with vault/set-up.sh.',
  },
  notFound: {
    code: 'not_found',
    reason: 'vault_not_found',
    message: 'Vault has nothing there. Compare its mounts, keys and roles with vault/set-up.sh.',
  },
} as const satisfies Record<string, Failure>;

export type VaultFailureKind = keyof typeof failures;

/**
 * The error of one kind of failure. The cause is told by its system code alone: errors of lower layers hold headers,
 * and with them the token.
 */
export function vaultFailure(kind: VaultFailureKind, systemCode?: string): AppError {
  const { code, reason, message } = failures[kind];
  return new AppError(code, message, { reason }, systemCode === undefined ? undefined : new Error(systemCode));
}

/** Whether an error is a failure of this kind. */
export function isVaultFailure(error: unknown, kind: VaultFailureKind): error is AppError {
  return error instanceof AppError && error.reason === failures[kind].reason;
}

/**
 * A failure as the ports promise it: that Vault denies or refuses something is no fault of whoever called Writ. Answers
 * errors that do not come from Vault as they are.
 */
export function asUnavailable(error: unknown): unknown {
  const kinds: readonly VaultFailureKind[] = ['denied', 'refused', 'notFound'];
  if (!kinds.some((kind) => isVaultFailure(error, kind))) return error;
  const { message, details } = error as AppError;
  return new AppError('unavailable', message, details, error);
}

/** Settings of Vault that cannot be meant. */
export function settingsError(message: string): AppError {
  return new AppError('invalid', message, { reason: 'vault_settings_invalid' });
}
