/** What every `Mark` does. */

import { createHash, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Mark, MarkValue } from '../../src/domain/mark.ts';
import { failureCode } from './failure-code.ts';

export interface MarkHarness {
  /** A mark of the log `origin`, opened anew, as another process would. */
  open(origin: string): Promise<Mark>;
  stop(): Promise<void>;
}

/** A value whose root follows from size and name. */
export function markValue(size: number, name = 'log'): MarkValue {
  return { size, root: createHash('sha256').update(`${name} ${size.toString()}`).digest('base64') };
}

/** Defines the suite for one implementation. */
export function markContract(name: string, setup: () => Promise<MarkHarness>): void {
  describe(`${name} keeps the contract of Mark`, () => {
    let harness: MarkHarness;
    const uniqueOrigin = () => `contract.example/${randomUUID()}`;
    before(async () => {
      harness = await setup();
    });
    after(() => harness.stop());

    it('has no value for a log that never had one', async () => {
      expect(await (await harness.open(uniqueOrigin())).read()).to.equal(undefined);
    });

    it('reads what was written, also when opened anew', async () => {
      const origin = uniqueOrigin();
      const mark = await harness.open(origin);
      await mark.write(undefined, markValue(0));
      await mark.write(markValue(0), markValue(7));
      expect(await mark.read()).to.deep.equal(markValue(7));
      await mark.write(markValue(7), markValue(2 ** 40));
      expect(await (await harness.open(origin)).read()).to.deep.equal(markValue(2 ** 40));
    });

    it('keeps the marks of logs apart', async () => {
      const origin = uniqueOrigin();
      const [one, two] = [await harness.open(`${origin}/A`), await harness.open(`${origin}/a`)];
      await one.write(undefined, markValue(1));
      expect(await two.read()).to.equal(undefined);
      await two.write(undefined, markValue(2));
      expect(await one.read()).to.deep.equal(markValue(1));
    });

    it('fails with conflict where the mark is not what the writer expects, and stays', async () => {
      const origin = uniqueOrigin();
      const [mark, other] = [await harness.open(origin), await harness.open(origin)];
      expect(await failureCode(() => mark.write(markValue(1), markValue(2)))).to.equal('conflict');
      await mark.write(undefined, markValue(5));
      await other.write(markValue(5), markValue(6));
      expect(await failureCode(() => mark.write(markValue(5), markValue(7)))).to.equal('conflict');
      expect(await failureCode(() => mark.write(undefined, markValue(7)))).to.equal('conflict');
      expect(await failureCode(() => mark.write(markValue(6, 'fork'), markValue(7)))).to.equal('conflict');
      expect(await failureCode(() => mark.write({ ...markValue(6), size: 5 }, markValue(7)))).to.equal('conflict');
      expect(await mark.read()).to.deep.equal(markValue(6));
    });

    it('fails with conflict for a smaller size, and for another root of the same size', async () => {
      const mark = await harness.open(uniqueOrigin());
      await mark.write(undefined, markValue(5));
      expect(await failureCode(() => mark.write(markValue(5), markValue(4)))).to.equal('conflict');
      expect(await failureCode(() => mark.write(markValue(5), markValue(5, 'fork')))).to.equal('conflict');
      expect(await mark.read()).to.deep.equal(markValue(5));
    });

    it('lets one of many writers through, time after time', async () => {
      const origin = uniqueOrigin();
      const marks = await Promise.all(Array.from({ length: 6 }, () => harness.open(origin)));
      let current: MarkValue | undefined;
      for (let round = 1; round <= 12; round++) {
        const outcomes = await Promise.all(
          marks.map(async (mark, i) => {
            const next = markValue(round * 10 + i, i.toString());
            return { next, code: await failureCode(() => mark.write(current, next)) };
          }),
        );
        const winners = outcomes.filter(({ code }) => code === 'none');
        expect(winners, `round ${round.toString()}`).to.have.length(1);
        expect(outcomes.filter(({ code }) => code === 'conflict')).to.have.length(5);
        current = winners[0]?.next;
        expect(await marks[0]?.read()).to.deep.equal(current);
      }
    });
  });
}
