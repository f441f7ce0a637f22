/** The mark in local files: the contract of every mark, and what may go wrong with files. */

import { readdirSync, renameSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { openLocalMark } from '../../../src/platform/keys/local-mark.ts';
import { markContract, markValue } from '../../contract/mark.ts';
import { makeDirectory, withDirectory } from './temporary-directory.ts';

markContract('the local mark', async () => {
  const { directory, remove } = await makeDirectory();
  return { open: (origin) => openLocalMark({ directory, origin }), stop: remove };
});

const origin = 'audit.example/Writ';

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof AppError ? `${error.code} ${error.reason}` : String(error)),
  );
}

/** A mark with a value, its directory, and the file that holds the value. */
async function setup(directory: string) {
  const mark = await openLocalMark({ directory, origin });
  await mark.write(undefined, markValue(3));
  const [name = ''] = await readdir(directory);
  return { mark, path: join(directory, name) };
}

describe('the local mark', () => {
  it('is a private file of canonical JSON, named by the origin', () =>
    withDirectory(async (directory) => {
      const { path } = await setup(directory);
      const { root, size } = markValue(3);
      expect(path).to.equal(join(directory, 'audit%2eexample%2f%57rit.1'));
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      expect(await readFile(path, 'utf8')).to.equal(`{"log":"${origin}","root":"${root}","size":${size.toString()}}`);
    }));

  it('keeps a bounded number of files, and sweeps what killed writers left', () =>
    withDirectory(async (directory) => {
      const { mark, path } = await setup(directory);
      await writeFile(`${path.slice(0, -1)}2.0123456789abcdef.tmp`, 'half');
      for (let size = 4; size < 40; size++) await mark.write(markValue(size - 1), markValue(size));
      const names = await readdir(directory);
      expect(names.filter((name) => name.endsWith('.tmp'))).to.deep.equal([]);
      expect(names).to.have.length(8);
      expect(await mark.read()).to.deep.equal(markValue(39));
    }));

  it('is not stopped by what a killed writer left', () =>
    withDirectory(async (directory) => {
      const { path } = await setup(directory);
      await writeFile(`${path.slice(0, -1)}2.0123456789abcdef.tmp`, '{"log":');
      const mark = await openLocalMark({ directory, origin });
      expect(await mark.read()).to.deep.equal(markValue(3));
      await mark.write(markValue(3), markValue(4));
      expect(await mark.read()).to.deep.equal(markValue(4));
    }));

  it('refuses a writer that slept while its version was written and swept', () =>
    withDirectory(async (directory) => {
      const { mark, path } = await setup(directory);
      for (let size = 4; size < 20; size++) await mark.write(markValue(size - 1), markValue(size));
      const names = await readdir(directory);
      const aside = await mkdtemp(join(directory, 'aside-'));
      for (const name of names) await rename(join(directory, name), join(aside, name));
      const { root } = markValue(3);
      await writeFile(path, `{"log":"${origin}","root":"${root}","size":3}`);
      const sleeper = await openLocalMark({ directory, origin });
      // It has read the first version when it compares; all others come back before it writes.
      const expected = {
        size: 3,
        get root() {
          for (const name of readdirSync(aside)) renameSync(join(aside, name), join(directory, name));
          return root;
        },
      };
      const write = sleeper.write(expected, markValue(50));
      expect(await reasonOf(write)).to.equal('conflict mark_moved');
      expect(await mark.read()).to.deep.equal(markValue(19));
    }));

  it('fails with unavailable, and says what to do, where the file is damaged', () =>
    withDirectory(async (directory) => {
      const { mark, path } = await setup(directory);
      const good = await readFile(path, 'utf8');
      const damaged = [
        '',
        good.slice(0, -1),
        `${good}\n`,
        good.replace('3}', '-3}'),
        good.replace('3}', '3.5}'),
        good.replace(origin, 'another/log'),
        good.replace(/"root":"[^"]*"/, '"root":"AAAA"'),
        '[]',
        'null',
      ];
      for (const text of damaged) {
        await writeFile(path, text);
        expect(await reasonOf(mark.read()), text).to.equal('unavailable mark_damaged');
        expect(await reasonOf(mark.write(markValue(3), markValue(4)))).to.equal('unavailable mark_damaged');
      }
      await writeFile(path, good);
      expect(await mark.read()).to.deep.equal(markValue(3));
    }));

  it('fails with unavailable where its directory is gone or cannot be made', () =>
    withDirectory(async (directory) => {
      const inside = join(directory, 'mark');
      const { mark } = await setup(inside);
      await rm(inside, { recursive: true });
      expect(await reasonOf(mark.read())).to.equal('unavailable mark_unavailable');
      await writeFile(inside, '');
      expect(await reasonOf(openLocalMark({ directory: inside, origin }))).to.equal('unavailable mark_unavailable');
    }));

  it('refuses a value that is no mark', () =>
    withDirectory(async (directory) => {
      const { mark } = await setup(directory);
      for (const value of [
        { size: -1, root: markValue(1).root },
        { size: 4, root: 'x' },
      ]) {
        expect(await reasonOf(mark.write(markValue(3), value))).to.equal('invalid mark_invalid');
      }
    }));

  it('gives long and strange origins files of their own', () =>
    withDirectory(async (directory) => {
      const origins = ['a'.repeat(400), `${'a'.repeat(399)}b`, '../../etc/passwd', 'ä/ö', 'a.1', 'a'];
      for (const [i, name] of origins.entries()) {
        const mark = await openLocalMark({ directory, origin: name });
        expect(await mark.read(), name).to.equal(undefined);
        await mark.write(undefined, markValue(i));
      }
      for (const [i, name] of origins.entries()) {
        expect(await (await openLocalMark({ directory, origin: name })).read()).to.deep.equal(markValue(i));
      }
    }));
});
