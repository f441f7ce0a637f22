import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { revokeToken } from '../../src/aaa/token-sql.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { cancelTask } from '../../src/tasks/cancel.ts';
import { startRig, type Rig } from './rig.ts';
import { eventually } from './eventually.ts';

const noop = (payload: Record<string, unknown> = {}, more: Record<string, unknown> = {}): object => ({
  ...{ tool: 'noop', action: 'run', payload },
  ...more,
});

describe('the life of a task', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;

  before(async () => {
    rig = await startRig();
    await rig.addNode('alpha');
    operator = await rig.principal('integration', ['operator']);
  });

  after(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  async function results(
    taskId: string,
  ): Promise<{ attempt: number; state: string | null; status: string | null; reason: string | null }[]> {
    const { rows } = await rig.database.query<{
      attempt: number;
      state: string | null;
      status: string | null;
      reason: string | null;
    }>({
      text: 'select attempt, state, status, reason from results where task_id = $1 order by attempt',
      values: [taskId],
    });
    return rows;
  }

  async function ended(taskId: string): Promise<string> {
    return eventually(async () => (await results(taskId)).find(({ state }) => state !== null)?.state ?? undefined);
  }

  it('runs hundreds of tasks of several kinds, each once', async () => {
    const items = Array.from({ length: 600 }, (_, i) =>
      noop({ output: `task ${i.toString()}` }, { priority: i % 101 }),
    );
    const tasks = await rig.submit(operator, items);
    await rig.settled();
    const { rows } = await rig.database.query<{ n: number }>({
      text: `select count(*) as n from results where task_id = any ($1::uuid[]) and state = 'succeeded'`,
      values: [tasks.map(({ task_id }) => task_id)],
    });
    expect(rows[0]?.n).to.equal(600);
  });

  it('tries again what says that it may, until its tries are used up', async () => {
    const [task] = await rig.submit(operator, [
      noop({ fail: 'retryable' }, { retry: { max_attempts: 3, initial_s: 0.05, max_s: 0.1 } }),
    ]);
    const taskId = task?.task_id ?? '';
    expect(await ended(taskId)).to.equal('failed');
    expect((await results(taskId)).map(({ attempt, state }) => [attempt, state])).to.deep.equal([
      [1, null],
      [2, null],
      [3, 'failed'],
    ]);
  });

  it('does not try again what failed for good', async () => {
    const [task] = await rig.submit(operator, [noop({ fail: true }, { retry: { max_attempts: 5 } })]);
    expect(await ended(task?.task_id ?? '')).to.equal('failed');
    expect(await results(task?.task_id ?? '')).to.have.length(1);
  });

  it('waits until a task is due', async () => {
    const dueMs = Date.now() + 700;
    const [task] = await rig.submit(operator, [noop({}, { run_at: new Date(dueMs).toISOString() })]);
    expect(await ended(task?.task_id ?? '')).to.equal('succeeded');
    expect(Date.now()).to.be.at.least(dueMs);
  });

  it('stops a task that runs when it is asked to', async () => {
    const [task] = await rig.submit(operator, [noop({ sleep_ms: 30_000 })]);
    const taskId = task?.task_id ?? '';
    await eventually(async () => {
      const { rows } = await rig.database.query({
        text: `select from queue where task_id = $1 and state <> 'queued'`,
        values: [taskId],
      });
      return rows.length > 0 || undefined;
    });
    await cancelTask({ principal: operator, taskId, requestId: 'test' }, { reason: 'not needed' }, rig.commands);
    expect(await ended(taskId)).to.equal('cancelled');
    expect((await results(taskId))[0]?.status).to.equal('cancelled');
  });

  it('ends what times out', async () => {
    const [task] = await rig.submit(operator, [
      noop({ sleep_ms: 30_000 }, { timeout_s: 1, retry: { max_attempts: 1 } }),
    ]);
    expect(await ended(task?.task_id ?? '')).to.equal('failed');
    expect((await results(task?.task_id ?? ''))[0]?.status).to.equal('timed_out');
  });

  it('does not run what waited for a requester whose credential is revoked meanwhile', async () => {
    const leaver = await rig.principal('leaver', ['operator']);
    const [task] = await rig.submit(leaver, [noop({}, { run_at: new Date(Date.now() + 500).toISOString() })]);
    await revokeToken(rig.database, leaver.credential_id);
    rig.orchestrator.aaa.forgetTokens();
    expect(await ended(task?.task_id ?? '')).to.equal('cancelled');
    expect((await results(task?.task_id ?? ''))[0]).to.include({ status: null, reason: 'revoked_token' });
  });
});

describe('tasks without a node', function () {
  this.timeout(60_000);
  let rig: Rig;

  before(async () => {
    rig = await startRig();
  });

  after(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  it('expire when they were not started in time, and can be cancelled', async () => {
    const operator = await rig.principal('integration', ['operator']);
    const [late, unwanted] = await rig.submit(operator, [
      noop({}, { expires_at: new Date(Date.now() + 300).toISOString() }),
      noop(),
    ]);
    await cancelTask(
      { principal: operator, taskId: unwanted?.task_id ?? '', requestId: 'test' },
      { reason: 'no' },
      rig.commands,
    );
    await rig.settled();
    const { rows } = await rig.database.query<{ task_id: string; state: string }>('select task_id, state from results');
    expect(new Map(rows.map(({ task_id, state }) => [task_id, state]))).to.deep.equal(
      new Map([
        [late?.task_id, 'expired'],
        [unwanted?.task_id, 'cancelled'],
      ]),
    );
  });

  it('run as soon as one joins', async () => {
    const operator = await rig.principal('integration', ['operator']);
    await rig.submit(
      operator,
      Array.from({ length: 40 }, () => noop()),
    );
    await rig.addNode('late', { slots: 2 });
    await rig.settled();
    expect((await rig.atRest()).counts.answered).to.equal(40);
  });
});
