/** What every `Signer` does. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Signer } from '../../src/domain/signer.ts';
import { CompactJwsGenerator, verifyCompactJws, verifySignature } from '../../src/proof/jws.ts';
import { importPublicKey } from '../../src/proof/public-key.ts';

export interface SignerHarness {
  signer: Signer;
  stop(): Promise<void>;
}

/** Defines the suite for one implementation. */
export function signerContract(name: string, setup: () => Promise<SignerHarness>): void {
  describe(`${name} keeps the contract of Signer`, () => {
    let harness: SignerHarness;
    before(async () => {
      harness = await setup();
    });
    after(() => harness.stop());

    it('names its key by thumbprint, with the algorithm that fits the key', () => {
      const { signer } = harness;
      const key = importPublicKey(signer.jwk);
      expect(key.kid).to.equal(signer.kid);
      expect(key.algorithm).to.equal(signer.algorithm);
    });

    it('answers one raw signature of 64 bytes for each text, in order', async () => {
      const { signer } = harness;
      const key = importPublicKey(signer.jwk);
      const texts = Array.from({ length: 25 }, (_, i) => Buffer.from('x'.repeat(i * 100) + i.toString()));
      const signatures = await signer.sign(texts);
      expect(signatures).to.have.length(texts.length);
      texts.forEach((text, i) => {
        const signature = signatures[i] ?? new Uint8Array();
        expect(signature.length).to.equal(64);
        expect(verifySignature(key, text, signature), `text ${i.toString()}`).to.equal(true);
      });
      const [first] = signatures;
      expect(verifySignature(key, texts[1] ?? Buffer.alloc(0), first ?? new Uint8Array())).to.equal(false);
    });

    it('signs nothing for no texts, and calls that run at once keep apart', async () => {
      const { signer } = harness;
      const key = importPublicKey(signer.jwk);
      expect(await signer.sign([])).to.deep.equal([]);
      const answers = await Promise.all(
        Array.from({ length: 10 }, async (_, i) => {
          const text = Buffer.from(i.toString());
          const [signature] = await signer.sign([text]);
          return verifySignature(key, text, signature ?? new Uint8Array());
        }),
      );
      expect(answers.every(Boolean)).to.equal(true);
    });

    it('makes a JWS that the strict verifier takes', async () => {
      const { signer } = harness;
      const key = importPublicKey(signer.jwk);
      const [jws] = await new CompactJwsGenerator(signer, 'writ-manifest+jws').generate([{ a: 1 }]);
      const found = verifyCompactJws(jws ?? '', 'writ-manifest+jws', (kid) => (kid === key.kid ? key : undefined));
      expect(found.payload).to.deep.equal({ a: 1 });
    });
  });
}
