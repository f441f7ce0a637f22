import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import type { TaskState } from '../../src/domain/task-state.ts';
import { cancelTask } from '../../src/tasks/cancel.ts';
import { redriveTask } from '../../src/tasks/redrive.ts';
import { writeCursor } from '../../src/tasks/list-cursor.ts';
import type { TaskFilters } from '../../src/tasks/read-sql.ts';
import { deadLetters, listTasks, readTask } from '../../src/tasks/read-tasks.ts';
import { noopTask, openRooms, principalWith, type Rooms } from './rooms.ts';

const unknownId = '01890000-0000-7000-8000-000000000001';

async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(AppError);
  return error as AppError;
}

describe('reading tasks', () => {
  let rooms: Rooms;

  before(async () => {
    rooms = await openRooms();
  });

  after(() => rooms.close());

  it('tells a task in each state it passes', async () => {
    const [task] = await rooms.submit([
      { ...noopTask, tags: ['x'], labels: { a: 'b' }, constraints: { rack: '1' }, retry: { initial_s: 0.1 } },
    ]);
    const id = task?.task_id ?? '';
    expect(await readTask(rooms.database, id)).to.deep.include({
      ...task,
      updated_at: (await readTask(rooms.database, id)).updated_at,
    });
    const orders = await rooms.dispatch([id]);
    const dispatched = await readTask(rooms.database, id);
    expect(dispatched).to.include({
      state: 'dispatched',
      attempt: 1,
      tries: 1,
      node_id: orders[0]?.node_id,
      ended_at: null,
    });
    expect(dispatched.manifest_sha256).to.match(/^[0-9a-f]{64}$/);
    await rooms.end(orders, null, { reason: 'timed_out' });
    expect(await readTask(rooms.database, id)).to.include({ state: 'queued', attempt: 1, tries: 1, node_id: null });
    await rooms.end(await rooms.dispatch([id]), 'succeeded');
    expect(await readTask(rooms.database, id)).to.include({
      state: 'succeeded',
      attempt: 2,
      tries: 2,
      started_at: '2026-01-01T00:00:00.000Z',
      ended_at: '2026-01-01T00:00:01.000Z',
    });
  });

  it('fails for ids that no task has, and for what is no id', async () => {
    for (const id of [unknownId, 'x', `${unknownId}'`, unknownId.toUpperCase()]) {
      expect((await failureOf(readTask(rooms.database, id))).reason).to.equal('task_not_found');
    }
  });
});

