/** The ways to a token of Vault. */

import { checkVaultName } from './name.ts';
import { isVaultFailure, settingsError, vaultFailure } from './failure.ts';
import type { SendToVault, VaultAnswer } from './sender.ts';

/** A secret id as it is, or in a token of Vault that answers it once. */
export type SecretId =
  | string
  | {
      wrappedSecretId: string;
      /** Where it must have been made; without it, any role of the mount will do. */
      creationPath?: string;
    };

export type VaultAuth =
  | { kind: 'token'; token: string }
  | {
      kind: 'approle';
      roleId: string;
      secretId: SecretId;
      /** `approle` where none is given. */
      mount?: string;
    };

/** A token and what is known of its life. */
export interface Lease {
  token: string;
  /** Seconds it has left; 0 for one that does not end. */
  ttlS: number;
  isRenewable: boolean;
  /** The token may be asked about itself, so that a denied call can be told from a token that ended. */
  canLookUp: boolean;
}

/**
 * What logs in, as often as it is called. Fails `invalid` for credentials that are none; a login fails
 * `vault_login_failed` where Vault does not take them, and otherwise as the call does.
 */
export function createLogin(auth: VaultAuth, send: SendToVault): () => Promise<Lease> {
  if (auth.kind === 'token') {
    checkSecret(auth.token, 'VAULT_TOKEN');
    return async () => {
      const lease = await lookUp(send, auth.token);
      if (lease === undefined) throw vaultFailure('loginFailed');
      return lease;
    };
  }
  const { roleId, secretId, mount = 'approle' } = auth;
  checkVaultName(mount);
  checkSecret(roleId, 'VAULT_ROLE_ID');
  checkSecret(typeof secretId === 'string' ? secretId : secretId.wrappedSecretId, 'VAULT_SECRET_ID');
  let unwrapped = typeof secretId === 'string' ? secretId : undefined;
  return async () => {
    if (unwrapped === undefined && typeof secretId !== 'string') unwrapped = await unwrap(send, secretId, mount);
    const body = { role_id: roleId, secret_id: unwrapped };
    const lease = readLease(await refusedIsFailed(send({ method: 'POST', path: `auth/${mount}/login`, body })));
    return { ...lease, canLookUp: (await lookUp(send, lease.token)) !== undefined };
  };
}

/** What Vault says of a token; undefined where it does not know it, or does not let it ask. */
export async function lookUp(send: SendToVault, token: string): Promise<Lease | undefined> {
  let answer: VaultAnswer;
  try {
    answer = await send({ method: 'GET', path: 'auth/token/lookup-self', token });
  } catch (error) {
    if (isVaultFailure(error, 'denied')) return undefined;
    throw error;
  }
  const { ttl, renewable } = membersOf(answer['data']);
  return { token, ttlS: checkSeconds(ttl), isRenewable: renewable === true, canLookUp: true };
}

/** The lease after a renewal. Fails `vault_denied` where the token has ended meanwhile. */
export async function renew(send: SendToVault, lease: Lease): Promise<Lease> {
  const { token } = lease;
  return { ...lease, ...readLease(await send({ method: 'POST', path: 'auth/token/renew-self', token }), token) };
}

/**
 * Exchanges a wrapping token for the secret id. What it was made for is checked before: a wrapping token that somebody
 * put in its place, to have Writ log in as their role, was made elsewhere.
 */
async function unwrap(send: SendToVault, wrapped: Exclude<SecretId, string>, mount: string): Promise<string> {
  const { wrappedSecretId: token, creationPath } = wrapped;
  const failed = (error: unknown): never => {
    const isKnown = isVaultFailure(error, 'refused') || isVaultFailure(error, 'denied');
    throw isKnown ? vaultFailure('secretIdUnwrapped') : error;
  };
  const lookup = await send({ method: 'POST', path: 'sys/wrapping/lookup', body: { token } }).catch(failed);
  const { creation_path: madeAt } = membersOf(lookup['data']);
  const isRight =
    creationPath === undefined
      ? typeof madeAt === 'string' && new RegExp(`^auth/${mount}/role/[^/]+/secret-id$`).test(madeAt)
      : madeAt === creationPath;
  if (!isRight) throw vaultFailure('secretIdUnwrapped');
  const request = { method: 'POST', path: 'sys/wrapping/unwrap', token, isRepeatable: false } as const;
  const answer = await send(request).catch(failed);
  return readSecret(membersOf(answer['data'])['secret_id']);
}

/** A login with wrong credentials is answered as an invalid call, and one at a mount that is not there as no path. */
async function refusedIsFailed(answer: Promise<VaultAnswer>): Promise<VaultAnswer> {
  try {
    return await answer;
  } catch (error) {
    const isRefused = (['refused', 'denied', 'notFound'] as const).some((kind) => isVaultFailure(error, kind));
    throw isRefused ? vaultFailure('loginFailed') : error;
  }
}

function readLease(answer: VaultAnswer, known?: string): Lease {
  const { client_token: token, lease_duration: ttl, renewable } = membersOf(answer['auth']);
  return {
    token: known ?? readSecret(token),
    ttlS: checkSeconds(ttl),
    isRenewable: renewable === true,
    canLookUp: true,
  };
}

function membersOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw vaultFailure('answerInvalid');
  return value as Record<string, unknown>;
}

function checkSeconds(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw vaultFailure('answerInvalid');
  return value as number;
}

/** Visible ASCII: what can stand in a header. */
const secretText = /^[\x21-\x7e]{1,8192}$/;

function readSecret(value: unknown): string {
  if (typeof value !== 'string' || !secretText.test(value)) throw vaultFailure('answerInvalid');
  return value;
}

function checkSecret(value: string, setting: string): void {
  if (!secretText.test(value)) {
    throw settingsError(`${setting} is empty, or holds spaces, line ends or other characters that none of them has.`);
  }
}
