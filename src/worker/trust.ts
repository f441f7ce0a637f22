/** Whom a node believes: pinned when it joined, and widened only by the orchestrator that it authenticates to. */

import type { NodeTrust } from '../domain/node.ts';
import type { Clock } from '../domain/clock.ts';
import { importPublicKey, type PublicKey } from '../proof/public-key.ts';
import { ProofError } from '../proof/proof-error.ts';

/** The log's origin, and the manifest keys that are trusted now. */
export interface Trust {
  origin: string;
  findKey: (kid: string) => PublicKey | undefined;
}

/** Reads a trust set. A key whose thumbprint is not its kid is refused; a retired key is not found. */
export function readTrust(trust: NodeTrust, clock: Clock): Trust {
  const keys = new Map<string, { key: PublicKey; untilMs: number }>();
  for (const { kid, jwk, until } of trust.manifest_keys) {
    const key = importPublicKey(jwk);
    if (key.kid !== kid) throw new ProofError('bad_key', 'a key under another thumbprint than its own');
    keys.set(kid, { key, untilMs: until === null ? Infinity : Date.parse(until) });
  }
  return {
    origin: trust.origin,
    findKey: (kid) => {
      const found = keys.get(kid);
      return found !== undefined && clock.now() < found.untilMs ? found.key : undefined;
    },
  };
}
