/** A Transit key of Vault or OpenBao as a key with versions. */

import { createPublicKey } from 'node:crypto';
import { AppError } from '../../../domain/error.ts';
import type { KeyVersion, PublicJwk, Signer, SigningKey } from '../../../domain/signer.ts';
import { encodeBase64url } from '../../../proof/base64url.ts';
import { ProofError } from '../../../proof/proof-error.ts';
import { exportJwk, importPublicKey, thumbprint } from '../../../proof/public-key.ts';
import type { VaultClient } from './client.ts';
import { checkVaultName } from './name.ts';
import { VaultTransitSigner } from './transit-signer.ts';

/** Types of Transit that Writ signs with. */
export type TransitKeyType = 'ecdsa-p256' | 'ed25519';

export interface TransitKeyOptions {
  client: VaultClient;
  mount: string;
  name: string;
  type: TransitKeyType;
  /** Makes the key where there is none; otherwise its absence fails `not_found`. */
  create: boolean;
}

/**
 * Opens the key. Fails `not_found` where there is none, and `conflict` where it has another type: making a key that exists with another
 * type is answered as a success, so what is there is read back.
 */
export async function openTransitKey(options: TransitKeyOptions): Promise<SigningKey> {
  const key = new TransitKey(options);
  if ((await key.read()) === undefined) {
    if (!options.create) throw missing(options.name);
    await options.client.write(key.path, { type: options.type, exportable: false, allow_plaintext_backup: false });
  }
  await key.versions();
  return key;
}

interface TransitKeyState {
  type: unknown;
  /** Public keys by version. */
  keys: Readonly<Record<string, { public_key?: unknown }>>;
  min_encryption_version: number;
}

class TransitKey implements SigningKey {
  readonly path: string;
  readonly #options: TransitKeyOptions;

  constructor(options: TransitKeyOptions) {
    this.#options = options;
    this.path = [options.mount, 'keys', options.name].map(checkVaultName).join('/');
  }

  async read(): Promise<TransitKeyState | undefined> {
    return (await this.#options.client.read(this.path)) as TransitKeyState | undefined;
  }

  async versions(): Promise<KeyVersion[]> {
    const { type, name } = this.#options;
    const state = await this.read();
    if (state === undefined) throw missing(name);
    if (state.type !== type) {
      const message = `The Transit key ${name} has the type ${String(state.type)}, not ${type}. Give another name, or its type.`;
      throw new AppError('conflict', message, { reason: 'signing_key_type' });
    }
    // Versions below the least that encrypts can sign no more.
    return Object.entries(state.keys)
      .map(([version, { public_key }]) => ({ version: Number(version), jwk: readJwk(public_key, type) }))
      .filter(({ version }) => version >= state.min_encryption_version)
      .map(({ version, jwk }) => ({ version, jwk, kid: thumbprint(jwk) }))
      .sort((a, b) => a.version - b.version);
  }

  async signer(version: number): Promise<Signer> {
    const { client, mount, name } = this.#options;
    const found = (await this.versions()).find((known) => known.version === version);
    if (found === undefined) throw missing(name);
    return new VaultTransitSigner({ client, mount, key: name, version, jwk: found.jwk });
  }

  async rotate(): Promise<KeyVersion> {
    await this.#options.client.write(`${this.path}/rotate`, {}, { isRepeatable: false });
    const latest = (await this.versions()).at(-1);
    if (latest === undefined) throw missing(this.#options.name);
    return latest;
  }

  async retireBefore(version: number): Promise<void> {
    await this.#options.client.write(`${this.path}/config`, { min_encryption_version: version });
  }
}

/** Transit tells ECDSA keys as PEM, and Ed25519 ones as base64 of their 32 bytes. */
function readJwk(publicKey: unknown, type: TransitKeyType): PublicJwk {
  try {
    if (typeof publicKey !== 'string') throw new ProofError('bad_key', 'no public key');
    if (type === 'ecdsa-p256') return exportJwk(createPublicKey(publicKey));
    const x = encodeBase64url(Buffer.from(publicKey, 'base64'));
    return importPublicKey({ kty: 'OKP', crv: 'Ed25519', x }).jwk;
  } catch (error) {
    throw new AppError(
      'unavailable',
      'Vault tells a public key that is none. Nothing is signed until that is mended.',
      { reason: 'signer_answer_wrong' },
      error,
    );
  }
}

function missing(name: string): AppError {
  return new AppError(
    'not_found',
    `Vault has no Transit key ${name} that can sign. Run vault/set-up.sh, or set VAULT_TRANSIT_AUTO_CREATE_KEY=true.`,
    { reason: 'signing_key_missing' },
  );
}
