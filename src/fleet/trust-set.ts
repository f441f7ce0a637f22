/** Whom nodes are told to believe, with proofs from the log for what is new to them. */

import type { Clock } from '../domain/clock.ts';
import type { NodeTrust } from '../domain/node.ts';
import { readProofs } from '../ledger/proofs.ts';
import { findTrustRecord, readManifestKeys, type TrustedKey } from '../ledger/trust.ts';
import type { Database } from '../platform/postgres/pool.ts';

/** Heartbeats of many nodes share one look at the table. */
const freshMs = 1000;
/** Nodes need not hear of keys that were retired so long ago: nothing that these signed is taken any more. */
const forgetMs = 3_600_000;

/** Keeps the keys for a moment and their proofs for good: a proof under a checkpoint stays true. */
export class TrustSet {
  readonly #options: { database: Database; clock: Clock; origin: string; vkey: string };
  readonly #proofs = new Map<string, string>();
  #keys: Promise<TrustedKey[]> = Promise.resolve([]);
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: { database: Database; clock: Clock; origin: string; vkey: string }) {
    this.#options = options;
  }

  /**
   * The log and all manifest keys. With `knownKids`, a key that is not among them comes with its proof; while no checkpoint covers
   * its record it is left out, since no node would take it.
   */
  async read(knownKids?: readonly string[]): Promise<NodeTrust> {
    const { origin, vkey } = this.#options;
    const manifest_keys: NodeTrust['manifest_keys'] = [];
    const forgottenMs = this.#options.clock.now() - forgetMs;
    for (const { kid, jwk, trusted_until } of await this.#manifestKeys()) {
      if (trusted_until !== null && trusted_until.getTime() < forgottenMs) continue;
      const key = { kid, jwk: { ...jwk }, until: trusted_until?.toISOString() ?? null };
      if (knownKids === undefined || knownKids.includes(kid)) {
        manifest_keys.push(key);
        continue;
      }
      const proof = await this.#proof(kid);
      if (proof !== undefined) manifest_keys.push({ ...key, proof });
    }
    return { origin, vkey, manifest_keys };
  }

  async #manifestKeys(): Promise<TrustedKey[]> {
    const { database, clock } = this.#options;
    if (clock.monotonicMs() - this.#readAtMs > freshMs) {
      this.#readAtMs = clock.monotonicMs();
      this.#keys = readManifestKeys(database);
      this.#keys.catch(() => (this.#readAtMs = Number.NEGATIVE_INFINITY));
    }
    return this.#keys;
  }

  async #proof(kid: string): Promise<string | undefined> {
    const known = this.#proofs.get(kid);
    if (known !== undefined) return known;
    const { database } = this.#options;
    const seq = await findTrustRecord(database, kid);
    if (seq === undefined) return undefined;
    const [proof] = await readProofs(database, { seq }).catch(() => []);
    if (proof !== undefined) this.#proofs.set(kid, proof);
    return proof;
  }
}
