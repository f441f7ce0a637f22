import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { noopTask, openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('reading tasks over HTTP', () => {
  let door: DoorFixture;
  let token: string;

  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['operator'] });
  });

  after(() => door.close());

  const one = async (task: object = noopTask): Promise<string> => (await door.submit([task]))[0]?.task_id ?? '';

  it('pages through a list by cursors', async () => {
    const ids = (
      await door.submit(Array.from({ length: 5 }, () => ({ ...noopTask, tags: ['paged'], labels: { 'a.b': 'c d' } })))
    ).map(({ task_id }) => task_id);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query = `?tag=paged&label.a.b=c%20d&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const answer = await door.call('GET', `/api/v1/tasks${query}`, { token });
      expect(answer.status, answer.text).to.equal(200);
      seen.push(...answer.body.tasks.map((task) => task.task_id));
      cursor = answer.body.next_cursor;
    }
    expect(seen).to.deep.equal(ids.reverse());
  });

  it('lists without reading, recording or failing on anything else', async () => {
    const before = (await door.records()).length;
    expect(
      (await door.call('GET', '/api/v1/tasks?state=failed&created_from=2026-01-01T00:00:00Z', { token })).status,
    ).to.equal(200);
    expect((await door.records()).length).to.equal(before);
  });

  it('answers a long poll when the task ends', async () => {
    const id = await one();
    const orders = await door.dispatch([id]);
    const started = performance.now();
    const waiting = door.call('GET', `/api/v1/tasks/${id}?wait_s=30`, { token });
    await door.end(orders, 'succeeded');
    door.services.changes.notify([id]);
    expect((await waiting).body).to.include({ task_id: id, state: 'succeeded' });
    expect(performance.now() - started).to.be.below(3000);
  });

  it('notices without a wake-up that another orchestrator ended it', async () => {
    const id = await one();
    const orders = await door.dispatch([id]);
    const waiting = door.call('GET', `/api/v1/tasks/${id}?wait_s=30`, { token });
    await door.end(orders, 'failed');
    expect((await waiting).body.state).to.equal('failed');
  });

  it('answers a long poll with what is, when the time is up', async () => {
    const answer = await door.call('GET', `/api/v1/tasks/${await one()}?wait_s=1`, { token });
    expect(answer.body.state).to.equal('queued');
  });

  it('lets a submission wait for its end', async () => {
    const waiting = door.call('POST', '/api/v1/tasks?wait_s=30', { token, body: { ...noopTask, source: 'waited' } });
    let id: string | undefined;
    while (id === undefined) {
      id = (await door.database.query<{ task_id: string }>(`select task_id from tasks where source = 'waited'`)).rows[0]
        ?.task_id;
    }
    await door.end(await door.dispatch([id]), 'succeeded');
    door.services.changes.notify([id]);
    const answer = await waiting;
    expect([answer.status, answer.body.state]).to.deep.equal([202, 'succeeded']);
    expect(answer.headers.get('location')).to.equal(`/api/v1/tasks/${id}`);
  });

  it('gives result, attempts, timeline, explanation and dead letters', async () => {
    const id = await one();
    const early = await door.call('GET', `/api/v1/tasks/${id}/result`, { token });
    expect([early.status, early.body.code]).to.deep.equal([404, 'not_finished']);
    expect((await door.call('GET', `/api/v1/tasks/${id}/explain`, { token })).body.reasons[0]?.code).to.equal(
      'no_node',
    );
    await door.end(await door.dispatch([id]), 'failed', {
      output: Buffer.from('{"a":1}'),
      error: { code: 'x', message: '<b>' },
    });
    await door.sequence();
    expect((await door.call('GET', `/api/v1/tasks/${id}/result`, { token })).body).to.deep.include({
      status: 'failed',
      output: { a: 1 },
    });
    expect((await door.call('GET', `/api/v1/tasks/${id}/attempts`, { token })).body.attempts).to.have.length(1);
    expect((await door.call('GET', `/api/v1/tasks/${id}/timeline`, { token })).body.timeline[0]?.type).to.equal(
      'task.submit',
    );
    const letters = (await door.call('GET', '/api/v1/dead-letters', { token })).body.dead_letters;
    expect(letters.find((letter) => letter.task.task_id === id)?.error.code).to.equal('x');
    const unknown = await door.call('GET', '/api/v1/tasks/01890000-0000-7000-8000-000000000001/timeline', { token });
    expect([unknown.status, unknown.body.code]).to.deep.equal([404, 'task_not_found']);
  });

  it('acts: cancel, redrive, and what is refused is recorded', async () => {
    const id = await one();
    const headers = { 'Idempotency-Key': 'c1' };
    const first = await door.call('POST', `/api/v1/tasks/${id}/cancel`, { token, body: { reason: 'no' }, headers });
    expect([first.status, first.body.state]).to.deep.equal([202, 'cancelled']);
    const again = await door.call('POST', `/api/v1/tasks/${id}/cancel`, { token, body: { reason: 'no' }, headers });
    expect([again.status, again.headers.get('idempotency-replayed'), again.text]).to.deep.equal([
      202,
      'true',
      first.text,
    ]);
    const other = await door.call('POST', `/api/v1/tasks/${await one()}/cancel`, {
      token,
      body: { reason: 'no' },
      headers,
    });
    expect([other.status, other.body.code]).to.deep.equal([409, 'idempotency_conflict']);
    expect((await door.call('POST', `/api/v1/tasks/${id}/cancel`, { token })).body.code).to.equal('already_ended');
    const narrow = await door.call('POST', `/api/v1/tasks/${id}/redrive`, { token });
    expect([narrow.status, narrow.body.code]).to.deep.equal([403, 'scope_changed']);
    const wide = { token: await door.token({ roles: ['admin'] }) };
    expect((await door.call('POST', `/api/v1/tasks/${id}/redrive`, wide)).body.state).to.equal('queued');
    expect(
      (await door.call('POST', `/api/v1/tasks/${id}/settle`, { token, body: { as: 'failed', reason: 'x' } })).body.code,
    ).to.equal('not_in_doubt');
    const long = await door.call('POST', `/api/v1/tasks/${id}/cancel`, { token, body: { reason: 'x'.repeat(501) } });
    expect([long.status, long.body.code, long.body.errors[0]?.path]).to.deep.equal([400, 'invalid_body', 'reason']);
    const strong = await one({ ...noopTask, required_role: 'admin' });
    await door.end(await door.dispatch([strong]), 'failed');
    const refused = await door.call('POST', `/api/v1/tasks/${strong}/redrive`, { token });
    expect([refused.status, refused.body.code]).to.deep.equal([403, 'role_missing']);
    expect((await door.records()).at(-1)).to.deep.include({
      type: 'task.redrive',
      outcome: 'deny',
      reason: 'role_missing',
    });
  });
});

describe('closing the door', () => {
  it('wakes calls that wait, answers them, and takes no more', async () => {
    await withDoor({}, async (door) => {
      const token = await door.token({ roles: ['operator'] });
      const [task] = await door.submit([noopTask]);
      const waiting = door.call('GET', `/api/v1/tasks/${task?.task_id ?? ''}?wait_s=60`, { token });
      await door.call('GET', '/health');
      const started = performance.now();
      const closed = door.door.close();
      expect((await waiting).body.state).to.equal('queued');
      await closed;
      expect(performance.now() - started).to.be.below(2000);
      expect(await door.call('GET', '/health').catch(() => 'refused')).to.equal('refused');
    });
  });
});
