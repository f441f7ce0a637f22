/** A signer whose key is a local file, for embedded mode and for a node's own key. */

import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import type { PublicJwk, SignatureAlgorithm, Signer } from '../../domain/signer.ts';
import { exportJwk, thumbprint } from '../../proof/public-key.ts';
import { openKeyFile, type KeyFileOptions } from './key-file.ts';

/** Opens a key file, or makes it with `create`; fails as `openKeyFile` does. */
export async function openLocalSigner(options: KeyFileOptions): Promise<Signer> {
  return new LocalSigner(await openKeyFile(options), options.algorithm);
}

class LocalSigner implements Signer {
  readonly algorithm: SignatureAlgorithm;
  readonly kid: string;
  readonly jwk: PublicJwk;
  readonly #key: KeyObject;

  constructor(key: KeyObject, algorithm: SignatureAlgorithm) {
    this.algorithm = algorithm;
    this.jwk = exportJwk(createPublicKey(key));
    this.kid = thumbprint(this.jwk);
    this.#key = key;
  }

  sign(texts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return Promise.resolve(texts.map((text) => this.#signOne(text)));
  }

  #signOne(text: Uint8Array): Uint8Array {
    // RFC 7518 §3.4: r ‖ s and not DER. EdDSA hashes by itself (RFC 8032 §5.1.6).
    return this.algorithm === 'ES256'
      ? sign('sha256', text, { key: this.#key, dsaEncoding: 'ieee-p1363' })
      : sign(null, text, this.#key);
  }
}
