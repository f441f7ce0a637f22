import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { WritApiError, WritClient, WritUnreachableError } from '../../src/client/client.ts';
import { problem, startScriptedServer, taskBody, type ScriptedAnswer, type ScriptedServer } from './scripted-server.ts';

const retry = { initialMs: 1, maxMs: 2 };

describe('sending a call', () => {
  let server: ScriptedServer | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  async function serve(...answers: ScriptedAnswer[]): Promise<WritClient> {
    server = await startScriptedServer((_asked, count) => answers[Math.min(count, answers.length - 1)] ?? {});
    return new WritClient({ url: server.url, token: 'secret-token', retry });
  }

  async function failure(work: Promise<unknown>): Promise<unknown> {
    return work.then(
      () => expect.fail('the call did not fail'),
      (error: unknown) => error,
    );
  }

  it('carries the token in the Authorization header alone', async () => {
    const client = await serve({ body: { id: 'me' } });
    await client.whoami();
    expect(server?.asked[0]?.headers.authorization).to.equal('Bearer secret-token');
    expect(server?.asked[0]?.url).to.equal('/api/v1/whoami');
  });

  it('keeps the path that a proxy puts before', async () => {
    const { url } = (server = await startScriptedServer(() => ({ body: {} })));
    await new WritClient({ url: `${url}/writ/` }).whoami();
    expect(server.asked[0]?.url).to.equal('/writ/api/v1/whoami');
  });

  it('gives a refusal with its code, members, pause and request id', async () => {
    const answer = problem(429, 'rate_limited', 'Too many.');
    const errors = [{ path: 'tool', message: 'is unknown' }];
    const client = await serve({
      ...answer,
      body: { ...(answer.body as object), errors },
      headers: { 'retry-after': '120' },
    });
    const error = (await failure(client.whoami())) as WritApiError;
    expect(error).to.be.instanceOf(WritApiError);
    expect(error).to.include({
      status: 429,
      code: 'rate_limited',
      detail: 'Too many.',
      retryAfterS: 120,
      requestId: 'request-1',
    });
    expect(error.errors).to.deep.equal(errors);
    expect(server?.asked, 'a pause that is too long is not waited for').to.have.length(1);
  });

  it('gives an answer that is no problem document a code of its status', async () => {
    const client = await serve({ status: 404, raw: '<html>' });
    expect(await failure(client.whoami())).to.include({ code: 'http_404', status: 404 });
  });

  it('sends a write again under the same Idempotency-Key after 503 with Retry-After', async () => {
    const client = await serve(
      { ...problem(503, 'unavailable'), headers: { 'retry-after': '0' } },
      { body: taskBody('t1') },
    );
    expect(await client.submit({ tool: 'noop', action: 'run' })).to.include({ task_id: 't1' });
    const keys = server?.asked.map(({ headers }) => headers['idempotency-key']);
    expect(keys?.[0]).to.match(/^[0-9a-f-]{36}$/);
    expect(keys).to.deep.equal([keys?.[0], keys?.[0]]);
  });

  it('sends again after the connection was lost, and after the first call was still in progress', async () => {
    const busy = { ...problem(409, 'idempotency_in_progress'), headers: { 'retry-after': '0' } };
    const client = await serve({ hangUp: true }, busy, { body: taskBody('t1') });
    await client.submit({ tool: 'noop', action: 'run' }, { idempotencyKey: 'mine' });
    expect(server?.asked.map(({ headers }) => headers['idempotency-key'])).to.deep.equal(['mine', 'mine', 'mine']);
  });

  it('does not send again where the server gives no time, or says no', async () => {
    for (const answer of [problem(503, 'unavailable'), problem(409, 'already_ended'), problem(403, 'forbidden')]) {
      const client = await serve(answer);
      expect(await failure(client.cancel('t1'))).to.be.instanceOf(WritApiError);
      expect(server?.asked).to.have.length(1);
      await server?.close();
    }
  });

  it('gives up after a few tries', async () => {
    const client = await serve({ hangUp: true });
    expect(await failure(client.whoami())).to.be.instanceOf(WritUnreachableError);
    expect(server?.asked).to.have.length(4);
  });

  it('names the address and the system code where nothing listens', async () => {
    const { url } = (server = await startScriptedServer(() => ({})));
    await server.close();
    const error = (await failure(new WritClient({ url, retry }).whoami())) as WritUnreachableError;
    expect(error).to.include({ url, code: 'ECONNREFUSED' });
    expect(error.message).to.not.include('secret-token');
  });

  it('gives up when no answer comes in time', async () => {
    server = await startScriptedServer(() => new Promise<ScriptedAnswer>(() => {}));
    const client = new WritClient({ url: server.url, timeoutS: 0.05, retry: { ...retry, maxTries: 1 } });
    expect(((await failure(client.whoami())) as Error).message).to.match(/within 0\.05 s/);
  });

  it('follows no redirect: the token would go along', async () => {
    const other = await startScriptedServer(() => ({ body: {} }));
    const client = await serve({ status: 307, headers: { location: `${other.url}/api/v1/whoami` } });
    expect(await failure(client.whoami())).to.include({ code: 'redirected' });
    expect(other.asked).to.deep.equal([]);
    await other.close();
  });

  it('stops when the caller does not want the answer any more', async () => {
    server = await startScriptedServer(() => new Promise<ScriptedAnswer>(() => {}));
    const work = new WritClient({ url: server.url }).whoami({ signal: AbortSignal.timeout(20) });
    expect(await failure(work)).to.have.property('name', 'TimeoutError');
  });

  it('refuses addresses that are none, or hold a password', () => {
    for (const url of ['', 'writ.example.org', 'ftp://a', 'http://user:pass@a', 'http://a/?token=1', 'http://a/#x']) {
      expect(() => new WritClient({ url }), url).to.throw(/address of the server/);
    }
  });
});
