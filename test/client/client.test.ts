import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { WritClient, type Submission } from '../../src/client/client.ts';
import { problem, startScriptedServer, taskBody, type Asked, type ScriptedServer } from './scripted-server.ts';

const noop: Submission = { tool: 'noop', action: 'run' };

describe('the client', () => {
  let server: ScriptedServer;
  afterEach(() => server.close());

  async function serve(answer: Parameters<typeof startScriptedServer>[0]): Promise<WritClient> {
    server = await startScriptedServer(answer);
    return new WritClient({ url: server.url, retry: { initialMs: 1, maxMs: 1 } });
  }

  const acceptBatch = ({ body }: Asked) => ({
    status: 202,
    body: { results: body?.tasks?.map(({ source = '' }) => ({ task: taskBody(source) })) },
  });

  it('splits a batch at a thousand tasks and answers in order, each part under its own key', async () => {
    const client = await serve(acceptBatch);
    const tasks = Array.from({ length: 2001 }, (_, i) => ({ ...noop, source: i.toString() }));
    const done: number[] = [];
    const outcomes = await client.submitBatch(tasks, {
      idempotencyKey: 'key',
      onProgress: (count) => done.push(count),
    });
    expect(server.asked.map(({ body }) => body?.tasks?.length)).to.deep.equal([1000, 1000, 1]);
    expect(server.asked.map(({ headers }) => headers['idempotency-key'])).to.deep.equal([
      'key.0',
      'key.1000',
      'key.2000',
    ]);
    expect(outcomes.map((outcome) => ('task' in outcome ? outcome.task.task_id : ''))).to.deep.equal(
      tasks.map(({ source }) => source),
    );
    expect(done).to.deep.equal([1000, 2000, 2001]);
  });

  it('splits a batch where a body would be larger than the API takes', async () => {
    const client = await serve(acceptBatch);
    const tasks = Array.from({ length: 5 }, (_, i) => ({
      ...noop,
      source: i.toString(),
      payload: { text: 'é'.repeat(150_000) },
    }));
    expect(await client.submitBatch(tasks)).to.have.length(5);
    expect(server.asked.map(({ body }) => body?.tasks?.length)).to.deep.equal([3, 2]);
  });

  it('never splits what is all or nothing', async () => {
    const client = await serve(acceptBatch);
    expect(await client.submitBatch([noop, noop], { atomic: true })).to.have.length(2);
    expect(server.asked[0]?.body?.['atomic']).to.equal(true);
    const tooMany = await client.submitBatch(new Array<Submission>(1001).fill(noop), { atomic: true }).catch(String);
    expect(tooMany).to.match(/at most 1000/);
    await client.submitBatch(new Array<Submission>(3).fill({ ...noop, payload: { text: 'x'.repeat(400_000) } }), {
      atomic: true,
    });
    expect(server.asked.map(({ body }) => body?.tasks?.length)).to.deep.equal([2, 3]);
  });

  it('walks a list page by page up to its limit, with labels as parameters of their own', async () => {
    const client = await serve(({ url }) => {
      const at = Number(new URL(url, 'http://a').searchParams.get('cursor') ?? 0);
      const limit = Number(new URL(url, 'http://a').searchParams.get('limit'));
      const tasks = Array.from({ length: Math.min(limit, 400) }, (_, i) => taskBody((at + i).toString()));
      return { body: { tasks, next_cursor: (at + tasks.length).toString() } };
    });
    const ids: string[] = [];
    for await (const { task_id } of client.list({ state: 'failed', labels: { team: 'blue' } }, { limit: 900 }))
      ids.push(task_id);
    expect(ids).to.deep.equal(Array.from({ length: 900 }, (_, i) => i.toString()));
    const first = new URL(server.asked[0]?.url ?? '', 'http://a').searchParams;
    expect(Object.fromEntries(first)).to.deep.equal({ state: 'failed', 'label.team': 'blue', limit: '500' });
    expect(server.asked).to.have.length(3);
  });

  it('never gives more than was asked for', async () => {
    const client = await serve(() => ({ body: { tasks: [taskBody('t1'), taskBody('t2')], next_cursor: 'more' } }));
    const found: unknown[] = [];
    for await (const task of client.list({}, { limit: 1 })) found.push(task);
    expect(found).to.have.length(1);
  });

  it('ends a list where the server gives no further cursor', async () => {
    const client = await serve(() => ({ body: { tasks: [taskBody('t1')], next_cursor: null } }));
    const found: unknown[] = [];
    for await (const task of client.list()) found.push(task);
    expect(found).to.have.length(1);
  });

  it('waits by long polls for the end and tells each state once', async () => {
    const states = ['queued', 'queued', 'running', 'running', 'succeeded'];
    const client = await serve((_asked, count) => ({ body: taskBody('t1', { state: states[count] }) }));
    const seen: string[] = [];
    const task = await client.wait('t1', { onChange: ({ state }) => seen.push(state) });
    expect(task.state).to.equal('succeeded');
    expect(seen).to.deep.equal(['queued', 'running', 'succeeded']);
    expect(server.asked.slice(1).every(({ url }) => url === '/api/v1/tasks/t1?wait_s=1')).to.equal(true);
  });

  it('gives the task as it is when the time is up', async () => {
    const client = await serve(() => ({ body: taskBody('t1', { state: 'in_doubt' }) }));
    expect((await client.wait('t1', { timeoutS: 0 })).state).to.equal('in_doubt');
    expect((await client.wait('t1', { timeoutS: 0.3 })).state).to.equal('in_doubt');
  });

  it('holds back polls that the server does not hold', async () => {
    const client = await serve(() => ({ body: taskBody('t1') }));
    await client.wait('t1', { timeoutS: 0.3 });
    expect(server.asked.length).to.be.lessThan(5);
  });

  it('encodes ids that would be another path', async () => {
    const client = await serve(() => problem(404, 'task_not_found'));
    await client.get('../tokens?x=1').catch(() => undefined);
    expect(server.asked[0]?.url).to.equal('/api/v1/tasks/..%2Ftokens%3Fx%3D1');
  });

  it('says that a token was made whose text was lost', async () => {
    const client = await serve(() => ({ status: 201, body: { token_id: 'id-1', token: null } }));
    const request = { name: 'a', kind: 'svc', roles: [], expires_in_s: 60 } as const;
    expect(await client.createToken({ ...request, roles: [] }).catch(String)).to.match(/id-1 was made.*Revoke it/);
  });

  it('tells a server that is not ready from one that cannot be asked', async () => {
    const parts = { database: { ok: false, detail: 'gone' } };
    const client = await serve(() => ({ status: 503, body: { ready: false, parts } }));
    expect(await client.ready()).to.deep.equal({ ready: false, parts });
  });

  it('gives an export as a stream', async () => {
    const client = await serve(() => ({ raw: 'bytes of a tar' }));
    const chunks: Uint8Array[] = [];
    for await (const chunk of await client.exportBundle({ from: 2 })) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).to.equal('bytes of a tar');
    expect(server.asked[0]?.url).to.equal('/api/v1/audit/export?from=2');
  });
});
