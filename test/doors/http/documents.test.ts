import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { apiPage } from '../../../src/doors/http/api-page.ts';
import { markdownHtml } from '../../../src/doors/http/errors-page.ts';
import type { OpenApi } from '../../../src/doors/http/openapi.ts';
import { openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('documents of the API', () => {
  let door: DoorFixture;
  let document: OpenApi;

  before(async () => {
    door = await openDoor();
    document = (await door.call('GET', '/api/v1/openapi.json')).body as unknown as OpenApi;
  });

  after(() => door.close());

  it('describe every route, and no other', () => {
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(described.sort()).to.deep.equal(door.door.routes.map(({ method, path }) => `${method} ${path}`).sort());
    expect(document.openapi).to.equal('3.1.0');
  });

  it('name each operation once, with every parameter of its path', () => {
    const ids = new Set<string>();
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const operation of Object.values(methods)) {
        expect(ids.has(operation.operationId), operation.operationId).to.equal(false);
        ids.add(operation.operationId);
        const inPath = operation.parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name);
        expect(inPath, path).to.deep.equal([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
        expect(Object.keys(operation.responses)).to.include('default');
      }
    }
  });

  it('tell what queries and bodies look like', () => {
    const limit = document.paths['/api/v1/tasks']?.['get']?.parameters.find(({ name }) => name === 'limit');
    expect(limit).to.deep.include({ in: 'query', required: false });
    expect(limit?.schema).to.include({ type: 'integer', minimum: 1, maximum: 500 });
    expect(limit?.description).to.equal('100 if absent');
    const body = document.paths['/api/v1/tasks']?.['post']?.requestBody?.content['application/json']?.schema;
    expect(body?.required).to.deep.equal(['tool', 'action']);
    expect(body?.['additionalProperties']).to.equal(false);
    expect(document.paths['/api/v1/nodes']?.['get']?.security).to.deep.equal([{ bearer: [] }]);
    expect(document.paths['/health']?.['get']?.security).to.deep.equal([]);
  });

  it('are readable as a page without scripts, under a strict policy', async () => {
    const page = await door.call('GET', '/docs');
    expect(page.headers.get('content-type')).to.equal('text/html; charset=utf-8');
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).to.match(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'/);
    expect(page.text).not.to.match(/<script|\son\w+=|javascript:/i);
    for (const { path } of door.door.routes) expect(page.text).to.include(path.replace('&', '&amp;'));
  });

  it('escape whatever they show', () => {
    const hostile = '<img src=x onerror=alert(1)>"\'&';
    const operation = {
      operationId: hostile,
      tags: [hostile],
      summary: hostile,
      parameters: [],
      responses: {},
      security: [],
      'x-writ-access': hostile,
    };
    const html = apiPage({ ...document, paths: { [hostile]: { [hostile]: operation } } }).toString();
    expect(html).not.to.include('<img');
    expect(
      markdownHtml(`## ${hostile}\n\n- \`${hostile}\`\n\n| ${hostile} |\n\n[a](javascript:alert) ${hostile}`),
    ).not.to.match(/<img|javascript/);
  });

  it('explain errors at the place that problems link to', async () => {
    const problem = await door.call('GET', '/nothing');
    const [path = '', anchor = ''] = problem.body.type.split('#');
    const page = await door.call('GET', path);
    expect(page.text).to.include(`id="${anchor}"`);
  });
});

describe('service routes', () => {
  it('say that some part is not ready', async () => {
    const parts = { database: { ok: true }, log: { ok: false, detail: 'fenced' } };
    await withDoor({ services: { readiness: () => Promise.resolve({ ready: false, parts }) } }, async (door) => {
      const answer = await door.call('GET', '/api/v1/ready');
      expect([answer.status, answer.body]).to.deep.equal([503, { ready: false, parts }]);
      expect((await door.call('GET', '/api/v1/health')).body).to.deep.equal({ status: 'ok' });
    });
  });

  it('give keys that may be kept for a while, and asked for again cheaply', async () => {
    await withDoor({}, async (door) => {
      const keys = await door.call('GET', '/.well-known/jwks.json');
      expect(keys.body).to.deep.equal({ keys: [] });
      expect(keys.headers.get('cache-control')).to.equal('public, max-age=300');
      const etag = keys.headers.get('etag') ?? '';
      const again = await door.call('GET', '/.well-known/jwks.json', { headers: { 'If-None-Match': etag } });
      expect([again.status, again.text]).to.deep.equal([304, '']);
    });
  });

  it('list nodes and tools', async () => {
    await withDoor({}, async (door) => {
      const token = await door.token({ roles: ['viewer'] });
      const ids = [await door.addNode(), await door.addNode({ labels: { rack: '1' } })].sort();
      const first = await door.call('GET', '/api/v1/nodes?limit=1', { token });
      expect([first.body.total, first.body.nodes[0]?.id]).to.deep.equal([2, ids[0]]);
      expect(first.text).not.to.match(/credential|sha256.:.[0-9a-f]{64}",/);
      const second = await door.call('GET', `/api/v1/nodes?limit=1&cursor=${first.body.next_cursor}`, {
        token,
      });
      expect([second.body.nodes[0]?.id, second.body.next_cursor]).to.deep.equal([ids[1], null]);
      const tools = await door.call('GET', '/api/v1/tools', { token });
      expect(tools.body.tools.map(({ tool }) => tool)).to.include('noop');
      const noop = await door.call('GET', '/api/v1/tools/noop', { token });
      expect(noop.body.actions.map(({ action, effects }) => [action, effects])).to.deep.include([
        'append',
        'destructive',
      ]);
      expect((await door.call('GET', '/api/v1/tools/nothing', { token })).body.code).to.equal('tool_not_found');
      expect((await door.call('GET', '/api/v1/tools/constructor', { token })).status).to.equal(404);
    });
  });
});
