import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { cancelTask } from '../../src/tasks/cancel.ts';
import { lockLiveTask } from '../../src/tasks/command.ts';
import { endQueuedTasks } from '../../src/tasks/end-queued.ts';
import { readAttempts, readResult } from '../../src/tasks/read-result.ts';
import { readTask } from '../../src/tasks/read-tasks.ts';
import { redriveTask } from '../../src/tasks/redrive.ts';
import { settleTask, type SettleRequest } from '../../src/tasks/settle.ts';
import type { Answer } from '../../src/tasks/submit-commit.ts';
import { readTimeline } from '../../src/tasks/timeline.ts';
import { destructiveTask, noopTask, openRooms, principalWith, type Order, type Rooms } from './rooms.ts';

const reasonFrom = (error: unknown): string => (error instanceof AppError ? error.reason : 'no AppError');
const unknownId = '01890000-0000-7000-8000-000000000001';

describe('commands on tasks', () => {
  let rooms: Rooms;

  before(async () => {
    rooms = await openRooms();
  });

  after(() => rooms.close());

  const one = async (task: object = noopTask): Promise<string> => (await rooms.submit([task]))[0]?.task_id ?? '';
  const state = async (id: string): Promise<string> => (await readTask(rooms.database, id)).state;
  const lastRecord = async () => (await rooms.records()).at(-1);
  const open = async (manifest: string): Promise<number | undefined> =>
    (await rooms.database.query<{ open: number }>('select open from manifests where jti = $1', [manifest])).rows[0]
      ?.open;

  async function reasonOf(work: Promise<Answer>): Promise<string> {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return error instanceof AppError ? error.reason : `no failure: ${String(error)}`;
  }

  async function inDoubt(): Promise<Order> {
    const [order] = await rooms.dispatch([await one(destructiveTask)]);
    if (order === undefined) throw new Error('no order');
    await rooms.move(order, 'in_doubt');
    return order;
  }

  describe('cancel', () => {
    it('ends a queued and a waiting task at once, by a record with the reason', async () => {
      for (const id of [await one(), await one({ ...noopTask, run_at: new Date(Date.now() + 60_000).toISOString() })]) {
        const answer = await cancelTask(rooms.command(id), { reason: 'not needed' }, rooms.commands);
        expect(answer.status).to.equal(202);
        expect(JSON.parse(answer.body.toString())).to.include({
          task_id: id,
          state: 'cancelled',
          reason: 'cancelled_by_request',
        });
        expect(rooms.told.ended).to.include(id);
        expect(await lastRecord()).to.deep.include({
          type: 'task.cancel',
          outcome: 'success',
          data: { requested: false, reason: 'not needed' },
        });
        expect((await readResult(rooms.database, id)).status).to.equal('cancelled');
        expect(await readAttempts(rooms.database, id)).to.deep.equal([]);
      }
    });

    it('asks the node of a dispatched task to stop, once however often it is asked', async () => {
      const id = await one();
      const [order] = await rooms.dispatch([id]);
      for (let i = 0; i < 2; i++) {
        const answer = await cancelTask(rooms.command(id), {}, rooms.commands);
        expect(JSON.parse(answer.body.toString())).to.include({ state: 'dispatched' });
      }
      const requests = await rooms.database.query(
        'select task_id, attempt, node_id from cancel_requests where task_id = $1',
        [id],
      );
      expect(requests.rows).to.deep.equal([{ task_id: id, attempt: 1, node_id: order?.node_id }]);
      expect(rooms.told.cancelRequested).to.include(id);
      expect((await lastRecord())?.data).to.deep.equal({ requested: true, attempt: 1 });
    });

    it('refuses tasks that have ended, are in doubt, or are none', async () => {
      const id = await one();
      await rooms.end(await rooms.dispatch([id]), 'succeeded');
      expect(await reasonOf(cancelTask(rooms.command(id), {}, rooms.commands))).to.equal('already_ended');
      const { task_id } = await inDoubt();
      expect(await reasonOf(cancelTask(rooms.command(task_id), {}, rooms.commands))).to.equal('in_doubt');
      expect(await reasonOf(cancelTask(rooms.command(unknownId), {}, rooms.commands))).to.equal('task_not_found');
      expect(await reasonOf(cancelTask(rooms.command('%'), {}, rooms.commands))).to.equal('task_not_found');
    });

    it('ends a task once when ten call at once', async () => {
      const id = await one();
      const answers = await Promise.all(
        Array.from({ length: 10 }, () =>
          cancelTask(rooms.command(id), {}, rooms.commands).then(() => 'done', reasonFrom),
        ),
      );
      expect(answers.filter((answer) => answer === 'done')).to.have.length(1);
      expect(answers.filter((answer) => answer === 'already_ended')).to.have.length(9);
    });

    it('waits for whoever holds the task, and decides by what they left', async () => {
      const id = await one();
      let waiting: Promise<string> = Promise.resolve('');
      await rooms.database.transaction(async (tx) => {
        const live = await lockLiveTask(tx, id);
        if (live === undefined) throw new Error('the task is not live');
        waiting = reasonOf(cancelTask(rooms.command(id), {}, rooms.commands));
        const blocked = 'select from pg_locks where not granted';
        while ((await rooms.database.query(blocked)).rowCount === 0);
        const record = { type: 'task.cancel', outcome: 'success' as const };
        await endQueuedTasks(tx, rooms.audit, [live], { state: 'cancelled', reason: 'test', record });
      });
      expect(await waiting).to.equal('already_ended');
    });

    it('answers equal calls with one key alike, though only the first found it queued', async () => {
      const id = await one();
      const command = { ...rooms.command(id), idempotency: { key: 'cancel-1', bodySha256: Buffer.alloc(32, 1) } };
      const answers = await Promise.all(Array.from({ length: 10 }, () => cancelTask(command, {}, rooms.commands)));
      expect(new Set(answers.map(({ body }) => body.toString())).size).to.equal(1);
      expect(answers.filter(({ replayed }) => !replayed)).to.have.length(1);
      expect(rooms.told.ended.filter((ended) => ended === id)).to.have.length(1);
      const other = { ...command, idempotency: { key: 'cancel-1', bodySha256: Buffer.alloc(32, 2) } };
      expect(await reasonOf(cancelTask(other, {}, rooms.commands))).to.equal('idempotency_conflict');
    });

    it('keeps no key of a call that failed', async () => {
      const command = { ...rooms.command(unknownId), idempotency: { key: 'failed', bodySha256: Buffer.alloc(32) } };
      expect(await reasonOf(cancelTask(command, {}, rooms.commands))).to.equal('task_not_found');
      const kept = await rooms.database.query(`select from idempotency_keys where key = 'failed'`);
      expect(kept.rowCount).to.equal(0);
    });
  });

  describe('redrive', () => {
    it('queues a failed task again under its next attempt, with no tries counted', async () => {
      const id = await one({ ...noopTask, priority: 100 });
      await rooms.end(await rooms.dispatch([id]), 'failed');
      const answer = await redriveTask(rooms.command(id), { reason: 'fixed' }, rooms.commands);
      expect(JSON.parse(answer.body.toString())).to.include({
        state: 'queued',
        reason: 'redriven',
        attempt: 1,
        tries: 0,
        ended_at: null,
      });
      expect(rooms.told.queued).to.include(id);
      expect(await lastRecord()).to.deep.include({
        type: 'task.redrive',
        data: { from_state: 'failed', attempt: 1, reason: 'fixed' },
      });
      const [order] = await rooms.dispatch([id]);
      expect(order?.attempt).to.equal(2);
      if (order !== undefined) await rooms.end([order], 'succeeded');
      expect(await readTask(rooms.database, id)).to.include({ state: 'succeeded', attempt: 2, tries: 1 });
      expect((await readAttempts(rooms.database, id)).map(({ status }) => status)).to.deep.equal([
        'failed',
        'succeeded',
      ]);
    });

    it('keeps a bound that still lies ahead, and drops one that has passed', async () => {
      const id = await one({ ...noopTask, expires_at: new Date(Date.now() + 60_000).toISOString() });
      const bound = async () =>
        (await rooms.database.query<{ at: Date | null }>('select expires_at as at from queue where task_id = $1', [id]))
          .rows[0]?.at;
      await cancelTask(rooms.command(id), {}, rooms.commands);
      await redriveTask(rooms.command(id), {}, rooms.commands);
      expect(await bound()).to.be.instanceOf(Date);
      await cancelTask(rooms.command(id), {}, rooms.commands);
      await rooms.asOwner(`update tasks set expires_at = now() where task_id = $1`, [id]);
      await redriveTask(rooms.command(id), {}, rooms.commands);
      expect(await bound()).to.equal(null);
    });

    it('forgets that somebody asked to stop an earlier attempt', async () => {
      const id = await one();
      const orders = await rooms.dispatch([id]);
      await cancelTask(rooms.command(id), {}, rooms.commands);
      await rooms.end(orders, 'cancelled');
      await redriveTask(rooms.command(id), {}, rooms.commands);
      expect((await rooms.database.query('select from cancel_requests where task_id = $1', [id])).rowCount).to.equal(0);
    });

    it('refuses tasks that are live or succeeded', async () => {
      const id = await one();
      expect(await reasonOf(redriveTask(rooms.command(id), {}, rooms.commands))).to.equal('not_redrivable');
      await rooms.end(await rooms.dispatch([id]), 'succeeded');
      expect(await reasonOf(redriveTask(rooms.command(id), {}, rooms.commands))).to.equal('not_redrivable');
    });

    it('needs the role that the task demands', async () => {
      const id = await one();
      await rooms.end(await rooms.dispatch([id]), 'failed');
      const weak = principalWith('weak', ['viewer']);
      expect(await reasonOf(redriveTask(rooms.command(id, weak), {}, rooms.commands))).to.equal('role_missing');
      expect(await state(id)).to.equal('failed');
    });

    it('lets one of ten calls at once win', async () => {
      const id = await one();
      await rooms.end(await rooms.dispatch([id]), 'failed');
      const answers = await Promise.all(
        Array.from({ length: 10 }, () =>
          redriveTask(rooms.command(id), {}, rooms.commands).then(() => 'done', reasonFrom),
        ),
      );
      expect(answers.sort()).to.deep.equal(['done', ...Array<string>(9).fill('not_redrivable')]);
    });
  });

  describe('settle', () => {
    for (const as of ['succeeded', 'failed'] as const) {
      it(`ends a task in doubt as ${as}, and its manifest is no longer open`, async () => {
        const order = await inDoubt();
        const answer = await settleTask(rooms.command(order.task_id), { as, reason: 'looked' }, rooms.commands);
        expect(JSON.parse(answer.body.toString())).to.include({ state: as, reason: 'settled', attempt: 1 });
        expect(await open(order.manifest)).to.equal(0);
        expect(rooms.told.ended).to.include(order.task_id);
        expect(await lastRecord()).to.deep.include({ type: 'task.settle', data: { as, attempt: 1, reason: 'looked' } });
        expect(await readResult(rooms.database, order.task_id)).to.include({ status: 'lost', state: as });
      });
    }

    it('runs it again under the next attempt, keeping the lost one', async () => {
      const order = await inDoubt();
      await settleTask(rooms.command(order.task_id), { as: 'run_again', reason: 'it did not run' }, rooms.commands);
      expect(await readTask(rooms.database, order.task_id)).to.include({ state: 'queued', attempt: 1, node_id: null });
      expect(await open(order.manifest)).to.equal(0);
      expect(rooms.told.queued).to.include(order.task_id);
      const [again] = await rooms.dispatch([order.task_id]);
      expect(again?.attempt).to.equal(2);
      expect(
        (await readAttempts(rooms.database, order.task_id)).map(({ attempt, status }) => [attempt, status]),
      ).to.deep.equal([
        [1, 'lost'],
        [2, null],
      ]);
    });

    it('refuses tasks that are not in doubt, and work again without its role', async () => {
      const settle = (id: string, request: SettleRequest, by?: Parameters<Rooms['command']>[1]) =>
        reasonOf(settleTask(rooms.command(id, by), request, rooms.commands));
      expect(await settle(await one(), { as: 'failed', reason: 'x' })).to.equal('not_in_doubt');
      expect(await settle(unknownId, { as: 'failed', reason: 'x' })).to.equal('task_not_found');
      const { task_id } = await inDoubt();
      const weak = principalWith('weak', ['viewer']);
      expect(await settle(task_id, { as: 'run_again', reason: 'x' }, weak)).to.equal('role_missing');
      expect(await state(task_id)).to.equal('in_doubt');
    });
  });

  it('leaves a timeline that the log tells', async () => {
    const id = await one();
    await rooms.end(await rooms.dispatch([id]), 'failed');
    await redriveTask(rooms.command(id), { reason: 'once more' }, rooms.commands);
    await cancelTask(rooms.command(id), { reason: 'enough' }, rooms.commands);
    expect(await readTimeline(rooms.database, id)).to.deep.equal([]);
    await rooms.sequence();
    const entries = await readTimeline(rooms.database, id);
    expect(entries.map(({ type, note }) => [type, note])).to.deep.equal([
      ['task.submit', null],
      ['manifest.issue', null],
      ['task.redrive', 'once more'],
      ['task.cancel', 'enough'],
    ]);
    expect(entries[0]).to.include({ actor: 'root', outcome: 'allow', request_id: 'test' });
    expect(entries[1]?.manifest_sha256).to.match(/^[0-9a-f]{64}$/);
  });
});
