/** Compact JWS as Writ uses it: made through a signer, verified strictly (formats.md rules 20 and 21). */

import { verify } from 'node:crypto';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { canonicalize, parseCanonical, type CanonicalValue } from './canonical-json.ts';
import { ProofError, prove } from './proof-error.ts';
import type { JwsAlgorithm, PublicKey } from './public-key.ts';

/** A whole JWS is at most so long, in bytes (all ASCII). */
export const jwsMaxBytes = 512 * 1024;
/** The second dot, and base64url of 64 bytes. */
const signatureCharacters = 87;

/** A compact JWS as text, or as its bytes in ASCII: messages and tables hold bytes, and what is large is not written twice. */
export type CompactJws = string | Buffer;

export type JwsType = 'writ-manifest+jws' | 'writ-receipt+jws' | 'writ-refusal+jws';

/** What the generator needs of a signer: the domain's `Signer` has this shape. */
export interface JwsSigner {
  readonly algorithm: JwsAlgorithm;
  readonly kid: string;
  sign(texts: readonly Uint8Array[]): Promise<Uint8Array[]>;
}

/** Makes compact JWS of one type with one key version: header exactly `alg`, `kid`, `typ`. */
export class CompactJwsGenerator {
  readonly #signer: JwsSigner;
  readonly #headerSegment: string;

  constructor(signer: JwsSigner, type: JwsType) {
    this.#signer = signer;
    this.#headerSegment = encodeBase64url(canonicalize({ alg: signer.algorithm, kid: signer.kid, typ: type }));
  }

  /**
   * One JWS for each payload, in order, with one call to the signer. Refuses a payload that makes a JWS of over
   * 512 KiB with `too_large` before anything is signed.
   */
  async generate(payloads: readonly CanonicalValue[]): Promise<Buffer[]> {
    const jwss = payloads.map((payload) => {
      const input = `${this.#headerSegment}.${encodeBase64url(canonicalize(payload))}`;
      const length = input.length + signatureCharacters;
      prove(length <= jwsMaxBytes, 'too_large', 'a JWS has at most 512 KiB');
      const jws = Buffer.allocUnsafe(length);
      jws.write(input, 'latin1');
      return jws;
    });
    const signatures = await this.#signer.sign(jwss.map((jws) => jws.subarray(0, jws.length - signatureCharacters)));
    prove(signatures.length === jwss.length, 'bad_signature', 'the signer answered another number of signatures');
    jwss.forEach((jws, i) => {
      const signature = signatures[i] ?? new Uint8Array();
      prove(signature.length === 64, 'bad_signature', 'the signer answered a signature that has not 64 bytes');
      jws.write(`.${encodeBase64url(signature)}`, jws.length - signatureCharacters, 'latin1');
    });
    return jwss;
  }
}

/** A JWS whose signature holds. Nothing in `payload` is believed yet but that the key's holder signed it. */
export interface VerifiedJws {
  key: PublicKey;
  payload: CanonicalValue;
}

/**
 * Verifies one compact JWS, in the order of the design: form, encoding, header, key, algorithm, signature, payload.
 * `findKey` answers only keys that are trusted now. `jws` is controlled by an attacker until this returns.
 */
export function verifyCompactJws(
  jws: CompactJws,
  type: JwsType,
  findKey: (kid: string) => PublicKey | undefined,
): VerifiedJws {
  prove(jws.length <= jwsMaxBytes, 'too_large', 'a JWS has at most 512 KiB');
  const text = typeof jws === 'string' ? jws : jws.toString('latin1');
  const segments = text.split('.', 4);
  const [headerSegment, payloadSegment, signatureSegment] = segments;
  if (segments.length !== 3 || !headerSegment || !payloadSegment || !signatureSegment) {
    throw new ProofError('bad_form', 'not a compact JWS of three segments');
  }
  const header = parseHeader(headerSegment);
  const payloadBytes = decodeBase64url(payloadSegment);
  const signature = decodeBase64url(signatureSegment);
  prove(header.typ === type, 'bad_type', 'a JWS of another type');
  const key = findKey(header.kid);
  if (key === undefined) throw new ProofError('unknown_key', 'signed with a key that is not trusted');
  prove(header.alg === key.algorithm, 'bad_algorithm', 'another algorithm than the key is registered for');
  const inputLength = headerSegment.length + 1 + payloadSegment.length;
  const input =
    typeof jws === 'string' ? Buffer.from(jws.slice(0, inputLength), 'ascii') : jws.subarray(0, inputLength);
  prove(verifySignature(key, input, signature), 'bad_signature', 'the signature does not hold');
  return { key, payload: parseCanonical(decodeUtf8(payloadBytes)) };
}

/** Whether `signature` (64 raw bytes) by `key` holds over `text`. */
export function verifySignature(key: PublicKey, text: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  return key.algorithm === 'ES256'
    ? verify('sha256', text, { key: key.key, dsaEncoding: 'ieee-p1363' }, signature)
    : verify(null, text, key.key, signature);
}

interface JwsHeader {
  alg: string;
  kid: string;
  typ: string;
}

/** Headers repeat for a key's whole life: the last good ones are kept, bounded, by their exact text. */
const knownHeaders = new Map<string, JwsHeader>();
const knownHeadersMax = 256;

function parseHeader(segment: string): JwsHeader {
  const known = knownHeaders.get(segment);
  if (known) return known;
  prove(segment.length <= 1024, 'bad_header', 'a header of over 1,024 characters');
  const value = parseCanonical(decodeUtf8(decodeBase64url(segment)));
  prove(
    typeof value === 'object' && value !== null && Object.keys(value).sort().join(' ') === 'alg kid typ',
    'bad_header',
    'a header has exactly alg, kid and typ',
  );
  const { alg, kid, typ } = value as Record<string, unknown>;
  prove(alg === 'ES256' || alg === 'EdDSA', 'bad_algorithm', 'alg is neither ES256 nor EdDSA');
  prove(typeof kid === 'string' && /^[A-Za-z0-9_-]{43}$/.test(kid), 'bad_header', 'kid is not an RFC 7638 thumbprint');
  prove(typeof typ === 'string', 'bad_header', 'typ is not text');
  const header = { alg, kid, typ };
  if (knownHeaders.size >= knownHeadersMax) knownHeaders.clear();
  // A copy: a part of a text keeps all of it.
  knownHeaders.set(Buffer.from(segment).toString(), header);
  return header;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ProofError('not_canonical', 'not UTF-8');
  }
}
