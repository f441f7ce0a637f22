/** The public keys that are trusted, by their thumbprints, and the documents that publish them. */

import { AppError } from '../../domain/error.ts';
import type { PublicJwk } from '../../domain/signer.ts';
import { importPublicKey, type PublicKey } from '../../proof/public-key.ts';

/** What a key may sign: manifests, a node's receipts, or checkpoints of the log. */
export type KeyUse = 'manifest' | 'node' | 'log';

export interface KeyRingEntry {
  /** RFC 7638 thumbprint of `jwk`. */
  kid: string;
  jwk: PublicJwk;
  use: KeyUse;
  /** Trusted from then on. */
  from: Date;
  /** Retired then; absent while it is not. */
  until?: Date;
  /** The node whose key it is. */
  nodeId?: string;
}

/** A key in the ring, ready to verify with. */
export interface RingKey extends KeyRingEntry {
  publicKey: PublicKey;
}

/** One key as it is published (RFC 7517 §4). */
export type PublishedJwk = PublicJwk & { kid: string; alg: 'ES256' | 'EdDSA'; use: 'sig' };

/** A JWK set (RFC 7517 §5). */
export interface JwkSet {
  keys: PublishedJwk[];
}

/** Holds keys for the life of a process; only ever grows. Node keys are found, but not published. */
export class KeyRing {
  readonly #keys = new Map<string, RingKey>();

  /**
   * Trusts a key. Adding it again with the same words changes nothing; a key is trusted once, so anything else fails
   * `conflict`. Fails `invalid` where the kid is not the key's thumbprint or the key is none.
   */
  add(entry: KeyRingEntry): void {
    const publicKey = readKey(entry);
    const existing = this.#keys.get(entry.kid);
    if (existing === undefined) {
      this.#keys.set(entry.kid, { ...entry, jwk: publicKey.jwk, publicKey });
      return;
    }
    const isSame =
      existing.use === entry.use &&
      existing.nodeId === entry.nodeId &&
      existing.from.getTime() === entry.from.getTime() &&
      existing.until?.getTime() === entry.until?.getTime();
    if (!isSame) throw new AppError('conflict', 'This key is trusted already.', { reason: 'key_trusted_already' });
  }

  /** Retires a key; a key is retired once. Fails `not_found` and `conflict`. */
  retire(kid: string, until: Date): void {
    const key = this.#keys.get(kid);
    if (key === undefined) throw new AppError('not_found', 'There is no such key.', { reason: 'key_not_found' });
    if (key.until?.getTime() === until.getTime()) return;
    if (key.until !== undefined) {
      throw new AppError('conflict', 'This key is retired already.', { reason: 'key_retired_already' });
    }
    this.#keys.set(kid, { ...key, until });
  }

  /** The key, whether it is retired or not; the caller compares times with what it verifies. */
  find(kid: string): RingKey | undefined {
    return this.#keys.get(kid);
  }

  /** Keys that are not retired at `now`, those trusted soon included: verifiers learn of a key before it signs. */
  jwks(now: Date): JwkSet {
    return publish([...this.#keys.values()].filter(({ until }) => until === undefined || until > now));
  }

  /** All keys that ever were, retired ones included: what is signed stays verifiable. */
  jwksArchive(): JwkSet {
    return publish([...this.#keys.values()]);
  }
}

function readKey({ kid, jwk }: KeyRingEntry): PublicKey {
  let key: PublicKey;
  try {
    key = importPublicKey(jwk);
  } catch (error) {
    throw new AppError('invalid', 'This is no public key that is used here.', { reason: 'key_invalid' }, error);
  }
  if (key.kid !== kid) throw new AppError('invalid', 'The kid is not the thumbprint.', { reason: 'kid_mismatch' });
  return key;
}

/** In the order of trust. Names of nodes and their number are nobody's business without a permission. */
function publish(keys: RingKey[]): JwkSet {
  const published = keys.filter(({ use }) => use !== 'node');
  published.sort((a, b) => a.from.getTime() - b.from.getTime() || (a.kid < b.kid ? -1 : 1));
  return { keys: published.map(({ kid, jwk, publicKey }) => ({ ...jwk, kid, alg: publicKey.algorithm, use: 'sig' })) };
}
