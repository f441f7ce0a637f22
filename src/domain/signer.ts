/** The ports to signing keys that may live elsewhere. */

/** JOSE algorithm of a key: ECDSA on P-256 with SHA-256, or Ed25519. */
export type SignatureAlgorithm = 'ES256' | 'EdDSA';

/** Public part of a key as a JWK with the members of its thumbprint only (RFC 7638). */
export type PublicJwk = { kty: 'EC'; crv: 'P-256'; x: string; y: string } | { kty: 'OKP'; crv: 'Ed25519'; x: string };

/**
 * Signs with one version of one key. `sign` answers one raw signature for each text, in order: 64 bytes each, for
 * ES256 r ‖ s (RFC 7518 §3.4), for EdDSA as RFC 8032. Fails `unavailable` where the key cannot be reached now; it never
 * answers a part. Implementations verify what a remote signer answers before they hand it on.
 */
export interface Signer {
  readonly algorithm: SignatureAlgorithm;
  /** RFC 7638 thumbprint of the key version. */
  readonly kid: string;
  readonly jwk: PublicJwk;
  sign(texts: readonly Uint8Array[]): Promise<Uint8Array[]>;
}

/** One version of a key; versions count from 1. */
export interface KeyVersion {
  version: number;
  kid: string;
  jwk: PublicJwk;
}

/**
 * A key with versions, of which any that is there can sign. Which one does, and which are believed, is decided elsewhere. Fails
 * `unavailable` where the key cannot be reached now.
 */
export interface SigningKey {
  /** The versions that can sign, ascending; at least one. */
  versions(): Promise<KeyVersion[]>;
  /** Signs with this version. Fails `not_found`. */
  signer(version: number): Promise<Signer>;
  /** Makes the next version; whoever does not ask for it goes on with the one before. Fails `forbidden` without the right to. */
  rotate(): Promise<KeyVersion>;
  /** No version before this one can sign any more. Doing it twice does nothing. Fails `forbidden` without the right to. */
  retireBefore(version: number): Promise<void>;
}
