/** Public keys as JWK: strict forms, thumbprints, and what is refused as a key. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { canonicalize } from './canonical-json.ts';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { sha256 } from './hash.ts';
import { ProofError, prove } from './proof-error.ts';

/** The members of a public key that its RFC 7638 thumbprint covers, and no other. */
export type Jwk = { kty: 'EC'; crv: 'P-256'; x: string; y: string } | { kty: 'OKP'; crv: 'Ed25519'; x: string };

export type JwsAlgorithm = 'ES256' | 'EdDSA';

/** A public key ready to verify with, and the one algorithm it is registered for. */
export interface PublicKey {
  kid: string;
  algorithm: JwsAlgorithm;
  jwk: Jwk;
  key: KeyObject;
}

/** Encodings of Ed25519 points whose order divides 8: under such a key, signatures exist that fit many texts. */
const smallOrderPoints: ReadonlySet<string> = new Set(
  [
    '0100000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ].map((hex) => Buffer.from(hex, 'hex').toString('base64url')),
);

/** RFC 7638 thumbprint: base64url of the SHA-256 of the required members in canonical order. */
export function thumbprint(jwk: Jwk): string {
  const { kty, crv, x } = jwk;
  return encodeBase64url(sha256(canonicalize(jwk.kty === 'EC' ? { kty, crv, x, y: jwk.y } : { kty, crv, x })));
}

/** Reads an Ed25519 key of 32 bytes or a P-256 key from its JWK; other keys, members and encodings are refused. */
export function importPublicKey(candidate: unknown): PublicKey {
  const jwk = checkJwk(candidate);
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new ProofError('bad_key', 'not a point of its curve');
  }
  return { kid: thumbprint(jwk), algorithm: jwk.kty === 'EC' ? 'ES256' : 'EdDSA', jwk, key };
}

/** The JWK of a public key object, with the members of its thumbprint only. */
export function exportJwk(key: KeyObject): Jwk {
  return checkJwk(key.export({ format: 'jwk' }));
}

function checkJwk(candidate: unknown): Jwk {
  prove(typeof candidate === 'object' && candidate !== null, 'bad_key', 'a key is a JWK object');
  const { kty, crv, x, y } = candidate as Record<string, unknown>;
  const members = Object.keys(candidate).sort().join(' ');
  if (kty === 'EC' && crv === 'P-256' && typeof x === 'string' && typeof y === 'string') {
    prove(members === 'crv kty x y', 'bad_key', 'a P-256 key has exactly kty, crv, x and y');
    prove(
      decodeBase64url(x).length === 32 && decodeBase64url(y).length === 32,
      'bad_key',
      'P-256 coordinates have 32 bytes',
    );
    return { kty, crv, x, y };
  }
  if (kty === 'OKP' && crv === 'Ed25519' && typeof x === 'string') {
    prove(members === 'crv kty x', 'bad_key', 'an Ed25519 key has exactly kty, crv and x');
    prove(decodeBase64url(x).length === 32, 'bad_key', 'an Ed25519 key has 32 bytes');
    prove(!smallOrderPoints.has(x), 'bad_key', 'an Ed25519 key of small order');
    return { kty, crv, x };
  }
  throw new ProofError('bad_key', 'neither a P-256 nor an Ed25519 public key');
}
