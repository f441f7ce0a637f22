/** What every `SigningKey` does. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { SigningKey } from '../../src/domain/signer.ts';
import { verifySignature } from '../../src/proof/jws.ts';
import { importPublicKey } from '../../src/proof/public-key.ts';
import { failureCode } from './failure-code.ts';

export interface SigningKeyHarness {
  /** The same key, opened anew, as another process would. */
  open(): Promise<SigningKey>;
  stop(): Promise<void>;
}

/** Defines the suite for one implementation; the key is a fresh one. */
export function signingKeyContract(name: string, setup: () => Promise<SigningKeyHarness>): void {
  describe(`${name} keeps the contract of SigningKey`, () => {
    let harness: SigningKeyHarness;
    before(async () => {
      harness = await setup();
    });
    after(() => harness.stop());

    async function signs(key: SigningKey, version: number): Promise<boolean> {
      const signer = await key.signer(version);
      const text = Buffer.from(`by version ${version.toString()}`);
      const [signature] = await signer.sign([text]);
      return verifySignature(importPublicKey(signer.jwk), text, signature ?? new Uint8Array());
    }

    it('begins with version 1, which signs', async () => {
      const key = await harness.open();
      const versions = await key.versions();
      expect(versions.map(({ version }) => version)).to.deep.equal([1]);
      const signer = await key.signer(1);
      expect(signer.kid).to.equal(versions[0]?.kid);
      expect(importPublicKey(versions[0]?.jwk).kid).to.equal(versions[0]?.kid);
      expect(await signs(key, 1)).to.equal(true);
      expect(await failureCode(() => key.signer(2))).to.equal('not_found');
    });

    it('makes further versions, and the earlier ones sign as before', async () => {
      const key = await harness.open();
      const second = await key.rotate();
      expect(second.version).to.equal(2);
      const versions = await (await harness.open()).versions();
      expect(versions.map(({ version }) => version)).to.deep.equal([1, 2]);
      expect(new Set(versions.map(({ kid }) => kid)).size).to.equal(2);
      expect(versions[1]).to.deep.equal(second);
      expect(await signs(key, 1)).to.equal(true);
      expect(await signs(key, 2)).to.equal(true);
    });

    it('takes retired versions away, and makes further ones', async () => {
      const key = await harness.open();
      await key.retireBefore(2);
      await key.retireBefore(2);
      expect((await key.versions()).map(({ version }) => version)).to.deep.equal([2]);
      expect(await failureCode(() => key.signer(1))).to.equal('not_found');
      expect(await signs(key, 2)).to.equal(true);
      expect((await key.rotate()).version).to.equal(3);
    });
  });
}
