/** What runs next: turns, order, windows over the queue. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ReadyTask } from '../../src/tasks/ready-task.ts';
import { placesOf, TaskScheduler } from '../../src/schedule/task-scheduler.ts';
import { QueueTable } from './queue-table.ts';
import { readyTask, taskId } from './ready-tasks.ts';

const anything = (): boolean => true;

/** A scheduler over a table with these rows, its windows known and filled. */
async function setup(rows: readonly ReadyTask[] = []) {
  const table = new QueueTable(rows);
  const scheduler = new TaskScheduler(table.read);
  scheduler.discover(table.keys());
  await scheduler.refill();
  return { table, scheduler };
}

function range(from: number, to: number, members: Partial<ReadyTask> = {}): ReadyTask[] {
  return Array.from({ length: to - from }, (_, i) => readyTask(from + i, members));
}

function ids(tasks: readonly ReadyTask[]): number[] {
  return tasks.map(({ task_id }) => parseInt(task_id.slice(-12), 16));
}

describe('the scheduler', () => {
  it('hands out what one source has queued by rank, then by age', async () => {
    const { scheduler } = await setup([
      readyTask(1, { rank: 30 }),
      readyTask(2, { rank: 10 }),
      readyTask(4, { rank: 20 }),
      readyTask(3, { rank: 20 }),
    ]);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([2, 3, 4, 1]);
  });

  it('finds what another process has queued where that tells of it, in one read', async () => {
    const { scheduler, table } = await setup(range(1, 4));
    const told = range(20, 40, { rank: 5 });
    for (const task of [...told, ...range(50, 60, { rank: 6 })]) table.insert(task);
    const before = table.reads;
    for (const place of placesOf(told.toReversed())) await scheduler.look(place);
    expect(table.reads).to.equal(before + 1);
    expect(ids(scheduler.take(100, anything, anything))).to.deep.equal([...ids(range(1, 4)), ...ids(told)]);
  });

  it('looks on where a place holds more than was told, until it has all of it', async () => {
    const held = range(1, 2);
    const { scheduler, table } = await setup(held);
    const other = range(2, 30, { rank: 5 });
    const told = range(30, 40, { rank: 5 });
    for (const task of [...other, ...told]) table.insert(task);
    for (const place of placesOf(told)) await scheduler.look(place);
    expect(ids(scheduler.take(100, anything, anything))).to.deep.equal(ids([...held, ...other, ...told]));
  });

  it('does not look where what is held does not reach', async () => {
    const table = new QueueTable(range(1, 200, { rank: 1 }));
    const scheduler = new TaskScheduler(table.read, { held: 10, page: 10, windowMin: 10 });
    scheduler.discover(table.keys());
    await scheduler.refill();
    const before = table.reads;
    const deep = range(300, 301, { rank: 2 });
    table.insert(deep[0]!);
    for (const place of placesOf(deep)) await scheduler.look(place);
    expect(table.reads).to.equal(before);
  });

  it('tells of a place for each queue and rank', () => {
    const rank = 3;
    const tasks = [
      ...range(1, 4, { rank }),
      readyTask(9),
      ...range(4, 6, { rank }),
      readyTask(8, { rank, principal: 'bob' }),
    ];
    expect(placesOf(tasks).map(({ count, last }) => [count, parseInt(last.slice(-12), 16)])).to.deep.equal([
      [5, 5],
      [1, 9],
      [1, 8],
    ]);
  });

  it('puts an offered task of smaller rank before what is held', async () => {
    const { scheduler } = await setup(range(1, 4));
    scheduler.offer([readyTask(9, { rank: 0 })]);
    expect(ids(scheduler.take(2, anything, anything))).to.deep.equal([9, 1]);
  });

  it('keeps the order over the requirements of one source', async () => {
    const { scheduler } = await setup([...range(1, 3), readyTask(3, { requirement: 2, rank: 0 })]);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([3, 1, 2]);
  });

  it('gives principals turns, whatever the rank', async () => {
    const { scheduler } = await setup([...range(1, 5), ...range(100, 103, { principal: 'bob' })]);
    const taken = scheduler.take(6, anything, anything);
    expect(taken.map(({ principal }) => principal)).to.deep.equal(['alice', 'bob', 'alice', 'bob', 'alice', 'bob']);
  });

  it('gives the sources of one principal turns, which cost another principal none', async () => {
    const { scheduler } = await setup([
      ...range(1, 5, { source: 'nightly' }),
      ...range(10, 15, { source: 'urgent' }),
      ...range(20, 30, { principal: 'bob' }),
    ]);
    const taken = scheduler.take(8, anything, anything);
    expect(taken.filter(({ principal }) => principal === 'bob')).to.have.length(4);
    expect(taken.filter(({ source }) => source === 'nightly')).to.have.length(2);
    expect(taken.filter(({ source }) => source === 'urgent')).to.have.length(2);
  });

  it('goes on with the turns in the next call', async () => {
    const { scheduler } = await setup([...range(1, 5), ...range(100, 105, { principal: 'bob' })]);
    const taken = [1, 2, 3, 4].flatMap(() => scheduler.take(1, anything, anything));
    expect(taken.map(({ principal }) => principal)).to.deep.equal(['alice', 'bob', 'alice', 'bob']);
  });

  it('passes the turn of whoever has nothing that the node can run', async () => {
    const { scheduler } = await setup([...range(1, 3, { requirement: 2 }), ...range(10, 13, { principal: 'bob' })]);
    expect(ids(scheduler.take(10, (requirement) => requirement === 1, anything))).to.deep.equal([10, 11, 12]);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([1, 2]);
  });

  it('keeps single tasks that may not run here, in their place', async () => {
    const { scheduler } = await setup(range(1, 5));
    expect(ids(scheduler.take(10, anything, ({ task_id }) => task_id !== taskId(1)))).to.deep.equal([2, 3, 4]);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([1]);
  });

  it('looks at so many in vain and no more', async () => {
    const { scheduler } = await setup(range(1, 3000));
    let looks = 0;
    scheduler.take(10, anything, () => ++looks < 0);
    expect(looks).to.be.at.most(1001);
    expect(scheduler.take(3000, anything, anything)).to.have.length(2999);
  });

  it('does not let 100,000 queued of one principal delay the first of another', async () => {
    const { scheduler, table } = await setup(range(0, 100_000));
    const late = readyTask(200_000, { principal: 'bob' });
    table.insert(late);
    scheduler.offer([late]);
    await scheduler.refill();
    expect(ids(scheduler.take(2, anything, anything))).to.include(200_000);
  });

  it('does not hand out twice what is out, nor what was dispatched', async () => {
    const { scheduler, table } = await setup(range(1, 4));
    const taken = scheduler.take(2, anything, anything);
    scheduler.offer(taken);
    await scheduler.resync();
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([3]);
    for (const task of taken) table.remove(task.task_id);
    scheduler.forget(taken);
    await scheduler.resync();
    expect(scheduler.take(10, anything, anything)).to.deep.equal([]);
  });

  it('hands out again what was put back, and drops it where it ended meanwhile', async () => {
    const { scheduler } = await setup(range(1, 3));
    const taken = scheduler.take(2, anything, anything);
    scheduler.forget([{ task_id: taskId(1), attempt: Number.MAX_SAFE_INTEGER }]);
    scheduler.putBack(taken);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([2]);
  });

  it('drops what ended while it was held', async () => {
    const { scheduler } = await setup(range(1, 4));
    scheduler.forget([{ task_id: taskId(2), attempt: Number.MAX_SAFE_INTEGER }]);
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([1, 3]);
  });

  it('takes a task again under its next attempt, and not under the same', async () => {
    const { scheduler } = await setup([readyTask(1)]);
    scheduler.offer([readyTask(1)]);
    expect(scheduler.held).to.equal(1);
    const first = scheduler.take(10, anything, anything);
    scheduler.forget(first);
    scheduler.offer([readyTask(1, { attempt: 1 })]);
    expect(scheduler.take(10, anything, anything).map(({ attempt }) => attempt)).to.deep.equal([1]);
  });

  it('holds a bounded part of a long queue and reads on from there', async () => {
    const { scheduler, table } = await setup(range(0, 30_000));
    expect(scheduler.held).to.be.within(1, 5000);
    const seen: number[] = [];
    for (let round = 0; seen.length < 30_000 && round < 100; round++) {
      const taken = scheduler.take(1000, anything, anything);
      for (const { task_id } of taken) table.remove(task_id);
      scheduler.forget(taken);
      seen.push(...ids(taken));
      await scheduler.refill();
      expect(scheduler.held).to.be.at.most(5000);
    }
    expect(seen).to.deep.equal(Array.from({ length: 30_000 }, (_, i) => i));
  });

  it('does not hold more for being offered more', async () => {
    const { scheduler } = await setup();
    scheduler.offer([readyTask(0)]);
    await scheduler.refill();
    scheduler.offer(range(1, 30_000));
    expect(scheduler.held).to.be.at.most(20_000);
  });

  it('goes on holding what it is offered after a resync that did not read as far as it holds', async () => {
    const { scheduler, table } = await setup([readyTask(9)]);
    table.remove(readyTask(9).task_id);
    scheduler.forget(scheduler.take(1, anything, anything));
    const own = range(10, 10_000);
    for (const task of own) table.insert(task);
    scheduler.offer(own);
    table.insert(readyTask(1));
    await scheduler.resync();
    scheduler.offer(range(10_000, 12_000));
    expect(scheduler.held).to.equal(12_000 - 10 + 1);
    expect(ids(scheduler.take(12_000, anything, anything))).to.deep.equal([
      1,
      ...Array.from({ length: 12_000 - 10 }, (_, i) => i + 10),
    ]);
  });

  it('holds a bounded number over many queues', async () => {
    const rows = Array.from({ length: 320 }, (_, i) => range(i * 100, i * 100 + 70, { source: `job ${i}` })).flat();
    const { scheduler } = await setup(rows);
    expect(scheduler.held).to.be.at.most(320 * 64);
  });

  it('finds by a resync what another process has queued before what it has read', async () => {
    const { scheduler, table } = await setup(range(10, 13));
    table.insert(readyTask(1));
    expect(await scheduler.refill()).to.equal(false);
    await scheduler.resync();
    expect(ids(scheduler.take(1, anything, anything))).to.deep.equal([1]);
  });

  it('does not offer again, after a read, what came and was dispatched during it', async () => {
    const { scheduler, table } = await setup([readyTask(1)]);
    const release = table.holdReads();
    const reading = scheduler.resync();
    await table.started();
    const task = readyTask(2);
    table.insert(task);
    scheduler.offer([task]);
    const taken = scheduler.take(10, anything, anything);
    expect(ids(taken)).to.deep.equal([1, 2]);
    for (const { task_id } of taken) table.remove(task_id);
    scheduler.forget(taken);
    release();
    await reading;
    expect(scheduler.take(10, anything, anything)).to.deep.equal([]);
  });

  it('holds what came during a read that did not see it', async () => {
    const table = new QueueTable([readyTask(1)]);
    const scheduler = new TaskScheduler(table.read);
    scheduler.discover(table.keys());
    const release = table.holdReads();
    const reading = scheduler.refill();
    await table.started();
    scheduler.offer([readyTask(2)]);
    release();
    await reading;
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([1, 2]);
  });

  it('goes on after a read that failed', async () => {
    const { scheduler, table } = await setup([readyTask(1)]);
    table.failNext(new Error('gone'));
    const failure = await scheduler.resync().catch((error: unknown) => error);
    expect(failure).to.have.property('message', 'gone');
    table.insert(readyTask(0));
    await scheduler.resync();
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([0, 1]);
  });

  it('lets go of queues that are empty, and takes them up again', async () => {
    const rows = Array.from({ length: 300 }, (_, i) => readyTask(i, { source: `job ${i}` }));
    const { scheduler, table } = await setup(rows);
    const taken = scheduler.take(299, anything, anything);
    for (const { task_id } of taken) table.remove(task_id);
    scheduler.forget(taken);
    await scheduler.resync();
    await scheduler.resync();
    const again = readyTask(1000, { source: 'job 7' });
    table.insert(again);
    scheduler.discover(table.keys());
    await scheduler.refill();
    expect(ids(scheduler.take(10, anything, anything))).to.have.members([299, 1000]);
  });

  it('loses nothing that a read finds of a queue that was let go of since it began', async () => {
    const { scheduler, table } = await setup();
    const keys = Array.from({ length: 257 }, (_, i) => ({ requirement: 1, principal: 'alice', source: `job ${i}` }));
    scheduler.discover(keys);
    // Both go through the queues by turns: the resync is done, and lets go of empty ones, while the refill is at the last.
    const resynced = scheduler.resync();
    const refilled = scheduler.refill();
    table.afterReads(511, () => table.insert(readyTask(1, { source: 'job 255' })));
    await Promise.all([resynced, refilled]);
    scheduler.discover(table.keys());
    await scheduler.resync();
    await scheduler.resync();
    expect(ids(scheduler.take(10, anything, anything))).to.deep.equal([1]);
  });
});
