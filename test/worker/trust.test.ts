/** Whom a node believes: what was pinned at the join, and what the pinned log proves, whoever tells it. */

import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, beforeEach, describe, it } from 'mocha';
import type { Clock } from '../../src/domain/clock.ts';
import type { NodeTrust } from '../../src/domain/node.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { PinnedTrust } from '../../src/worker/trust.ts';
import { startKeyLog, type KeyLog } from '../ledger/key-log.ts';
import { ed25519Key, p256Key, type TestKey } from '../proof/keys.ts';

const nowMs = Date.parse('2026-03-04T05:06:07.000Z');
const pinned = p256Key(1);
const next = p256Key(2);
const unproved = p256Key(3);
const ofNode = ed25519Key(4);

type ToldKey = NodeTrust['manifest_keys'][number];

function at(offsetMs: number): string {
  return new Date(nowMs + offsetMs).toISOString();
}

describe('the trust of a node', () => {
  let keys: KeyLog;
  let other: KeyLog;
  let proof: string;
  let clock: { ms: number } & Clock;
  let trust: PinnedTrust;

  before(async () => {
    keys = await startKeyLog();
    other = await startKeyLog();
    for (const log of [keys, other]) {
      await log.trust(pinned);
      await log.trust(next);
      await log.trust(ofNode, 'node');
      await log.retire(pinned);
      await log.sign();
    }
    proof = await keys.proofOf(next);
  });
  after(async () => {
    await keys.log.drop();
    await other.log.drop();
  });

  beforeEach(() => {
    clock = { ms: nowMs, now: () => clock.ms, monotonicMs: () => clock.ms };
    trust = new PinnedTrust(joined([told(pinned)]), clock);
  });

  function told(key: TestKey, over: Partial<ToldKey> = {}): ToldKey {
    return { kid: key.kid, jwk: { ...key.jwk }, until: null, ...over };
  }

  function joined(manifest_keys: ToldKey[]): NodeTrust {
    return { origin: keys.log.origin, vkey: keys.log.vkey, manifest_keys };
  }

  const widen = (...manifest_keys: ToldKey[]): ReturnType<PinnedTrust['widen']> => trust.widen(joined(manifest_keys));

  it('believes the keys that the join gave, and no other', () => {
    expect(trust.origin).to.equal(keys.log.origin);
    expect(trust.findKey(pinned.kid)?.kid).to.equal(pinned.kid);
    expect(trust.kids).to.deep.equal([pinned.kid]);
    for (const kid of [next.kid, '', '__proto__', 'constructor']) expect(trust.findKey(kid)).to.equal(undefined);
  });

  it('is kept and read again as it is', () => {
    widen(told(next, { proof }), told(pinned, { until: at(1000) }));
    expect(new PinnedTrust(trust.value, clock).value).to.deep.equal(trust.value);
    expect(JSON.stringify(trust.value)).to.not.include('proof');
    expect(trust.value.manifest_keys.map(({ kid, until }) => [kid, until])).to.deep.equal([
      [pinned.kid, at(1000)],
      [next.kid, null],
    ]);
  });

  it('is not read from a set with a key under another thumbprint, or with what is no key', () => {
    for (const wrong of [told(pinned, { kid: next.kid }), told(pinned, { jwk: { kty: 'oct', k: 'AAAA' } })]) {
      expect(() => new PinnedTrust(joined([wrong]), clock)).to.throw(ProofError);
    }
  });

  it('takes a new key whose proof holds', () => {
    expect(widen(told(pinned), told(next, { proof }))).to.deep.equal({ isChanged: true, refused: [] });
    expect(trust.findKey(next.kid)?.jwk).to.deep.equal(next.jwk);
    expect(trust.findKey(pinned.kid)?.kid).to.equal(pinned.kid);
    expect(widen(told(next, { proof }))).to.deep.equal({ isChanged: false, refused: [] });
  });

  it('takes the key of the record, not the one that was told beside the proof', () => {
    expect(widen(told(next, { proof, jwk: { ...unproved.jwk } })).refused).to.deep.equal([]);
    expect(trust.findKey(next.kid)?.jwk).to.deep.equal(next.jwk);
  });

  it('takes good keys that are told together with bad ones, and tells why for each', () => {
    expect(widen(told(unproved), told(next, { proof }), told(ofNode))).to.deep.equal({
      isChanged: true,
      refused: ['bad_tlog_proof', 'bad_tlog_proof'],
    });
    expect(trust.kids).to.deep.equal([pinned.kid, next.kid]);
  });

  const lies: [what: string, tell: () => Promise<ToldKey>, code: string][] = [
    ['no proof', () => Promise.resolve(told(next)), 'bad_tlog_proof'],
    ['an empty proof', () => Promise.resolve(told(next, { proof: '' })), 'bad_tlog_proof'],
    ['the proof of another log', async () => told(next, { proof: await other.proofOf(next) }), 'bad_signature'],
    ['the proof of another key', () => Promise.resolve(told(unproved, { proof })), 'bad_key'],
    ['the proof of a node’s key', async () => told(ofNode, { proof: await keys.proofOf(ofNode) }), 'bad_key'],
    ['the proof of the log’s own key', async () => told(next, { proof: await keys.proofAt(0) }), 'bad_key'],
    ['the record of a retirement', async () => told(next, { proof: await retirement() }), 'bad_record'],
    ['a proof that is cut off', () => Promise.resolve(told(next, { proof: proof.slice(0, -2) })), 'bad_note'],
    ['a proof with another place', () => Promise.resolve(told(next, { proof: misplaced() })), 'bad_inclusion'],
    ['a proof with an altered record', async () => told(next, { proof: await altered() }), 'bad_inclusion'],
  ];
  for (const [what, tell, code] of lies) {
    it(`does not take a key with ${what}`, async () => {
      expect(widen(await tell())).to.deep.equal({ isChanged: false, refused: [code] });
      expect(trust.kids).to.deep.equal([pinned.kid]);
      expect(trust.value).to.deep.equal(joined([told(pinned)]));
    });
  }

  async function retirement(): Promise<string> {
    const { rows } = await keys.log.database.query<{ seq: number }>(
      `select seq from audit_log where type = 'key.retire'`,
    );
    return keys.proofAt(rows[0]?.seq ?? -1);
  }

  function misplaced(): string {
    return proof.replace(/^index (\d+)$/m, (_, index: string) => `index ${(Number(index) - 1).toString()}`);
  }

  /** The record of the pinned key with the other key in it. */
  async function altered(): Promise<string> {
    return (await keys.proofOf(pinned)).replace(/^extra (.*)$/m, (_, extra: string) => {
      const line = Buffer.from(extra, 'base64').toString().replaceAll(pinned.kid, next.kid);
      return `extra ${Buffer.from(line).toString('base64')}`;
    });
  }

  for (const [what, change] of [
    ['origin', { origin: 'test.example/other' }],
    ['verifier key', { vkey: 'test.example/log+00000000+AAAA' }],
  ] as const) {
    it(`takes nothing from whoever tells of a log with another ${what}, a retirement neither`, () => {
      const told_ = { ...joined([told(next, { proof }), told(pinned, { until: at(-1) })]), ...change };
      expect(trust.widen(told_)).to.deep.equal({ isChanged: false, refused: ['other_log'] });
      expect(trust.value).to.deep.equal(joined([told(pinned)]));
    });
  }

  it('takes nothing from a whole other log, with proofs that hold there', async () => {
    const { origin, vkey } = other.log;
    const theirs = { origin, vkey, manifest_keys: [told(next, { proof: await other.proofOf(next) })] };
    expect(trust.widen(theirs).refused).to.deep.equal(['other_log']);
    expect(trust.kids).to.deep.equal([pinned.kid]);
  });

  it('believes a key until it is retired, and not from that moment on', () => {
    expect(widen(told(pinned, { until: at(1000) }))).to.deep.equal({ isChanged: true, refused: [] });
    clock.ms = nowMs + 999;
    expect(trust.findKey(pinned.kid)?.kid).to.equal(pinned.kid);
    clock.ms = nowMs + 1000;
    expect(trust.findKey(pinned.kid)).to.equal(undefined);
    expect(trust.kids, 'it stays known, so that nobody makes it new again').to.deep.equal([pinned.kid]);
  });

  it('takes a new key that is retired already, and does not believe it', () => {
    expect(widen(told(next, { proof, until: at(-1000) })).isChanged).to.equal(true);
    expect(trust.findKey(next.kid)).to.equal(undefined);
  });

  it('keeps a retired key retired, whatever is told later', () => {
    widen(told(pinned, { until: at(1000) }), told(next, { proof, until: at(-1000) }));
    const later = [null, at(1001), at(1e9), '9999-12-31T23:59:59.999Z', 'no time'];
    for (const until of later) {
      expect(widen(told(pinned, { until }), told(next, { proof, until }))).to.deep.equal({
        isChanged: false,
        refused: [],
      });
    }
    expect(trust.value.manifest_keys.map(({ until }) => until)).to.deep.equal([at(1000), at(-1000)]);
    clock.ms = nowMs + 1000;
    expect(trust.findKey(pinned.kid)).to.equal(undefined);
  });

  it('takes the true end of a key also after a liar has told a far one', () => {
    widen(told(pinned, { until: '9999-12-31T23:59:59.999Z' }));
    expect(widen(told(pinned, { until: at(1000) })).isChanged).to.equal(true);
    clock.ms = nowMs + 1000;
    expect(trust.findKey(pinned.kid)).to.equal(undefined);
  });

  it('never lets the end of a key move away, in whatever order ends are told', () => {
    const end = fc.option(fc.integer({ min: -100_000, max: 100_000 }).map(at), { nil: null });
    fc.assert(
      fc.property(fc.array(end, { maxLength: 12 }), (ends) => {
        const fresh = new PinnedTrust(joined([told(pinned)]), clock);
        const sooner: (string | null)[] = [];
        for (const until of ends) {
          fresh.widen(joined([told(pinned, { until })]));
          sooner.push(fresh.value.manifest_keys[0]?.until ?? null);
        }
        const given = ends.filter((until) => until !== null).sort();
        expect(sooner.at(-1) ?? null).to.equal(given[0] ?? null);
        const kept = sooner.filter((until) => until !== null);
        expect(kept).to.deep.equal([...kept].sort().reverse());
      }),
    );
  });
});
