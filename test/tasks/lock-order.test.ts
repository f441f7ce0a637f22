/** Calls that move the same tasks at once wait for each other, and never stand in each other's way. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { moveCall, moveColumns, type Move } from '../../src/tasks/transition.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { noopTask, openRooms, type Order, type Rooms } from './rooms.ts';

describe('two moves of the same tasks at once', function () {
  this.timeout(20_000);
  let rooms: Rooms;
  let orders: Order[];

  beforeEach(async () => {
    rooms = await openRooms();
    const tasks = await rooms.submit(Array.from({ length: 5 }, () => noopTask));
    orders = await rooms.dispatch(tasks.map(({ task_id }) => task_id).sort());
  });

  afterEach(async () => {
    await rooms.close();
  });

  function move(moves: readonly Move[]): Promise<unknown> {
    return rooms.database.query({ text: `select ${moveCall(1)}`, values: moveColumns(moves) });
  }

  function moveOf(n: number, to: Move['to']): Move {
    const { task_id = '', attempt = 0 } = orders[n] ?? {};
    return { task_id, attempt, to };
  }

  /** Both while a third holds the task in the middle, the second once the first waits; what became of them. */
  async function both(first: readonly Move[], second: readonly Move[]): Promise<string[]> {
    let running: Promise<PromiseSettledResult<unknown>[]> | undefined;
    await rooms.database.transaction(async (tx) => {
      await tx.query({ text: 'select from queue where task_id = $1 for update', values: [orders[2]?.task_id] });
      const one = move(first);
      one.catch(() => undefined);
      await untilWaiting(1);
      const other = move(second);
      running = Promise.allSettled([one, other]);
      await untilWaiting(2);
    });
    return ((await running) ?? []).map((result) =>
      result.status === 'fulfilled' ? 'moved' : ((result.reason as { reason?: string }).reason ?? 'not legal any more'),
    );
  }

  function untilWaiting(count: number): Promise<true> {
    return eventually(async () => {
      const { rows } = await rooms.database.query<{ n: number }>(
        'select count(distinct pid)::int as n from pg_locks where not granted',
      );
      return rows[0]?.n === count ? true : undefined;
    });
  }

  it('ends some tasks and puts others back in one order of locks', async () => {
    const running = [0, 1, 2, 3, 4].map((n) => moveOf(n, 'running'));
    const answered = [moveOf(0, 'succeeded'), moveOf(4, 'queued')];
    expect(await both(running, answered)).to.deep.equal(['moved', 'moved']);
  });

  it('takes the tasks in the order of their ids, whatever the order that is asked for', async () => {
    const running = [0, 1, 2, 3, 4].map((n) => moveOf(n, 'running'));
    const ended = [4, 3, 1, 0].map((n) => moveOf(n, 'failed'));
    expect(await both(running, ended)).to.deep.equal(['moved', 'moved']);
  });
});
