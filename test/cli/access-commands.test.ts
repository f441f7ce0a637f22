import { expect } from 'chai';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { problem, startScriptedServer, type ScriptedServer } from '../client/scripted-server.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { run, type Ran, type RunOptions } from './run.ts';

const view = {
  ...{
    token_id: 'id-1',
    prefix: 'writ_svc_ab',
    name: 'ci',
    kind: 'svc',
    roles: ['operator'],
    scope: null,
    networks: [],
  },
  ...{ created_by: 'me', created_at: '2026-01-01T00:00:00.000Z', expires_at: '2026-02-01T00:00:00.000Z' },
  ...{ revoked_at: null, last_used_at: null },
};

describe('commands about access', () => {
  let server: ScriptedServer;
  let folder: string;
  beforeEach(async () => {
    folder = await makeScratchFolder('writ-access-');
  });
  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const writ = (args: string[], options: RunOptions = {}): Promise<Ran> =>
    run(args, { folder, ...options, environment: { WRIT_URL: server.url, WRIT_TOKEN: 'x' } });

  it('print a new token alone on stdout, once', async () => {
    server = await startScriptedServer(() => ({ status: 201, body: { ...view, token: 'writ_svc_text' } }));
    const { code, stdout, stderr } = await writ([
      'token',
      'create',
      'ci',
      '--role',
      'operator',
      '--role',
      'viewer',
      '--expires-in',
      '2h',
    ]);
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'writ_svc_text\n' });
    expect(stderr).to.not.include('writ_svc_text');
    expect(server.asked[0]?.body).to.deep.equal({
      name: 'ci',
      kind: 'svc',
      roles: ['operator', 'viewer'],
      expires_in_s: 7200,
    });
  });

  it('keep a new token in a private file, and make none where that cannot be', async () => {
    server = await startScriptedServer(() => ({ status: 201, body: { ...view, token: 'writ_svc_text' } }));
    const out = join(folder, 'ci.token');
    const { stdout, stderr } = await writ(['token', 'create', 'ci', '--out', out]);
    expect(stdout + stderr).to.not.include('writ_svc_text');
    expect(await readFile(out, 'utf8')).to.equal('writ_svc_text\n');
    expect((await stat(out)).mode & 0o777).to.equal(0o600);
    expect((await writ(['token', 'create', 'ci', '--out', out])).code).to.equal(3);
    expect(server.asked).to.have.length(1);
  });

  it('leave no file where the server makes no token', async () => {
    server = await startScriptedServer(() => problem(403, 'grant_exceeds_own'));
    const out = join(folder, 'ci.token');
    expect((await writ(['token', 'create', 'ci', '--out', out])).code).to.equal(4);
    expect(await stat(out).catch(String)).to.include('ENOENT');
  });

  it('give a join token the longest life that it may have', async () => {
    server = await startScriptedServer(() => ({ status: 201, body: { ...view, token: 'writ_join_text' } }));
    await writ(['token', 'create', 'node-1', '--kind', 'join']);
    expect(server.asked[0]?.body).to.deep.equal({ name: 'node-1', kind: 'join', roles: [], expires_in_s: 900 });
    expect((await writ(['token', 'create', 'x', '--kind', 'root'])).code).to.equal(3);
  });

  it('list tokens that can be used, or all', async () => {
    const tokens = [
      view,
      { ...view, token_id: 'id-2', revoked_at: view.created_at },
      { ...view, token_id: 'id-3', expires_at: view.created_at },
    ];
    server = await startScriptedServer(() => ({ body: { tokens, next_cursor: null } }));
    expect((await writ(['token', 'list'])).stdout)
      .to.match(/id-1 +ci +svc +operator +- +writ_svc_ab +in 30d/)
      .and.not.match(/id-[23]/);
    expect((await writ(['token', 'list', '--all'])).stdout).to.match(/id-2.*revoked.*\nid-3/);
  });

  it('revoke tokens', async () => {
    server = await startScriptedServer(() => ({ status: 204 }));
    expect((await writ(['token', 'revoke', 'id-1', 'id-2'])).code).to.equal(0);
    expect(server.asked.map(({ method, url }) => `${method} ${url}`)).to.deep.equal([
      'DELETE /api/v1/tokens/id-1',
      'DELETE /api/v1/tokens/id-2',
    ]);
  });

  it('set a scope from YAML or JSON, and list scopes', async () => {
    const scope = { name: 'lab', tools: ['tcp.*'], targets: ['10.0.0.0/8'] };
    server = await startScriptedServer(({ method }) => ({ body: method === 'PUT' ? scope : { scopes: [scope] } }));
    const file = join(folder, 'lab.yaml');
    await writeFile(file, 'name: lab\ntools: ["tcp.*"]\ntargets: [10.0.0.0/8]\n');
    expect((await writ(['scope', 'set', file])).code).to.equal(0);
    expect((await writ(['scope', 'set', '-'], { stdin: JSON.stringify(scope) })).code).to.equal(0);
    expect(server.asked.map(({ url, body }) => [url, body as unknown])).to.deep.equal([
      ['/api/v1/scopes/lab', scope],
      ['/api/v1/scopes/lab', scope],
    ]);
    expect((await writ(['scope', 'list'])).stdout).to.match(/lab +tcp\.\* +10\.0\.0\.0\/8/);
    expect((await writ(['scope', 'set', '-'], { stdin: '[1' })).code).to.equal(3);
    expect((await writ(['scope', 'set', '-'], { stdin: 'tools: []' })).code).to.equal(3);
  });

  it('find server and token in the folder of a writ dev', async () => {
    server = await startScriptedServer(() => ({ body: { tokens: [], next_cursor: null } }));
    await mkdir(join(folder, '.writ'));
    await writeFile(join(folder, '.writ', 'url'), `${server.url}\n`);
    await writeFile(join(folder, '.writ', 'admin.token'), 'writ_pat_folder\n');
    expect((await run(['token', 'list'], { folder })).code).to.equal(0);
    expect(server.asked[0]?.headers.authorization).to.equal('Bearer writ_pat_folder');
  });
});
