/** The programs of the embedded server. */
import { lstat, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { findBinaries, makeLinks } from '../../../../src/platform/postgres/embedded/binaries.ts';

describe('the programs of the embedded server', () => {
  it('are there, of one version', async () => {
    const { initdb, postgres, majorVersion } = await findBinaries();
    expect(((await lstat(initdb)).mode & 0o111) === 0o111 && ((await lstat(postgres)).mode & 0o111) === 0o111).to.equal(
      true,
    );
    expect(majorVersion).to.match(/^\d\d$/);
  });

  it('get the links that an installation without scripts leaves out, and keep those that are there', async () => {
    const root = await mkdtemp(join(tmpdir(), 'writ-test-package-'));
    await mkdir(join(root, 'native/lib'), { recursive: true });
    await writeFile(join(root, 'native/lib/liba.so.1.2'), 'a library');
    const links = ['liba.so', 'liba.so.1'].map((name) => ({
      source: 'native/lib/liba.so.1.2',
      target: `native/lib/${name}`,
    }));
    await writeFile(join(root, 'native/pg-symlinks.json'), JSON.stringify(links));
    await Promise.all([makeLinks(root), makeLinks(root)]);
    await makeLinks(root);
    for (const { target } of links) expect(await readFile(join(root, target), 'utf8')).to.equal('a library');
    await rm(root, { recursive: true });
  });
});
