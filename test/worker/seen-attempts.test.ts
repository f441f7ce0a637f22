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

  it('are kept for a week after they were last taken', () => {
    const seen = new SeenAttempts();
    seen.add(uuid(1), 1, nowS);
    seen.add(uuid(2), 1, nowS);
    seen.add(uuid(1), 2, nowS + 10);
    seen.add(uuid(3), 1, nowS + weekS);
    expect([1, 2, 3].map((n) => seen.highest(uuid(n)))).to.deep.equal([2, 1, 1]);
    seen.add(uuid(4), 1, nowS + weekS + 1);
    expect([1, 2, 3].map((n) => seen.highest(uuid(n)))).to.deep.equal([2, 0, 1]);
  });

  it('are kept of 250,000 tasks, the newest', () => {
    const seen = new SeenAttempts();
    for (let n = 0; n < 250_010; n++) seen.add(uuid(n), 1, nowS);
    expect(seen.highest(uuid(9))).to.equal(0);
    expect(seen.highest(uuid(10))).to.equal(1);
    expect(seen.highest(uuid(250_009))).to.equal(1);
    const bytes = seen.encode();
    expect(Math.max(...bytes.map(({ length }) => length))).to.be.at.most(960_000);
    const again = new SeenAttempts();
    for (const chunk of bytes) again.decode(chunk);
    expect([9, 10, 250_009].map((n) => again.highest(uuid(n)))).to.deep.equal([0, 1, 1]);
  });

  it('are forgotten one by one without a look at all that were forgotten before', () => {
    const seen = new SeenAttempts();
    for (let n = 0; n < 700_000; n++) seen.add(uuid(n), 1, nowS);
    expect([449_999, 450_000, 699_999].map((n) => seen.highest(uuid(n)))).to.deep.equal([0, 1, 1]);
  }).timeout(15_000);

  it('are what a plain list says, whatever is taken, taken again and forgotten', () => {
    const entry = fc.tuple(fc.nat(1500), fc.nat(3), fc.nat({ max: weekS / 700 }));
    fc.assert(
      fc.property(fc.array(entry, { minLength: 2000, maxLength: 4000, size: 'max' }), (taken) => {
        const seen = new SeenAttempts();
        const list = new Map<number, { attempt: number; atS: number }>();
        let atS = nowS;
        for (const [n, attempt, s] of taken) {
          seen.add(mixedUuid(n), attempt, (atS += s));
          if (attempt > (list.get(n)?.attempt ?? 0)) {
            list.set(n, { attempt, atS });
            for (const [old, last] of list) if (last.atS < atS - weekS) list.delete(old);
          }
        }
        for (let n = 0; n <= 1500; n++)
          expect(seen.highest(mixedUuid(n)), String(n)).to.equal(list.get(n)?.attempt ?? 0);
        expect(Buffer.concat(seen.encode())).to.have.length(list.size * 24);
      }),
      { numRuns: 30 },
    );
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
    expect(seen.encode().map((bytes) => bytes.toString('hex'))).to.deep.equal([
      '0123456789abcdef0011223344556677' + '00000102' + '65432101',
    ]);
  });

  it('are the same after they were written and read, and are forgotten in the same order', () => {
    // Clocks of orchestrators go forward: each is taken some time after the one before.
    const entry = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 0x7fff_ffff }), fc.nat(weekS / 8));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), fc.array(entry, { maxLength: 20 }), (before, later) => {
        const seen = new SeenAttempts();
        let atS = nowS;
        for (const [n, attempt, s] of before) seen.add(uuid(n), attempt, (atS += s));
        const again = new SeenAttempts();
        for (const bytes of seen.encode()) again.decode(bytes);
        expect(Buffer.concat(again.encode())).to.deep.equal(Buffer.concat(seen.encode()));
        for (const [n, attempt, s] of later) {
          atS += s;
          for (const each of [seen, again]) each.add(uuid(n), attempt, atS);
        }
        for (let n = 0; n <= 20; n++) expect(again.highest(uuid(n))).to.equal(seen.highest(uuid(n)));
      }),
      { numRuns: 100 },
    );
  });
});
