import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { verifyBundle } from '../../src/cli/audit-verify.ts';
import { readMember, writeBundle } from '../../src/cli/write-bundle.ts';
import { startScriptedServer } from '../client/scripted-server.ts';
import { buildGoodLog } from '../proof/build-bundle.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { run } from './run.ts';

describe('keeping a bundle', () => {
  let folder: string;
  let policyPath: string;
  let tarPath: string;
  let vkey: string;
  let names = 0;
  const place = (suffix = '') => join(folder, `out-${(names++).toString()}${suffix}`);

  before(async () => {
    folder = await makeScratchFolder('writ-write-bundle-');
    const { log } = buildGoodLog(40, { prune: false });
    policyPath = join(folder, 'audit.policy');
    await writeFile(policyPath, log.policy);
    const members = await log.bundle();
    const source = join(folder, 'source');
    await mkdir(source);
    for (const [name, bytes] of members) await writeFile(join(source, name), bytes);
    vkey = (await readFile(join(source, 'log.vkey'), 'utf8')).trim();
    tarPath = join(folder, 'bundle.tar');
    await promisify(execFile)('tar', ['-cf', tarPath, '--format=ustar', '-C', source, ...(await readdir(source))]);
  });
  after(() => rm(folder, { recursive: true }));

  it('writes a directory, a tar or a compressed tar that verifies', async () => {
    for (const suffix of ['', '.tar', '.tar.gz', '.tgz']) {
      const out = place(suffix);
      let bytes = 0;
      await writeBundle(createReadStream(tarPath), out, (done) => (bytes = done));
      expect((await verifyBundle({ path: out, policyPath })).verdict, suffix).to.equal('verified');
      expect(bytes).to.equal((await readFile(tarPath)).length);
    }
  });

  it('leaves what is there already alone', async () => {
    const full = place();
    await mkdir(full);
    await writeFile(join(full, 'mine'), 'x');
    const file = place('.tar');
    await writeFile(file, 'x');
    for (const out of [full, file]) {
      expect(await writeBundle(createReadStream(tarPath), out).catch(String)).to.match(/is there already/);
    }
    expect(await readFile(file, 'utf8')).to.equal('x');
    expect(await readdir(full)).to.deep.equal(['mine']);
  });

  it('leaves nothing behind where the tar ends too early or holds another file', async () => {
    const whole = await readFile(tarPath);
    const renamed = join(folder, 'renamed.tar');
    await promisify(execFile)('tar', ['-cf', renamed, '--format=ustar', '-C', folder, 'audit.policy']);
    const before = await readdir(folder);
    for (const bytes of [whole.subarray(0, 5000), await readFile(renamed)]) {
      const error = await writeBundle(chunksOf(bytes), place()).catch(String);
      expect(error).to.match(/no whole bundle/);
    }
    expect(await readdir(folder)).to.deep.equal(before);
  });

  it('reads one member of a tar', async () => {
    expect((await readMember(tarPath, 'log.vkey', 1000)).trim()).to.equal(vkey);
    expect(await readMember(tarPath, 'log.vkey', 10).catch(String)).to.match(/too large/);
  });

  it('is what writ audit export does, and writ audit policy finds the key of the log in it', async () => {
    const tar = await readFile(tarPath);
    const server = await startScriptedServer(({ url }) =>
      url.includes('checkpoint') ? { raw: 'origin\n40\nroot\n\nsignature\n' } : { raw: tar },
    );
    const environment = { WRIT_URL: server.url, WRIT_TOKEN: 'x' };
    const out = place();
    const exported = await run(['audit', 'export', '--out', out, '--from', '2'], { environment });
    expect(exported).to.include({ code: 0, stdout: `${out}\n` });
    const policy = join(folder, 'first.policy');
    const fetched = await run(['audit', 'policy', '--out', policy, '--json'], { environment });
    expect(fetched.code, fetched.stderr).to.equal(0);
    expect(await readFile(policy, 'utf8')).to.equal(`log ${vkey}\nquorum none\n`);
    expect((await run(['audit', 'verify', out, '--policy', policy])).code).to.equal(0);
    expect((await run(['audit', 'policy', '--out', policy], { environment })).code, 'never over an old one').to.equal(
      3,
    );
    expect((await run(['audit', 'export', '--out', out, '--from', 'x'], { environment })).code).to.equal(3);
    expect(server.asked.map(({ url }) => url).slice(0, 3)).to.deep.equal([
      '/api/v1/audit/export?from=2',
      '/api/v1/audit/log/checkpoint',
      '/api/v1/audit/export?from=39',
    ]);
    await server.close();
  });
});

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) {
    await Promise.resolve();
    yield bytes.subarray(at, at + 700);
  }
}
