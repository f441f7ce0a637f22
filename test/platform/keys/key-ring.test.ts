/** Trusted public keys by thumbprint, and the documents that publish them. */

import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { KeyRing, type KeyRingEntry } from '../../../src/platform/keys/key-ring.ts';
import { exportJwk, thumbprint } from '../../../src/proof/public-key.ts';

const day = (n: number) => new Date(Date.UTC(2026, 0, n));

function entry(changes: Partial<KeyRingEntry> = {}, type: 'ec' | 'ed25519' = 'ec'): KeyRingEntry {
  const { publicKey } =
    type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const jwk = exportJwk(publicKey);
  return { kid: thumbprint(jwk), jwk, use: 'manifest', from: day(1), ...changes };
}

function reasonOf(call: () => void): string {
  try {
    call();
    return 'none';
  } catch (error) {
    return error instanceof AppError ? error.reason : String(error);
  }
}

describe('the key ring', () => {
  it('finds keys of every use by their kid, ready to verify with', () => {
    const ring = new KeyRing();
    const entries = [entry(), entry({ use: 'node', nodeId: 'n' }, 'ed25519'), entry({ use: 'log' }, 'ed25519')];
    for (const each of entries) ring.add(each);
    for (const each of entries) {
      const found = ring.find(each.kid);
      expect(found).to.deep.include(each);
      expect(found?.publicKey.kid).to.equal(each.kid);
    }
    expect(ring.find('__proto__')).to.equal(undefined);
  });

  it('refuses a kid that is not the thumbprint, and keys that are none', () => {
    const ring = new KeyRing();
    expect(
      reasonOf(() => {
        ring.add({ ...entry(), kid: entry().kid });
      }),
    ).to.equal('kid_mismatch');
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32).toString('base64url') } as const;
    expect(
      reasonOf(() => {
        ring.add(entry({ jwk }));
      }),
    ).to.equal('key_invalid');
  });

  it('trusts a key once, and minds no repetition', () => {
    const ring = new KeyRing();
    const good = entry();
    ring.add(good);
    ring.add({ ...good, from: day(1) });
    for (const changes of [{ use: 'node' as const }, { from: day(2) }, { until: day(3) }, { nodeId: 'n' }]) {
      expect(
        reasonOf(() => {
          ring.add({ ...good, ...changes });
        }),
      ).to.equal('key_trusted_already');
    }
    expect(ring.find(good.kid)).to.deep.include(good);
  });

  it('retires a key once', () => {
    const ring = new KeyRing();
    const good = entry();
    ring.add(good);
    ring.retire(good.kid, day(5));
    ring.retire(good.kid, day(5));
    expect(ring.find(good.kid)?.until).to.deep.equal(day(5));
    expect(
      reasonOf(() => {
        ring.retire(good.kid, day(6));
      }),
    ).to.equal('key_retired_already');
    expect(
      reasonOf(() => {
        ring.retire('unknown', day(6));
      }),
    ).to.equal('key_not_found');
  });

  it('publishes what is not retired, with exactly the members of the document, and no node keys', () => {
    const ring = new KeyRing();
    const [early, late, log] = [entry(), entry({ from: day(3) }), entry({ use: 'log', from: day(2) }, 'ed25519')];
    for (const each of [late, early, log, entry({ use: 'node' }, 'ed25519')]) ring.add(each);
    ring.retire(early.kid, day(4));
    const published = (each: KeyRingEntry, alg: string) => ({ ...each.jwk, kid: each.kid, alg, use: 'sig' });
    const all = [published(early, 'ES256'), published(log, 'EdDSA'), published(late, 'ES256')];
    expect(ring.jwks(day(3))).to.deep.equal({ keys: all });
    expect(ring.jwks(day(4))).to.deep.equal({ keys: all.slice(1) });
    expect(ring.jwksArchive()).to.deep.equal({ keys: all });
  });
});
