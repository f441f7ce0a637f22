/** Whom a node believes: pinned when it joined, and widened only by what the log proves. */

import type { NodeTrust } from '../domain/node.ts';
import type { Clock } from '../domain/clock.ts';
import { verifyKeyProof } from '../proof/key-proof.ts';
import { importPublicKey, type PublicKey } from '../proof/public-key.ts';
import { ProofError, prove } from '../proof/proof-error.ts';

/** The log's origin, and the manifest keys that are trusted now. */
export interface Trust {
  origin: string;
  findKey: (kid: string) => PublicKey | undefined;
}

/** Longer than orchestrators tell of a retired key: it does not come back as a new one. */
const forgetMs = 2 * 3_600_000;

/**
 * Invariant: a key is here because the join gave it, or because a record under the pinned log key trusts it; a retired key stays retired,
 * and the end of a key only ever comes nearer. A far one that a liar told first does not keep the true one away.
 */
export class PinnedTrust implements Trust {
  readonly #clock: Clock;
  readonly #vkey: string;
  readonly #keys = new Map<string, { key: PublicKey; until: string | null }>();
  readonly origin: string;

  /** Reads the trust set that was kept. Throws a ProofError for a key whose thumbprint is not its kid. */
  constructor({ origin, vkey, manifest_keys }: NodeTrust, clock: Clock) {
    this.#clock = clock;
    this.#vkey = vkey;
    this.origin = origin;
    for (const { kid, jwk, until } of manifest_keys) {
      const key = importPublicKey(jwk);
      prove(key.kid === kid, 'bad_key', 'a key under another thumbprint than its own');
      this.#keys.set(kid, { key, until });
    }
  }

  /** Thumbprints of the keys that are known; those that were retired long ago are forgotten. */
  get kids(): string[] {
    for (const [kid, { until }] of this.#keys) {
      if (until !== null && Date.parse(until) < this.#clock.now() - forgetMs) this.#keys.delete(kid);
    }
    return [...this.#keys.keys()];
  }

  /** As it is kept. */
  get value(): NodeTrust {
    const manifest_keys = [...this.#keys].map(([kid, { key, until }]) => ({ kid, jwk: { ...key.jwk }, until }));
    return { origin: this.origin, vkey: this.#vkey, manifest_keys };
  }

  readonly findKey = (kid: string): PublicKey | undefined => {
    const found = this.#keys.get(kid);
    if (found === undefined) return undefined;
    return found.until === null || this.#clock.now() < Date.parse(found.until) ? found.key : undefined;
  };

  /**
   * Takes what an orchestrator tells: new keys with their proofs, and retirements. Answers whether anything changed, and the reasons
   * why keys were not taken; whoever tells may be lying.
   */
  widen(told: NodeTrust): { isChanged: boolean; refused: string[] } {
    const outcome = { isChanged: false, refused: [] as string[] };
    if (told.origin !== this.origin || told.vkey !== this.#vkey) return { ...outcome, refused: ['other_log'] };
    for (const { kid, until, proof } of told.manifest_keys) {
      try {
        if (this.#takeKey(kid, until, proof)) outcome.isChanged = true;
      } catch (error) {
        if (!(error instanceof ProofError)) throw error;
        outcome.refused.push(error.code);
      }
    }
    return outcome;
  }

  #takeKey(kid: string, until: string | null, proof: string | undefined): boolean {
    const known = this.#keys.get(kid);
    if (known !== undefined) {
      if (until === null || !isSooner(until, known.until)) return false;
      this.#keys.set(kid, { ...known, until });
      return true;
    }
    const { key, use } = verifyKeyProof(proof ?? '', this.#vkey);
    prove(key.kid === kid && use === 'manifest', 'bad_key', 'the proof is about another key');
    this.#keys.set(kid, { key, until });
    return true;
  }
}

function isSooner(until: string, known: string | null): boolean {
  return known === null || Date.parse(until) < Date.parse(known);
}
