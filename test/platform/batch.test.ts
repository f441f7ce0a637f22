/** Batches: when they start, what goes together, limits, failures. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { createBatcher, type BatcherOptions } from '../../src/platform/batch.ts';

/** A batcher over numbers that doubles them, whose calls end when the test says so. */
function setup(changes: Partial<BatcherOptions<number, number>> = {}) {
  const calls: number[][] = [];
  const open: (() => void)[] = [];
  const batcher = createBatcher<number, number>({
    maxItems: 100,
    maxPending: 100,
    run: async (items) => {
      calls.push(items);
      await new Promise<void>((resolve) => open.push(resolve));
      return items.map((item) => item * 2);
    },
    ...changes,
  });
  /** Ends the oldest call, once it has started. */
  const finish = async () => {
    while (open.length === 0) await new Promise(setImmediate);
    open.shift()?.();
    await new Promise(setImmediate);
  };
  return { batcher, calls, finish };
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof AppError ? error.reason : (error as Error).message),
  );
}

describe('a batcher', () => {
  it('starts with the first item in the same turn, before any timer or I/O', async () => {
    const { batcher, calls, finish } = setup();
    const result = batcher.add(1);
    await Promise.resolve();
    expect(calls).to.deep.equal([[1]]);
    await finish();
    expect(await result).to.equal(2);
  });

  it('keeps its pace: what arrives meanwhile goes together, unless a whole batch waits', async () => {
    const { batcher, calls, finish } = setup({ paceMs: 300, concurrency: 3, maxItems: 3 });
    const results = [batcher.add(1)];
    await finish();
    results.push(batcher.add(2));
    await new Promise(setImmediate);
    results.push(batcher.add(3));
    await new Promise(setImmediate);
    expect(calls).to.deep.equal([[1]]);
    await finish();
    expect(calls).to.deep.equal([[1], [2, 3]]);
    results.push(batcher.add(4), batcher.add(5), batcher.add(6), batcher.add(7));
    await new Promise(setImmediate);
    expect(calls).to.deep.equal([[1], [2, 3], [4, 5, 6]]);
    await finish();
    await finish();
    expect(calls).to.deep.equal([[1], [2, 3], [4, 5, 6], [7]]);
    expect(await Promise.all(results)).to.deep.equal([2, 4, 6, 8, 10, 12, 14]);
  });

  it('puts what arrives while a call is in flight into the next batch, in order', async () => {
    const { batcher, calls, finish } = setup();
    const results = [batcher.add(1)];
    await Promise.resolve();
    results.push(batcher.add(2), batcher.add(3));
    await Promise.resolve();
    results.push(batcher.add(4));
    await finish();
    await finish();
    expect(calls).to.deep.equal([[1], [2, 3, 4]]);
    expect(await Promise.all(results)).to.deep.equal([2, 4, 6, 8]);
  });

  it('cuts batches at their largest size and answers addMany over several of them', async () => {
    const { batcher, calls, finish } = setup({ maxItems: 2 });
    const results = batcher.addMany([1, 2, 3, 4, 5]);
    for (let i = 0; i < 3; i++) await finish();
    expect(calls).to.deep.equal([[1, 2], [3, 4], [5]]);
    expect(await results).to.deep.equal([2, 4, 6, 8, 10]);
    expect(await batcher.addMany([])).to.deep.equal([]);
  });

  it('runs as many calls at once as it may', async () => {
    const { batcher, calls, finish } = setup({ maxItems: 1, concurrency: 2 });
    const results = batcher.addMany([1, 2, 3]);
    await Promise.resolve();
    expect(calls).to.deep.equal([[1], [2]]);
    await finish();
    expect(calls).to.deep.equal([[1], [2], [3]]);
    await finish();
    await finish();
    expect(await results).to.deep.equal([2, 4, 6]);
  });

  it('refuses what goes over its limit as overloaded, all of it, and takes more when there is room', async () => {
    const { batcher, calls, finish } = setup({ maxPending: 2 });
    const first = batcher.addMany([1, 2]);
    await Promise.resolve();
    const second = batcher.add(3);
    expect(await reasonOf(batcher.addMany([4, 5]))).to.equal('overloaded');
    const third = batcher.add(6);
    expect(await reasonOf(batcher.add(7))).to.equal('overloaded');
    await finish();
    await finish();
    expect(calls).to.deep.equal([
      [1, 2],
      [3, 6],
    ]);
    expect([...(await first), await second, await third]).to.deep.equal([2, 4, 6, 12]);
  });

  it('rejects the items of a call that throws, and no other', async () => {
    const batcher = createBatcher<number, number>({
      maxItems: 2,
      maxPending: 10,
      run: (items) => {
        if (items.includes(2)) throw new Error('two is bad');
        return Promise.resolve(items);
      },
    });
    const results = [1, 2, 3].map((item) => reasonOf(batcher.add(item)));
    expect(await Promise.all(results)).to.deep.equal(['two is bad', 'two is bad', 'none']);
  });

  it('rejects the items of a call that answers another number of results', async () => {
    const batcher = createBatcher<number, number>({ maxItems: 2, maxPending: 10, run: () => Promise.resolve([1]) });
    expect(await reasonOf(batcher.addMany([1, 2]))).to.match(/batch of 2 was answered by 1/);
  });

  it('tells when it is idle', async () => {
    const { batcher, finish } = setup();
    await batcher.idle();
    const results = [batcher.add(1)];
    await Promise.resolve();
    results.push(batcher.add(2));
    let idle = 0;
    const watch = () =>
      batcher.idle().then(() => {
        idle++;
      });
    const whileOneWaits = watch();
    await finish();
    const whileOneRuns = watch();
    await new Promise(setImmediate);
    expect(idle).to.equal(0);
    await finish();
    await Promise.all([whileOneWaits, whileOneRuns]);
    expect(await Promise.all(results)).to.deep.equal([2, 4]);
  });
});