describe('lists of tasks', () => {
  let rooms: Rooms;
  let ids: string[];

  const list = async (filters: TaskFilters): Promise<number[]> => {
    const page = await listTasks(rooms.database, filters, undefined, 100);
    expect(page.next_cursor).to.equal(null);
    return page.items.map(({ task_id }) => ids.indexOf(task_id));
  };

  before(async () => {
    rooms = await openRooms();
    const other = principalWith('other', ['admin']);
    const far = new Date(Date.now() + 3_600_000).toISOString();
    ids = [
      ...(await rooms.submit([
        noopTask,
        { ...noopTask, run_at: far },
        { ...noopTask, source: 'siem', tags: ['red', 'blue'] },
        { ...noopTask, labels: { env: 'prod', team: 'a' } },
        { ...noopTask },
        { ...noopTask },
        { ...noopTask },
        { ...noopTask },
      ])),
      ...(await rooms.submit([{ tool: 'dns', action: 'lookup', payload: { name: 'example.org' } }], other)),
    ].map(({ task_id }) => task_id);
    const [, , , , dispatched = '', succeeded = '', failed = '', doubtful = ''] = ids;
    await rooms.dispatch([dispatched]);
    await rooms.end(await rooms.dispatch([succeeded]), 'succeeded');
    await rooms.end(await rooms.dispatch([failed]), 'failed', { error: { code: 'refused', message: 'no' } });
    const [order] = await rooms.dispatch([doubtful]);
    if (order !== undefined) await rooms.move(order, 'in_doubt');
  });

  after(() => rooms.close());

  it('shows the newest first', async () => {
    expect(await list({})).to.deep.equal([8, 7, 6, 5, 4, 3, 2, 1, 0]);
  });

  it('narrows to each state', async () => {
    const expected: Record<TaskState, number[]> = {
      waiting: [1],
      queued: [8, 3, 2, 0],
      dispatched: [4],
      running: [],
      in_doubt: [7],
      succeeded: [5],
      failed: [6],
      cancelled: [],
      expired: [],
    };
    for (const [state, wanted] of Object.entries(expected))
      expect(await list({ state: state as TaskState }), state).to.deep.equal(wanted);
  });

  it('narrows by what was submitted', async () => {
    expect(await list({ source: 'siem' })).to.deep.equal([2]);
    expect(await list({ tool: 'dns' })).to.deep.equal([8]);
    expect(await list({ tool: 'noop', action: 'run', requested_by: 'other' })).to.deep.equal([]);
    expect(await list({ requested_by: 'other' })).to.deep.equal([8]);
    expect(await list({ tag: 'blue' })).to.deep.equal([2]);
    expect(await list({ labels: { env: 'prod' } })).to.deep.equal([3]);
    expect(await list({ labels: { env: 'prod', team: 'b' } })).to.deep.equal([]);
    expect(await list({ state: 'queued', labels: { env: 'prod' } })).to.deep.equal([3]);
  });

  it('narrows by the time of creation, to the millisecond', async () => {
    const { created_at } = await readTask(rooms.database, ids[8] ?? '');
    const at = new Date(created_at);
    expect(await list({ created_from: at })).to.include(8);
    expect(await list({ created_from: new Date(at.getTime() + 1) })).to.deep.equal([]);
    expect(await list({ created_to: at })).not.to.include(8);
    expect(await list({ created_from: new Date(0), created_to: new Date(8.64e15) })).to.have.length(9);
  });

  it('shows a redriven task in its new state alone', async () => {
    const [task] = await rooms.submit([noopTask]);
    const id = task?.task_id ?? '';
    await rooms.end(await rooms.dispatch([id]), 'failed');
    await rooms.database.query(`insert into queue (task_id, state, attempt, requirement, principal, source, rank)
      select task_id, 'queued', 1, requirement, requested_by, source, 0 from tasks where task_id = '${id}'`);
    const failed = await listTasks(rooms.database, { state: 'failed' }, undefined, 100);
    expect(failed.items.map(({ task_id }) => task_id)).not.to.include(id);
    await rooms.end(await rooms.dispatch([id]), 'failed');
    const again = await listTasks(rooms.database, { state: 'failed' }, undefined, 100);
    expect(again.items.filter(({ task_id }) => task_id === id)).to.have.length(1);
    expect(again.items.find(({ task_id }) => task_id === id)).to.include({ attempt: 2, tries: 1 });
    await redriveTask(rooms.command(id), {}, rooms.commands);
    await cancelTask(rooms.command(id), {}, rooms.commands);
    const inState = async (state: TaskState): Promise<string[]> =>
      (await listTasks(rooms.database, { state }, undefined, 100)).items.map(({ task_id }) => task_id);
    expect(await inState('failed')).not.to.include(id);
    expect(await inState('cancelled')).to.deep.equal([id]);
  });

  it('goes on by cursors, and new tasks move nothing', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listTasks(rooms.database, { state: 'queued' }, cursor, 2);
      seen.push(...page.items.map(({ task_id }) => task_id));
      if (seen.length === 2) await rooms.submit([noopTask, noopTask]);
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).to.deep.equal([8, 3, 2, 0].map((i) => ids[i]));
  });

  it('gives fewer at once where payloads are large, and leaves none out', async () => {
    const large = { ...noopTask, source: 'large', payload: { output: 'x'.repeat(131_072) } };
    for (let i = 0; i < 4; i++) await rooms.submit(Array.from({ length: 10 }, () => large));
    const sizes: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await listTasks(rooms.database, { source: 'large' }, cursor, 100);
      sizes.push(page.items.length);
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(sizes).to.deep.equal([32, 8]);
  });

  it('refuses cursors that it did not make', async () => {
    const made = [
      '',
      'x',
      '=',
      writeCursor('records', 3),
      writeCursor('dead_letters', unknownId),
      writeCursor('tasks', 'x'),
      writeCursor('tasks', 3),
    ];
    for (const cursor of [...made, 'A'.repeat(600), `${writeCursor('tasks', unknownId)}A`]) {
      expect((await failureOf(listTasks(rooms.database, {}, cursor, 10))).reason, cursor).to.equal('invalid_cursor');
    }
  });

  it('lists dead letters with their last error', async () => {
    const page = await deadLetters(rooms.database, undefined, 100);
    expect(page.items.find(({ task }) => task.task_id === ids[6])?.error).to.deep.equal({
      code: 'refused',
      message: 'no',
    });
    expect(page.items.every(({ task }) => task.state === 'failed')).to.equal(true);
  });
});

describe('plans of lists', () => {
  let rooms: Rooms;

  before(async () => {
    rooms = await openRooms();
  });

  after(() => rooms.close());

  it('touch few rows for a page, whatever the state, on tables that nobody has analysed', async () => {
    const [seed] = await rooms.submit([noopTask]);
    await rooms.database.query(`alter table queue set (autovacuum_enabled = false)`).catch(() => undefined);
    await rooms.database.query(
      `insert into tasks select gen.id, t.source, t.tool, t.action, t.tool_digest, t.effects, t.payload, t.payload_sha256, t.task_sha256,
              t.required_role, t.scope, t.priority, t.run_at, t.expires_at, t.timeout_s, t.max_attempts, t.retry_initial_s, t.retry_max_s,
              t.affinity, t.requirement, t.tags, t.labels, t.traceparent, t.requested_by, t.credential_id, t.record_id, t.created_at
         from tasks t, (select ('0190' || lpad(to_hex(i), 4, '0') || '-0000-7000-8000-000000000000')::uuid as id from generate_series(1, 20000) i) gen
        where t.task_id = $1`,
      [seed?.task_id],
    );
    await rooms.database.query(
      `insert into results (task_id, attempt, state, status, record_id)
       select task_id, 1, case when n % 100 = 0 then 'failed' else 'succeeded' end, 'failed', task_id
         from (select task_id, row_number() over () as n from tasks where task_id <> $1) t`,
      [seed?.task_id],
    );
    for (const state of ['succeeded', 'failed', 'queued', 'dispatched', undefined] as const) {
      const started = performance.now();
      const page = await listTasks(rooms.database, state === undefined ? {} : { state }, undefined, 100);
      const elapsed = performance.now() - started;
      expect(page.items.length, state).to.equal(state === 'queued' ? 1 : state === 'dispatched' ? 0 : 100);
      // A plan that compares each with each takes minutes here.
      expect(elapsed, state).to.be.below(2000);
    }
  });
});
