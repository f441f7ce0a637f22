import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { noopTask, openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('submitting over HTTP', () => {
  let door: DoorFixture;
  let token: string;

  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['operator'], name: 'siem' });
  });

  after(() => door.close());

  const countTasks = async (): Promise<number> =>
    (await door.database.query<{ n: number }>('select count(*) as n from tasks')).rows[0]?.n ?? 0;

  it('accepts a task, tells where it is, and records it', async () => {
    const answer = await door.call('POST', '/api/v1/tasks', {
      token,
      body: { ...noopTask, priority: 70, tags: ['a'] },
    });
    expect(answer.status).to.equal(202);
    expect(answer.body).to.include({ state: 'queued', requested_by: 'siem', source: 'siem', priority: 70, attempt: 0 });
    expect(answer.headers.get('location')).to.equal(`/api/v1/tasks/${answer.body.task_id}`);
    const read = await door.call('GET', answer.headers.get('location') ?? '', { token });
    expect(read.status).to.equal(200);
    expect(read.body).to.deep.equal({ ...answer.body, updated_at: read.body.updated_at });
    expect((await door.records()).filter(({ type }) => type === 'task.submit')).to.have.length(1);
  });

  it('answers twenty equal calls at once with one task', async () => {
    const before = await countTasks();
    const call = () =>
      door.call('POST', '/api/v1/tasks', { token, body: noopTask, headers: { 'Idempotency-Key': 'twenty' } });
    const answers = await Promise.all(Array.from({ length: 20 }, call));
    expect(new Set(answers.map(({ text }) => text)).size).to.equal(1);
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([202]));
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).to.have.length(19);
    expect(await countTasks()).to.equal(before + 1);
  });

  it('refuses a key that was used for another body or another path', async () => {
    const headers = { 'Idempotency-Key': 'reused' };
    expect((await door.call('POST', '/api/v1/tasks', { token, body: noopTask, headers })).status).to.equal(202);
    const other = await door.call('POST', '/api/v1/tasks', { token, body: { ...noopTask, priority: 1 }, headers });
    expect([other.status, other.body.code]).to.deep.equal([409, 'idempotency_conflict']);
    const path = await door.call('POST', '/api/v1/tasks/batch', { token, body: { tasks: [noopTask] }, headers });
    expect([path.status, path.body.code]).to.deep.equal([409, 'idempotency_conflict']);
  });

  it('keeps keys of different principals apart', async () => {
    const other = await door.token({ roles: ['operator'] });
    const headers = { 'Idempotency-Key': 'shared' };
    const [one, two] = [
      await door.call('POST', '/api/v1/tasks', { token, body: noopTask, headers }),
      await door.call('POST', '/api/v1/tasks', { token: other, body: noopTask, headers }),
    ];
    expect(one.body.task_id).not.to.equal(two.body.task_id);
  });

  it('refuses a key that is no visible ASCII', async () => {
    for (const key of ['', 'a b', 'x'.repeat(256)]) {
      const answer = await door.call('POST', '/api/v1/tasks', {
        token,
        body: noopTask,
        headers: { 'Idempotency-Key': key },
      });
      expect([answer.status, answer.body.code], key).to.deep.equal([400, 'invalid_idempotency_key']);
    }
  });

  it('gives each item of a batch its own outcome, in order', async () => {
    const before = await countTasks();
    const tasks = [
      noopTask,
      { tool: 'nothing', action: 'run' },
      { ...noopTask, unknown: 1 },
      7,
      { ...noopTask, priority: 9 },
    ];
    const answer = await door.call('POST', '/api/v1/tasks/batch', { token, body: { tasks } });
    expect(answer.status).to.equal(202);
    const outcomes = answer.body.results.map((r) => r.task?.state ?? r.error?.code);
    expect(outcomes).to.deep.equal(['queued', 'unknown_tool', 'invalid_task', 'invalid_task', 'queued']);
    expect(answer.body.results[4]?.task?.priority).to.equal(9);
    expect(await countTasks()).to.equal(before + 2);
  });

  it('accepts all or nothing of an atomic batch', async () => {
    const before = await countTasks();
    const bad = await door.call('POST', '/api/v1/tasks/batch', {
      token,
      body: { tasks: [noopTask, { tool: 'nothing', action: 'run' }], atomic: true },
    });
    expect([bad.status, bad.body.code]).to.deep.equal([422, 'batch_rejected']);
    expect(bad.body.errors[0]?.path).to.equal('tasks.1');
    expect(await countTasks()).to.equal(before);
    const good = await door.call('POST', '/api/v1/tasks/batch', {
      token,
      body: { tasks: [noopTask, noopTask], atomic: true },
    });
    expect(good.body.results).to.have.length(2);
    expect(await countTasks()).to.equal(before + 2);
  });

  it('takes a batch of 1,000 and refuses one of 1,001, of none, and with unknown members', async () => {
    const tasks = Array.from({ length: 1001 }, () => noopTask);
    expect((await door.call('POST', '/api/v1/tasks/batch', { token, body: { tasks } })).body.code).to.equal(
      'invalid_batch',
    );
    expect((await door.call('POST', '/api/v1/tasks/batch', { token, body: { tasks: [] } })).body.code).to.equal(
      'invalid_batch',
    );
    const odd = await door.call('POST', '/api/v1/tasks/batch', {
      token,
      body: { tasks: [noopTask], requested_by: 'root' },
    });
    expect(odd.body.code).to.equal('invalid_batch');
    const answer = await door.call('POST', '/api/v1/tasks/batch', { token, body: { tasks: tasks.slice(1) } });
    expect(answer.body.results.filter((r) => r.task !== undefined)).to.have.length(1000);
  });

  it('plans without storing anything', async () => {
    const before = await countTasks();
    const answer = await door.call('POST', '/api/v1/tasks/plan', {
      token,
      body: { tasks: [noopTask, { tool: 'nothing', action: 'run' }] },
    });
    expect(answer.status).to.equal(200);
    const [accepted, refused] = answer.body.results;
    expect(accepted).to.include({ decision: 'accept', priority: 50 });
    expect(accepted?.claims.grant).to.include({
      tool: 'noop',
      action: 'run',
      requested_by: 'siem',
      required_role: 'operator',
    });
    expect(accepted?.candidate_nodes).to.deep.equal([]);
    expect(refused).to.deep.include({ decision: 'refuse' });
    expect(refused?.error?.code).to.equal('unknown_tool');
    expect(await countTasks()).to.equal(before);
  });

  it('changes nothing while nothing may be changed, and goes on reading and planning', async () => {
    await withDoor(
      {
        services: {
          assertWritable: () => {
            throw new AppError('unavailable', 'The log is behind.', { reason: 'log_behind', retryAfterS: 5 });
          },
        },
      },
      async (own) => {
        const admin = await own.token({ roles: ['admin'] });
        const id = '01890000-0000-7000-8000-000000000001';
        for (const [path, body] of [
          ['/tasks', noopTask],
          [`/tasks/${id}/cancel`, {}],
          ['/tokens', {}],
        ] as const) {
          const answer = await own.call('POST', `/api/v1${path}`, { token: admin, body });
          expect([answer.status, answer.body.code, answer.headers.get('retry-after')], path).to.deep.equal([
            503,
            'log_behind',
            '5',
          ]);
        }
        expect((await own.call('GET', '/api/v1/tasks', { token: admin })).status).to.equal(200);
        expect(
          (await own.call('POST', '/api/v1/tasks/plan', { token: admin, body: { tasks: [noopTask] } })).status,
        ).to.equal(200);
      },
    );
  });

  it('takes what may be run from the token and never from the body', async () => {
    const answer = await door.call('POST', '/api/v1/tasks', { token, body: { ...noopTask, requested_by: 'root' } });
    expect([answer.status, answer.body.code]).to.deep.equal([400, 'invalid_task']);
  });
});
