/** Credentials in memory, never older than a few seconds: a revocation acts within that time. */

import type { Clock } from '../domain/clock.ts';
import { findTokenBySha256, findTokensById, type TokenRow } from './token-sql.ts';
import type { Database } from '../platform/postgres/pool.ts';

/** A revoked credential is believed so long at most. Half of what the design promises. */
export const tokenCacheMs = 2500;
const entriesMax = 10_000;

interface Entry {
  row: TokenRow | undefined;
  loadedAtMs: number;
}

/**
 * Looks tokens up by the SHA-256 of their text or by id. Concurrent look-ups of one token share one query. Unknown
 * hashes are remembered as briefly as known ones, so that a flood of wrong tokens does not reach the database.
 */
export class TokenCache {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #loading = new Map<string, Promise<TokenRow | undefined>>();

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async findBySha256(sha256: Buffer): Promise<TokenRow | undefined> {
    return this.#find(`sha256:${sha256.toString('hex')}`, () => findTokenBySha256(this.#database, sha256));
  }

  async findById(tokenId: string): Promise<TokenRow | undefined> {
    return this.#find(`id:${tokenId}`, async () => (await findTokensById(this.#database, [tokenId]))[0]);
  }

  /** Forgets everything: the next look-ups read the database. */
  clear(): void {
    this.#entries.clear();
  }

  async #find(key: string, load: () => Promise<TokenRow | undefined>): Promise<TokenRow | undefined> {
    const entry = this.#entries.get(key);
    const nowMs = this.#clock.monotonicMs();
    if (entry !== undefined && nowMs - entry.loadedAtMs < tokenCacheMs) return entry.row;
    const loading = this.#loading.get(key);
    if (loading !== undefined) return loading;
    const started = load()
      .then((row) => {
        if (this.#entries.size >= entriesMax) this.#entries.clear();
        // The age counts from before the query: what was revoked since must not be believed longer.
        this.#entries.set(key, { row, loadedAtMs: nowMs });
        return row;
      })
      .finally(() => this.#loading.delete(key));
    this.#loading.set(key, started);
    return started;
  }
}
