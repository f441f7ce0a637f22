/** Signing keys in local files. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openLocalSigningKey } from '../../../src/platform/keys/local-signing-key.ts';
import { failureCode } from '../../contract/failure-code.ts';
import { signingKeyContract } from '../../contract/signing-key.ts';
import { makeDirectory, withDirectory } from './temporary-directory.ts';

for (const algorithm of ['ES256', 'EdDSA'] as const) {
  signingKeyContract(`a local ${algorithm} key`, async () => {
    const { directory, remove } = await makeDirectory();
    return {
      open: () => openLocalSigningKey({ path: join(directory, 'manifest.pem'), algorithm, create: true }),
      stop: remove,
    };
  });
}

describe('a local signing key', () => {
  it('is not made where it must be there', () =>
    withDirectory(async (directory) => {
      const open = () => openLocalSigningKey({ path: join(directory, 'k.pem'), algorithm: 'ES256', create: false });
      expect(await failureCode(open)).to.equal('not_found');
    }));

  it('takes no other file for one of its versions', () =>
    withDirectory(async (directory) => {
      const key = await openLocalSigningKey({ path: join(directory, 'k.pem'), algorithm: 'ES256', create: true });
      for (const name of ['k-1.pem', 'k-02.pem', 'k-x.pem', 'kk.pem', 'k-2.pem.tmp']) {
        await writeFile(join(directory, name), '');
      }
      expect((await key.versions()).map(({ version }) => version)).to.deep.equal([1]);
    }));
});
