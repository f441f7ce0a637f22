/** The highest attempts that a node remembers. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { createHash } from 'node:crypto';
import { SeenAttempts } from '../../src/worker/seen-attempts.ts';

const weekS = 7 * 86_400;
const nowS = 1_700_000_000;

function uuid(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** One whose every digit depends on the number. */
function mixedUuid(number: number): string {
  const hex = createHash('sha256').update(number.toString()).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

describe('seen attempts', () => {
  it('are none for a task that was never taken', () => {
    expect(new SeenAttempts().highest(uuid(1))).to.equal(0);
  });

  it('only rise', () => {
    const seen = new SeenAttempts();
    for (const attempt of [2, 1, 3, 2]) seen.add(uuid(1), attempt, nowS);
    expect(seen.highest(uuid(1))).to.equal(3);
  });

  it('are kept for a week at least, and for two at most where something is taken', () => {
    const seen = new SeenAttempts();
    seen.add(uuid(1), 1, nowS);
    seen.add(uuid(2), 1, nowS + weekS);
    seen.add(uuid(3), 1, nowS + weekS + 1);
    expect([1, 2, 3].map((n) => seen.highest(uuid(n)))).to.deep.equal([1, 1, 1]);
    seen.add(uuid(4), 1, nowS + 2 * weekS + 1);
    expect([1, 2, 3, 4].map((n) => seen.highest(uuid(n)))).to.deep.equal([1, 1, 1, 1]);
    seen.add(uuid(5), 1, nowS + 2 * weekS + 2);
    expect([1, 2, 3, 4, 5].map((n) => seen.highest(uuid(n)))).to.deep.equal([0, 0, 1, 1, 1]);
  });

  it('are kept of 250,000 tasks at least, the newest, and of twice as many at most', () => {
    const seen = new SeenAttempts();
    for (let n = 0; n < 500_000; n++) seen.add(uuid(n), 1, nowS);
    expect(seen.highest(uuid(0))).to.equal(1);
    seen.add(uuid(500_000), 1, nowS);
    const ends = [0, 249_999, 250_000, 500_000];
    expect(ends.map((n) => seen.highest(uuid(n)))).to.deep.equal([0, 0, 1, 1]);
    const bytes = seen.encode();
    expect(Math.max(...bytes.map(({ length }) => length))).to.be.at.most(960_000);
    const again = new SeenAttempts();
    for (const chunk of bytes) again.decode(chunk);
    expect(ends.map((n) => again.highest(uuid(n)))).to.deep.equal([0, 0, 1, 1]);
  }).timeout(15_000);

  it('hold what a plain list of a week says, and nothing that was not taken', () => {
    const entry = fc.tuple(fc.nat(1500), fc.nat(3), fc.nat({ max: weekS / 700 }));
    fc.assert(
      fc.property(fc.array(entry, { minLength: 2000, maxLength: 4000, size: 'max' }), (taken) => {
        const seen = new SeenAttempts();
        const list = new Map<number, { attempt: number; atS: number }>();
        let atS = nowS;
        for (const [n, attempt, s] of taken) {
          seen.add(mixedUuid(n), attempt, (atS += s));
          if (attempt > (list.get(n)?.attempt ?? 0)) list.set(n, { attempt, atS });
        }
        let known = 0;
        for (let n = 0; n <= 1500; n++) {
          const last = list.get(n);
          const highest = seen.highest(mixedUuid(n));
          known += Math.sign(highest);
          expect(highest, String(n)).to.be.at.most(last?.attempt ?? 0);
          if (last !== undefined && last.atS >= atS - weekS) expect(highest, String(n)).to.equal(last.attempt);
        }
        const entries = Buffer.concat(seen.encode()).length / 24;
        expect(entries)
          .to.be.at.least(known)
          .and.at.most(2 * known);
      }),
      { numRuns: 30 },
    );
  }).timeout(15_000);

  it('are the same after they were written and read where a task is in both generations', () => {
    const seen = new SeenAttempts();
    for (let n = 0; n < 250_000; n++) seen.add(uuid(n), 1, nowS);
    for (const n of [1, 2]) seen.add(uuid(n), 5, nowS);
    const again = new SeenAttempts();
    for (const bytes of seen.encode()) again.decode(bytes);
    for (const each of [seen, again]) {
      expect([0, 1, 2].map((n) => each.highest(uuid(n)))).to.deep.equal([1, 5, 5]);
      // The older generation goes: what was taken again is in the younger one.
      for (let n = 250_000; n < 500_010; n++) each.add(uuid(n), 1, nowS);
      expect([0, 1, 2, 250_000].map((n) => each.highest(uuid(n)))).to.deep.equal([0, 5, 5, 1]);
    }
  }).timeout(15_000);

  it('stay known while tasks are taken again and again', () => {
    const seen = new SeenAttempts();
    for (let attempt = 1; attempt <= 40; attempt++) {
      for (let n = 0; n < 700; n++) if (n % attempt === 0) seen.add(mixedUuid(n), attempt, nowS + attempt);
    }
    const highest = (n: number): number => Array.from({ length: 40 }, (_, i) => 40 - i).find((a) => n % a === 0) ?? 0;
    for (let n = 0; n < 700; n++) expect(seen.highest(mixedUuid(n)), String(n)).to.equal(highest(n));
    expect(Buffer.concat(seen.encode())).to.have.length(700 * 24);
    // What has one word of a known id and not the others is not known.
    const [known, other] = [mixedUuid(1), mixedUuid(2)];
    for (const cut of [8, 18, 27]) expect(seen.highest(known.slice(0, cut) + other.slice(cut))).to.equal(0);
  });

  it('are written as id, attempt and time, big-endian', () => {
    const seen = new SeenAttempts();
    seen.add('01234567-89ab-cdef-0011-223344556677', 258, 0x6543_2101);
    seen.add('01234567-89ab-cdef-0011-223344556688', 0xfedc_ba98, 0xf543_2101);
    expect(Buffer.concat(seen.encode()).toString('hex')).to.equal(
      '0123456789abcdef0011223344556677' +
        '00000102' +
        '65432101' +
        '0123456789abcdef0011223344556688' +
        'fedcba98' +
        'f5432101',
    );
    expect(seen.highest('01234567-89ab-cdef-0011-223344556688')).to.equal(0xfedc_ba98);
  });

  it('are the same after they were written and read', () => {
    const entry = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 0xffff_ffff }), fc.nat(weekS / 100));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), (taken) => {
        const seen = new SeenAttempts();
        let atS = nowS;
        for (const [n, attempt, s] of taken) seen.add(uuid(n), attempt, (atS += s));
        const again = new SeenAttempts();
        for (const bytes of seen.encode()) again.decode(bytes);
        for (const each of [seen, again]) each.add(uuid(21), 1, atS);
        for (let n = 0; n <= 21; n++) expect(again.highest(uuid(n)), String(n)).to.equal(seen.highest(uuid(n)));
      }),
      { numRuns: 100 },
    );
  });
});
