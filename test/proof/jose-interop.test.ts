import { expect } from 'chai';
import { calculateJwkThumbprint, compactVerify, importJWK } from 'jose';
import { describe, it } from 'mocha';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { CompactJwsGenerator } from '../../src/proof/jws.ts';
import { exportJwk, thumbprint } from '../../src/proof/public-key.ts';

function signerOf(algorithm: 'ES256' | 'EdDSA'): {
  publicKey: KeyObject;
  signer: ConstructorParameters<typeof CompactJwsGenerator>[0];
} {
  const { privateKey, publicKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const signer = {
    algorithm,
    kid: thumbprint(exportJwk(publicKey)),
    sign: (texts: readonly Uint8Array[]) =>
      Promise.resolve(
        texts.map((text) =>
          algorithm === 'ES256'
            ? sign('sha256', text, { key: privateKey, dsaEncoding: 'ieee-p1363' })
            : sign(null, text, privateKey),
        ),
      ),
  };
  return { publicKey, signer };
}

describe('a JWS of Writ, read by a library not written here', () => {
  for (const algorithm of ['ES256', 'EdDSA'] as const) {
    it(`verifies with ${algorithm}, and its kid is the thumbprint that the library computes`, async () => {
      const { publicKey, signer } = signerOf(algorithm);
      const [jws = ''] = await new CompactJwsGenerator(signer, 'writ-manifest+jws').generate([
        { iss: 'log', orders: [] },
      ]);
      const jwk = exportJwk(publicKey);
      const verified = await compactVerify(jws, await importJWK({ ...jwk }, algorithm));
      expect(verified.protectedHeader).to.deep.equal({ alg: algorithm, kid: signer.kid, typ: 'writ-manifest+jws' });
      expect(Buffer.from(verified.payload).toString()).to.equal('{"iss":"log","orders":[]}');
      expect(await calculateJwkThumbprint({ ...jwk })).to.equal(signer.kid);
    });
  }
});
