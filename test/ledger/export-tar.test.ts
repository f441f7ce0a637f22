import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { verifyBundle } from '../../src/cli/audit-verify.ts';
import { exportBundle, type BundleExport } from '../../src/ledger/export.ts';
import { toTar } from '../../src/ledger/export-tar.ts';
import { formatTarHeader } from '../../src/ledger/tar-header.ts';
import { formatPolicy } from '../../src/proof/policy.ts';
import { readAll, readBundle } from './read-bundle.ts';
import { startTestLog, type TestLog } from './test-log.ts';

describe('a bundle as a tar', () => {
  let log: TestLog;
  let folder: string;

  before(async () => {
    log = await startTestLog();
    await log.grow(600);
    await log.sign();
    folder = await mkdtemp(join(tmpdir(), 'writ-tar-'));
  });

  after(async () => {
    await rm(folder, { recursive: true, force: true });
    await log.drop();
  });

  async function writeTar(name: string, range = {}): Promise<BundleExport> {
    const bundle = await exportBundle(log.database, range, log);
    await writeFile(join(folder, name), await readAll(toTar(bundle)));
    return bundle;
  }

  it('verifies as it is, and compressed', async () => {
    await writeTar('whole.tar', { from: 7 });
    await writeFile(join(folder, 'policy'), formatPolicy(log.vkey));
    spawnSync('gzip', ['--keep', join(folder, 'whole.tar')]);
    for (const name of ['whole.tar', 'whole.tar.gz']) {
      const report = await verifyBundle({ path: join(folder, name), policyPath: join(folder, 'policy') });
      expect(report).to.include({ exit_code: 0, from: 7, size: 602 });
    }
  });

  it('is unpacked by tar to exactly the members', async () => {
    const bundle = await writeTar('plain.tar');
    const { status, stderr } = spawnSync('tar', ['-xf', 'plain.tar', '--one-top-level=unpacked'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect([status, stderr]).to.deep.equal([0, '']);
    const members = await readBundle(bundle);
    expect((await readdir(join(folder, 'unpacked'))).sort()).to.deep.equal([...members.keys()].sort());
    for (const [name, bytes] of members) expect(await readFile(join(folder, 'unpacked', name))).to.deep.equal(bytes);
  });

  it('tells the size of a member in octal digits, and in binary where it does not fit them', () => {
    const sizeOf = (size: number): string =>
      formatTarHeader('records.jsonl', size, new Date(0)).toString('latin1', 124, 136);
    expect(sizeOf(8 ** 11 - 1)).to.equal('77777777777\0');
    expect(sizeOf(8 ** 11)).to.equal('\x80\0\0\0\0\0\0\x02\0\0\0\0');
  });

  it('leaves no file behind, also where it is not read to its end, or a member fails', async () => {
    const spool = await mkdtemp(join(folder, 'spool-'));
    const bundle = await exportBundle(log.database, {}, log);
    for await (const chunk of toTar(bundle, spool)) if (chunk.length > 0) break;
    const failing: BundleExport = { ...bundle, open: () => failed() };
    const failure: unknown = await readAll(toTar(failing, spool)).catch((error: unknown) => error);
    expect(failure).to.have.property('message', 'the database is gone');
    expect(await readdir(spool)).to.deep.equal([]);
  });

  // eslint-disable-next-line @typescript-eslint/require-await -- as a member that is read from a database
  async function* failed(): AsyncGenerator<Buffer> {
    yield Buffer.from('{');
    throw new Error('the database is gone');
  }
});
