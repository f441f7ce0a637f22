/** Names of mounts, keys and roles, checked before they become a part of a path. */

import { AppError } from '../../../domain/error.ts';

const vaultName = /^[A-Za-z0-9_-]{1,128}$/;

/** Answers the name. Fails `invalid` for whatever could lead to another path than the one that is meant. */
export function checkVaultName(name: string): string {
  if (!vaultName.test(name)) {
    throw new AppError('invalid', 'Names of mounts, keys and roles in Vault are 1 to 128 letters, digits, - and _.', {
      reason: 'vault_name_invalid',
    });
  }
  return name;
}
