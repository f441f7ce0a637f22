/** Keys in local files: the contract of every signer, and what may go wrong with files. */

import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { openLocalSigner } from '../../../src/platform/keys/local-signer.ts';
import { signerContract } from '../../contract/signer.ts';
import { makeDirectory, withDirectory } from './temporary-directory.ts';

for (const algorithm of ['ES256', 'EdDSA'] as const) {
  signerContract(`the local signer (${algorithm})`, async () => {
    const { directory, remove } = await makeDirectory();
    const signer = await openLocalSigner({ path: join(directory, 'key.pem'), algorithm, create: true });
    return { signer, stop: remove };
  });
}

async function failureOf(promise: Promise<unknown>): Promise<AppError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('a failure was due');
}

describe('the local signer', () => {
  it('makes a key that only its owner can open, and nothing else', () =>
    withDirectory(async (directory) => {
      const path = join(directory, 'keys', 'manifest.pem');
      await openLocalSigner({ path, algorithm: 'ES256', create: true });
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      expect(await readFile(path, 'utf8')).to.match(/^-----BEGIN PRIVATE KEY-----\n/);
      expect(await readdir(join(directory, 'keys'))).to.deep.equal(['manifest.pem']);
    }));

  it('opens the same key again', () =>
    withDirectory(async (directory) => {
      const options = { path: join(directory, 'key.pem'), algorithm: 'EdDSA' as const };
      const made = await openLocalSigner({ ...options, create: true });
      const opened = await openLocalSigner({ ...options, create: false });
      expect(opened.kid).to.equal(made.kid);
    }));

  it('gives one key to all that start at once', () =>
    withDirectory(async (directory) => {
      const options = { path: join(directory, 'key.pem'), algorithm: 'ES256' as const, create: true };
      const signers = await Promise.all(Array.from({ length: 8 }, () => openLocalSigner(options)));
      expect(new Set(signers.map(({ kid }) => kid)).size).to.equal(1);
      expect(await readdir(directory)).to.deep.equal(['key.pem']);
    }));

  it('fails with not_found where there is no key and none is to be made', () =>
    withDirectory(async (directory) => {
      const path = join(directory, 'key.pem');
      const failure = await failureOf(openLocalSigner({ path, algorithm: 'ES256', create: false }));
      expect([failure.code, failure.reason]).to.deep.equal(['not_found', 'key_file_missing']);
    }));

  for (const mode of [0o640, 0o604, 0o620]) {
    it(`refuses a key file of mode ${mode.toString(8)}`, () =>
      withDirectory(async (directory) => {
        const path = join(directory, 'key.pem');
        await openLocalSigner({ path, algorithm: 'ES256', create: true });
        await chmod(path, mode);
        const failure = await failureOf(openLocalSigner({ path, algorithm: 'ES256', create: true }));
        expect(failure.reason).to.equal('key_file_exposed');
        expect(failure.message).to.include(`chmod 600 ${path}`);
      }));
  }

  it('refuses what is no key of its algorithm, and leaves it as it is', () =>
    withDirectory(async (directory) => {
      const path = join(directory, 'key.pem');
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
      const secret = 'c2VjcmV0IHRleHQ';
      const ed25519 = generateKeyPairSync('ed25519').privateKey;
      const contents = [
        '',
        `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`,
        privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        ed25519.export({ type: 'pkcs8', format: 'pem' }).toString(),
        generateKeyPairSync('ec', { namedCurve: 'P-256' })
          .privateKey.export({ type: 'pkcs8', format: 'pem' })
          .toString() + '\n'.repeat(100_000),
      ];
      for (const content of contents) {
        await writeFile(path, content, { mode: 0o600 });
        const failure = await failureOf(openLocalSigner({ path, algorithm: 'ES256', create: true }));
        expect([failure.code, failure.reason]).to.deep.equal(['invalid', 'key_file_invalid']);
        expect(`${failure.message} ${String(failure.cause)}`).not.to.include(secret);
        expect(await readFile(path, 'utf8')).to.equal(content);
      }
    }));

  it('refuses a symbolic link and a directory in the place of the key', () =>
    withDirectory(async (directory) => {
      const path = join(directory, 'key.pem');
      await openLocalSigner({ path, algorithm: 'ES256', create: true });
      const linked = join(directory, 'link.pem');
      await symlink(path, linked);
      const folder = join(directory, 'folder');
      await mkdir(folder, { mode: 0o700 });
      for (const bad of [linked, folder]) {
        const failure = await failureOf(openLocalSigner({ path: bad, algorithm: 'ES256', create: true }));
        expect(failure.reason).to.equal('key_file_invalid');
      }
    }));

  it('fails with unavailable where the file cannot be made', () =>
    withDirectory(async (directory) => {
      const blocker = join(directory, 'file');
      await writeFile(blocker, '', { mode: 0o600 });
      const path = join(blocker, 'key.pem');
      const failure = await failureOf(openLocalSigner({ path, algorithm: 'ES256', create: true }));
      expect(failure.code).to.equal('unavailable');
    }));
});
