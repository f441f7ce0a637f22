/** Keys, node certificates and the mark, where the settings say that they live. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Authority } from '../domain/authority.ts';
import { systemClock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { Mark } from '../domain/mark.ts';
import type { Signer, SigningKey } from '../domain/signer.ts';
import { openLocalAuthority } from '../platform/keys/local-authority.ts';
import { openLocalMark } from '../platform/keys/local-mark.ts';
import { openLocalSigner } from '../platform/keys/local-signer.ts';
import { openLocalSigningKey } from '../platform/keys/local-signing-key.ts';
import { openVault, type VaultClient } from '../platform/keys/vault/client.ts';
import { openTransitKey } from '../platform/keys/vault/transit-key.ts';
import { createVaultAuthority } from '../platform/keys/vault/vault-authority.ts';
import { createVaultMark } from '../platform/keys/vault/vault-mark.ts';
import type { Log } from '../platform/observability/log.ts';
import type { Settings } from '../settings/settings.ts';
import { readOptionalFile } from './read-setting-file.ts';

export interface Keys {
  /** Signs checkpoints; Ed25519. */
  logSigner: Signer;
  manifestKey: SigningKey;
  authority: Authority;
  openMark: (origin: string) => Promise<Mark>;
  /** Whether the place of the keys answers; absent for local files. */
  status?: () => Promise<{ ok: boolean; detail?: string }>;
  close: () => void;
}

/** Opens what SIGNER names. */
export function openKeys(settings: Settings, log: Log): Promise<Keys> {
  return settings.signer === 'vault'
    ? openVaultKeys(settings, log)
    : openLocalKeys(settings.keys_dir, settings.mark_dir);
}

/** Keys and authority in a folder, the mark in another. */
export async function openLocalKeys(keysDir: string, markDir: string): Promise<Keys> {
  if (keysDir === '') {
    throw new AppError('invalid', 'KEYS_DIR is not set, and SIGNER=local needs it.', { reason: 'invalid_settings' });
  }
  await mkdir(keysDir, { recursive: true, mode: 0o700 });
  return {
    logSigner: await openLocalSigner({ path: join(keysDir, 'log.pem'), algorithm: 'EdDSA', create: true }),
    manifestKey: await openLocalSigningKey({ path: join(keysDir, 'manifest.pem'), algorithm: 'ES256', create: true }),
    authority: await openLocalAuthority({
      keyPath: join(keysDir, 'ca.pem'),
      certificatePath: join(keysDir, 'ca.crt'),
      create: true,
      clock: systemClock,
    }),
    openMark: (origin) => openLocalMark({ directory: markDir, origin }),
    close: () => undefined,
  };
}

async function openVaultKeys(settings: Settings, log: Log): Promise<Keys> {
  const client = await connectVault(settings, log);
  try {
    const { vault_transit_mount: mount, vault_transit_auto_create_key: create } = settings;
    const logKey = await openTransitKey({
      ...{ client, mount, create },
      name: settings.vault_transit_log_key_name,
      type: 'ed25519',
    });
    return {
      // Policies name the log's key: a later version of it is another key, which nobody trusts yet.
      logSigner: await logKey.signer((await logKey.versions())[0]?.version ?? 1),
      manifestKey: await openTransitKey({
        ...{ client, mount, create },
        name: settings.vault_transit_key_name,
        type: settings.vault_transit_key_type,
      }),
      authority: createVaultAuthority({
        client,
        mount: settings.vault_pki_mount,
        roles: { client: settings.vault_pki_role },
        clock: systemClock,
      }),
      openMark: (origin) => Promise.resolve(createVaultMark({ client, mount: settings.vault_kv_mount, origin })),
      status: () => client.status(),
      close: () => {
        client.close();
      },
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Connects to the Vault that the settings name, and logs in. */
export function connectVault(settings: Settings, log: Log): Promise<VaultClient> {
  const caPem = readOptionalFile('VAULT_CACERT', settings.vault_cacert);
  return openVault({
    address: settings.vault_addr,
    ...(settings.vault_namespace === '' ? {} : { namespace: settings.vault_namespace }),
    ...(caPem === undefined ? {} : { caPem }),
    verifyTls: settings.vault_verify_tls,
    requireHttps: settings.vault_require_https,
    auth: vaultAuth(settings),
    clock: systemClock,
    random: Math.random,
    log: (event, fields) => {
      log('info', event, fields);
    },
  });
}

function vaultAuth(settings: Settings): Parameters<typeof openVault>[0]['auth'] {
  const { vault_token, vault_role_id: roleId, vault_secret_id, vault_wrapped_secret_id } = settings;
  if (vault_token !== '') return { kind: 'token', token: vault_token };
  if (roleId !== '' && vault_secret_id !== '') return { kind: 'approle', roleId, secretId: vault_secret_id };
  if (roleId !== '' && vault_wrapped_secret_id !== '') {
    return { kind: 'approle', roleId, secretId: { wrappedSecretId: vault_wrapped_secret_id } };
  }
  throw new AppError(
    'invalid',
    'Nothing says who Writ is to Vault: set VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID or VAULT_WRAPPED_SECRET_ID.',
    { reason: 'invalid_settings' },
  );
}
