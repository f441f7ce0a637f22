/** One way to Vault for all checks, opened by the first that needs it. */

import { AppError } from '../../domain/error.ts';
import type { VaultClient } from '../../platform/keys/vault/client.ts';
import type { Settings } from '../../settings/settings.ts';
import { connectVault } from '../keys.ts';

export interface VaultAccess {
  /** Fails as logging in does, each time alike. */
  open(): Promise<VaultClient>;
  /** Gives back a token that was got by logging in, and ends the connections. */
  close(): Promise<void>;
}

export function vaultAccess(settings: Settings): VaultAccess {
  let client: Promise<VaultClient> | undefined;
  return {
    open: () => (client ??= connect(settings)),
    close: async () => {
      const opened = await client?.catch(() => undefined);
      // A token that was given is whoever's it is.
      if (settings.vault_token === '') await opened?.write('auth/token/revoke-self', {}).catch(() => undefined);
      opened?.close();
    },
  };
}

async function connect(settings: Settings): Promise<VaultClient> {
  if (isWrappedOnly(settings)) {
    throw new AppError('invalid', 'The wrapped secret id can be unwrapped once, which is for writ serve to do.');
  }
  return connectVault(settings, () => undefined);
}

/** Whether nothing but a wrapped secret id says who Writ is. */
export function isWrappedOnly(settings: Settings): boolean {
  const { vault_token: token, vault_secret_id: secretId, vault_wrapped_secret_id: wrapped } = settings;
  return token === '' && secretId === '' && wrapped !== '';
}
