/** A signing key with versions in local files, for embedded mode: `NAME.pem` is version 1, `NAME-2.pem` the second. */

import { readdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../../domain/error.ts';
import type { KeyVersion, SignatureAlgorithm, Signer, SigningKey } from '../../domain/signer.ts';
import { openLocalSigner } from './local-signer.ts';
import { systemErrorCode } from './private-file.ts';

export interface LocalSigningKeyOptions {
  /** File of the first version, `….pem`, mode 0600; the others lie beside it. */
  path: string;
  algorithm: SignatureAlgorithm;
  /** Makes the first version where there is none; otherwise its absence fails `not_found`. */
  create: boolean;
}

/** Opens the key; fails as `openLocalSigner` does. */
export async function openLocalSigningKey(options: LocalSigningKeyOptions): Promise<SigningKey> {
  const key = new LocalSigningKey(options);
  if ((await key.listVersions()).length === 0) {
    await openLocalSigner({ path: options.path, algorithm: options.algorithm, create: options.create });
  }
  return key;
}

class LocalSigningKey implements SigningKey {
  readonly #folder: string;
  readonly #name: string;
  readonly #algorithm: SignatureAlgorithm;

  constructor({ path, algorithm }: LocalSigningKeyOptions) {
    this.#folder = dirname(path);
    this.#name = basename(path, '.pem');
    this.#algorithm = algorithm;
  }

  async versions(): Promise<KeyVersion[]> {
    const versions = await this.listVersions();
    return Promise.all(
      versions.map(async (version) => {
        const { kid, jwk } = await this.signer(version);
        return { version, kid, jwk };
      }),
    );
  }

  signer(version: number): Promise<Signer> {
    return this.#open(version, false);
  }

  async rotate(): Promise<KeyVersion> {
    const version = ((await this.listVersions()).at(-1) ?? 0) + 1;
    const { kid, jwk } = await this.#open(version, true);
    return { version, kid, jwk };
  }

  async retireBefore(version: number): Promise<void> {
    for (const old of (await this.listVersions()).filter((other) => other < version)) {
      await unlink(this.#pathOf(old)).catch((error: unknown) => {
        if (systemErrorCode(error) !== 'ENOENT') {
          const message = `The retired key ${this.#pathOf(old)} cannot be removed.`;
          throw new AppError('unavailable', message, { reason: 'key_file_unavailable' }, error);
        }
      });
    }
  }

  /** Numbers of the versions whose files are there, ascending. */
  async listVersions(): Promise<number[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw error;
    });
    return names
      .filter((name) => name.startsWith(this.#name) && name.endsWith('.pem'))
      .map((name) => /^(?:-([2-9]|[1-9]\d{1,8}))?$/.exec(name.slice(this.#name.length, -'.pem'.length)))
      .flatMap((match) => (match === null ? [] : [Number(match[1] ?? 1)]))
      .sort((a, b) => a - b);
  }

  #open(version: number, create: boolean): Promise<Signer> {
    return openLocalSigner({ path: this.#pathOf(version), algorithm: this.#algorithm, create });
  }

  #pathOf(version: number): string {
    return join(this.#folder, `${this.#name}${version === 1 ? '' : `-${version.toString()}`}.pem`);
  }
}
