/** The port to a signing key that may live elsewhere. */

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
