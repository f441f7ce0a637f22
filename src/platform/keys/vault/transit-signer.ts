/** Signs with one version of a Transit key of Vault or OpenBao; the key never leaves it. */

import { AppError } from '../../../domain/error.ts';
import type { PublicJwk, SignatureAlgorithm, Signer } from '../../../domain/signer.ts';
import { decodeBase64url } from '../../../proof/base64url.ts';
import { sha256 } from '../../../proof/hash.ts';
import { verifySignature } from '../../../proof/jws.ts';
import { importPublicKey, type PublicKey } from '../../../proof/public-key.ts';
import { createBatcher, type Batcher } from '../../batch.ts';
import type { VaultClient } from './client.ts';
import { asUnavailable } from './failure.ts';
import { checkVaultName } from './name.ts';

/** Texts in one call: servers refuse bodies of more than 1,000 JSON strings. */
const textsMax = 200;
/** Texts that may wait for the call that is under way. */
const pendingMax = 10_000;

export interface TransitSignerOptions {
  client: VaultClient;
  mount: string;
  key: string;
  version: number;
  jwk: PublicJwk;
}

/** `vault:v<version>:<base64url>`; 86 characters are the 64 bytes of both algorithms. */
const answerForm = /^vault:v([1-9]\d{0,8}):([A-Za-z0-9_-]{86})$/;

/**
 * What arrives while a call is under way goes with the next. Every signature is verified here before it is handed on: a Vault that
 * answers another key's signature, or another version's, makes nothing that is believed.
 */
export class VaultTransitSigner implements Signer {
  readonly algorithm: SignatureAlgorithm;
  readonly kid: string;
  readonly jwk: PublicJwk;
  readonly #options: TransitSignerOptions;
  readonly #publicKey: PublicKey;
  readonly #path: string;
  readonly #batcher: Batcher<Uint8Array, Uint8Array>;

  constructor(options: TransitSignerOptions) {
    this.#options = options;
    this.#publicKey = importPublicKey(options.jwk);
    this.algorithm = this.#publicKey.algorithm;
    this.kid = this.#publicKey.kid;
    this.jwk = this.#publicKey.jwk;
    const path = [options.mount, 'sign', options.key].map(checkVaultName).join('/');
    this.#path = this.algorithm === 'ES256' ? `${path}/sha2-256` : path;
    this.#batcher = createBatcher({
      maxItems: textsMax,
      maxPending: pendingMax,
      run: (texts) => this.#signBatch(texts),
    });
  }

  sign(texts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return this.#batcher.addMany(texts);
  }

  async #signBatch(texts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const { client, version } = this.#options;
    // RFC 7518 §3.4 signs the SHA-256, which is sent in place of the text; Ed25519 hashes by itself (RFC 8032 §5.1.6).
    const isHashed = this.algorithm === 'ES256';
    const batch_input = texts.map((text) => ({
      input: Buffer.from(isHashed ? sha256(text) : text).toString('base64'),
    }));
    const body = {
      batch_input,
      key_version: version,
      marshaling_algorithm: 'jws',
      ...(isHashed && { prehashed: true }),
    };
    const answer = await client.write(this.#path, body).catch((error: unknown) => {
      throw asUnavailable(error);
    });
    const results = resultsOf(answer);
    if (results.length !== texts.length) throw wrongAnswer('another number of signatures than texts');
    return texts.map((text, i) => this.#take(results[i], text));
  }

  #take(result: unknown, text: Uint8Array): Uint8Array {
    const { signature, error } = (result ?? {}) as Record<string, unknown>;
    if (typeof error === 'string' && error !== '') {
      throw new AppError('unavailable', 'Vault did not sign one of several texts.', { reason: 'signer_failed' });
    }
    const match = typeof signature === 'string' ? answerForm.exec(signature) : null;
    if (match?.[2] === undefined) throw wrongAnswer('no signature of the documented form');
    if (Number(match[1]) !== this.#options.version) throw wrongAnswer('a signature by another version of the key');
    const bytes = decodeBase64url(match[2]);
    if (!verifySignature(this.#publicKey, text, bytes)) throw wrongAnswer('a signature that does not hold');
    return bytes;
  }
}

function resultsOf(answer: unknown): unknown[] {
  const results = ((answer ?? {}) as Record<string, unknown>)['batch_results'];
  if (!Array.isArray(results)) throw wrongAnswer('no list of signatures');
  return results;
}

function wrongAnswer(what: string): AppError {
  return new AppError('unavailable', `Vault answered ${what}. Nothing is signed until that is mended.`, {
    reason: 'signer_answer_wrong',
  });
}
