/** Keys of tests, made from a number: the same in every run. */

import { createECDH, createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { sha256 } from '../../src/proof/hash.ts';
import type { JwsSigner } from '../../src/proof/jws.ts';
import { exportJwk, thumbprint, type Jwk } from '../../src/proof/public-key.ts';

export interface TestKey extends JwsSigner {
  jwk: Jwk;
  privateKey: KeyObject;
  /** Raw signature over one text. */
  signOne: (text: Uint8Array) => Buffer;
}

export function ed25519Key(number: number): TestKey {
  const seed = sha256(`ed25519 test key ${number.toString()}`);
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return testKey('EdDSA', privateKey);
}

export function p256Key(number: number): TestKey {
  const scalar = sha256(`p-256 test key ${number.toString()}`);
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(scalar);
  const point = ecdh.getPublicKey();
  const coordinate = (from: number): string => point.subarray(from, from + 32).toString('base64url');
  const jwk = { kty: 'EC', crv: 'P-256', x: coordinate(1), y: coordinate(33), d: scalar.toString('base64url') };
  return testKey('ES256', createPrivateKey({ key: jwk, format: 'jwk' }));
}

/** The 32 bytes of an Ed25519 public key. */
export function rawPublicKey(key: TestKey): Buffer {
  return Buffer.from(key.jwk.x, 'base64url');
}

function testKey(algorithm: 'ES256' | 'EdDSA', privateKey: KeyObject): TestKey {
  const jwk = exportJwk(createPublicKey(privateKey));
  const signOne = (text: Uint8Array): Buffer =>
    algorithm === 'EdDSA'
      ? sign(null, text, privateKey)
      : sign('sha256', text, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return {
    algorithm,
    kid: thumbprint(jwk),
    jwk,
    privateKey,
    signOne,
    sign: (texts) => Promise.resolve(texts.map(signOne)),
  };
}
