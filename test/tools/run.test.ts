/** Running attempts of built-in tools: limits, checks, and that there always is a result. */

import { createHash } from 'node:crypto';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import { scope as scopeSchema } from '../../src/domain/scope.ts';
import { loadCatalog, type Catalog } from '../../src/tools/catalog.ts';
import { runAction } from '../../src/tools/run.ts';
import { find, loadAction, outputOf, run, shippedTools, temporaryFolder } from './fixtures.ts';

describe('runAction', () => {
  let catalog: Catalog;
  before(async () => {
    catalog = await loadCatalog([shippedTools]);
  });
  const noop = () => find(catalog, 'noop', 'run');

  it('gives the output as JSON with its hash and size', async () => {
    const result = await run(noop(), { output: 'ü' });
    expect(result).to.include({ status: 'succeeded', retryable: false, error: null, truncated: false });
    expect(result.output.toString()).to.equal('{"output":"ü"}');
    expect(result.output_bytes).to.equal(15);
    expect(result.output_sha256).to.equal(createHash('sha256').update('{"output":"ü"}').digest('hex'));
    expect(result.metadata.duration_ms).to.satisfy(Number.isInteger);
  });

  it('fails as it is told', async () => {
    expect(await run(noop(), { fail: true })).to.include({ status: 'failed', retryable: false });
    expect(await run(noop(), { fail: 'retryable' })).to.include({ status: 'failed', retryable: true });
    expect((await run(noop(), { fail: false })).status).to.equal('succeeded');
  });

  it('ends at the time limit, or when it is cancelled', async () => {
    expect(await run(noop(), { sleep_ms: 60_000 }, { timeoutMs: 20 })).to.include({
      status: 'timed_out',
      retryable: true,
    });
    const cancel = new AbortController();
    const work = run(noop(), { sleep_ms: 60_000 }, { signal: cancel.signal });
    cancel.abort();
    expect(await work).to.include({ status: 'cancelled', retryable: false });
  });

  it('has succeeded when the cancel comes after the work', async () => {
    const cancel = new AbortController();
    const work = run(noop(), {}, { signal: cancel.signal });
    cancel.abort();
    expect((await work).status).to.equal('succeeded');
  });

  it('leaves no listener behind on the signal it was given', async () => {
    const cancel = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = cancel.signal;
    cancel.signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
      listeners += 1;
      addEventListener.apply(cancel.signal, given);
    };
    cancel.signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
      listeners -= 1;
      removeEventListener.apply(cancel.signal, given);
    };
    await run(noop(), { sleep_ms: 1 }, { signal: cancel.signal });
    expect(listeners).to.be.at.most(0);
  });

  it('fails, and does not throw, for payloads that are none', async () => {
    const context = {
      scope: undefined,
      allowPrivate: true,
      timeoutMs: 1000,
      signal: () => new AbortController().signal,
      workDir: '/',
    };
    for (const payload of ['', '{', 'null', '[]', '{"sleep_ms":"1"}', '{"x":1}', '{"__proto__":1}', '\ufffe']) {
      const result = await runAction(noop(), Buffer.from(payload), context);
      expect(result, payload).to.include({ status: 'failed', retryable: false });
      expect(result.error?.code).to.equal('payload_invalid');
    }
  });

  it('refuses targets, tools and times outside the scope before anything is done', async () => {
    const attempt = (scope: object, payload: object) =>
      run(find(catalog, 'tcp', 'connect'), payload, {
        scope: scopeSchema.parse({ name: 'lab', tools: ['*'], targets: ['192.0.2.0/24'], ...scope }),
        allowPrivate: false,
        lookup: () => Promise.reject(new Error('asked')),
      });
    const port = 1;
    expect((await attempt({}, { host: '127.0.0.1', port })).error?.code).to.equal('scope_target');
    expect((await attempt({ tools: ['tls.*'] }, { host: '192.0.2.1', port })).error?.code).to.equal('scope_tool');
    const ended = { not_after: '2001-01-01T00:00:00Z' };
    expect((await attempt(ended, { host: '192.0.2.1', port })).error?.code).to.equal('scope_window');
  });

  it('checks the addresses of a name when it connects, and not only the name', async () => {
    const scope = scopeSchema.parse({ name: 'lab', tools: ['*'], targets: ['*.example'] });
    const result = await run(
      find(catalog, 'tcp', 'connect'),
      { host: 'rebind.example', port: 1 },
      {
        scope,
        allowPrivate: false,
        lookup: () => Promise.resolve([{ address: '127.0.0.1' }]),
      },
    );
    expect(result).to.include({ status: 'failed', retryable: false });
    expect(result.error?.code).to.equal('scope_target');
  });

  it('holds built-in tools to the scope where the catalog marks no target', async () => {
    const folder = await temporaryFolder();
    const [text, port] = [{ type: 'string' }, { type: 'integer' }];
    const tools = {
      'tcp.connect': [
        { host: text, port },
        { host: '127.0.0.1', port: 1 },
      ],
      'tls.inspect': [
        { host: text, port },
        { host: '127.0.0.1', port: 1 },
      ],
      'http.probe': [{ url: text }, { url: 'http://127.0.0.1:1/' }],
      'dns.lookup': [
        { name: text, type: text, server: text },
        { name: 'a', type: 'MX', server: '127.0.0.1' },
      ],
    };
    for (const [builtin, [properties, payload]] of Object.entries(tools)) {
      const action = await loadAction(folder.path, { run: { builtin }, properties: { ...properties } });
      const result = await run(action, payload, { allowPrivate: false });
      expect(result.error?.code, builtin).to.equal('scope_target');
    }
    await folder.remove();
  });

  it('ends at the time limit while a name is being looked up', async () => {
    const lookup = () => new Promise<never>(() => undefined);
    const attempt = run(find(catalog, 'tcp', 'connect'), { host: 'slow.example', port: 1 }, { lookup, timeoutMs: 20 });
    expect(await attempt).to.include({ status: 'timed_out' });
  });

  describe('noop.append', () => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>;
    beforeEach(async () => {
      folder = await temporaryFolder();
    });
    afterEach(() => folder.remove());
    const append = (file: string, line = 'x') => run(find(catalog, 'noop', 'append'), { file, line });

    it('shows every run by a line', async () => {
      const file = join(folder.path, 'writ-marker-lines');
      await append(file, 'one');
      await append(file, 'two');
      expect(await readFile(file, 'utf8')).to.equal('one\ntwo\n');
    });

    it('writes nowhere but below the temporary folder, and through no link', async () => {
      await symlink('/etc', join(folder.path, 'folder'));
      await writeFile(join(folder.path, 'real'), '');
      await symlink(join(folder.path, 'real'), join(folder.path, 'writ-marker-link'));
      for (const file of [
        '/etc/writ-marker-x',
        `${folder.path}/real`,
        `${folder.path}/../../etc/writ-marker-x`,
        `${folder.path}/folder/writ-marker-x`,
        `${folder.path}/none/writ-marker-x`,
      ]) {
        expect((await append(file)).error?.code, file).to.equal('payload_invalid');
      }
      expect((await append(join(folder.path, 'writ-marker-link'))).error?.code).to.equal('file_not_writable');
      expect((await append(join(folder.path, 'writ-marker-x'), 'a\nb')).error?.code).to.equal('payload_invalid');
    });
  });

  describe('file.integrity', () => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>;
    beforeEach(async () => {
      folder = await temporaryFolder();
      await writeFile(join(folder.path, 'a'), 'content');
    });
    afterEach(() => folder.remove());
    const integrity = (payload: object) => run(find(catalog, 'file', 'integrity'), payload);
    const sha256 = createHash('sha256').update('content').digest('hex');

    it('hashes a file, and finds it as it should be', async () => {
      const path = join(folder.path, 'a');
      const wanted = { path, status: 'ok', sha256, bytes: 7 };
      expect(outputOf(await integrity({ path })).files).to.deep.equal([wanted]);
      expect((await integrity({ path, sha256 })).status).to.equal('succeeded');
      expect((await integrity({ files: [{ path, sha256 }] })).status).to.equal('succeeded');
    });

    it('tells of each file what is wrong with it', async () => {
      await symlink('/etc/passwd', join(folder.path, 'link'));
      const at = (name: string) => join(folder.path, name);
      const files = ['a', 'none', 'link', 'a/below', '.'].map((name) => ({ path: at(name), sha256: '0'.repeat(64) }));
      const result = await integrity({ files: [...files, { path: '/dev/null' }] });
      expect(result).to.include({ status: 'failed', retryable: false });
      expect(result.error?.code).to.equal('integrity_mismatch');
      expect(outputOf(result).files).to.deep.equal([
        { path: at('a'), status: 'changed', sha256, bytes: 7, expected_sha256: '0'.repeat(64) },
        { path: at('none'), status: 'missing' },
        { path: at('link'), status: 'symlink' },
        { path: at('a/below'), status: 'missing' },
        { path: at('.'), status: 'not_a_file' },
        { path: '/dev/null', status: 'not_a_file' },
      ]);
    });

    it('tells the real place of a file whose folder is reached by a link', async () => {
      await symlink(folder.path, join(folder.path, 'self'));
      const result = await integrity({ path: join(folder.path, 'self', 'a') });
      expect(outputOf(result).files).to.have.nested.property('[0].real_path', join(folder.path, 'a'));
    });

    it('refuses paths that are relative, go up, or hold a NUL, and payloads with both forms or none', async () => {
      for (const payload of [
        ...[{ path: 'a' }, { path: '/a/../etc/passwd' }, { path: '/a\0b' }, {}, { files: [] }],
        ...[
          { path: '/a', files: [{ path: '/a' }] },
          { path: '/a', sha256: 'x' },
          { files: [{ path: '/a', sha256: 'A'.repeat(64) }] },
        ],
      ]) {
        expect((await integrity(payload)).error?.code, JSON.stringify(payload)).to.equal('payload_invalid');
      }
    });
  });

  after(() => {
    catalog = undefined as never;
  });
});
