/** The digest of a tool: the same where nothing differs, another where anything does. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { loadCatalog } from '../../src/tools/catalog.ts';
import { digestOf } from '../../src/tools/digest.ts';
import { entryText, find, shippedTools, temporaryFolder, writeProgram } from './fixtures.ts';

describe('tool digest', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  async function digestNow(): Promise<string> {
    return find(await loadCatalog([folder.path]), 'mine', 'go').digest;
  }

  it('is SHA-256 over the documented text', () => {
    const files = [
      { label: 'room/b.ts', bytes: 2, sha256: 'bb' },
      { label: 'catalog/a.yaml', bytes: 1, sha256: 'aa' },
    ];
    const text = 'writ-tool-digest-v1\ncatalog/a.yaml\x001\x00aa\nroom/b.ts\x002\x00bb\n';
    expect(digestOf(files)).to.equal(`sha256:${createHash('sha256').update(text).digest('hex')}`);
    expect(digestOf(files.reverse())).to.equal(digestOf(files));
  });

  it('is the same in another process, from another copy of the catalog', async () => {
    const copy = join(folder.path, 'copy');
    await cp(shippedTools, copy, { recursive: true });
    const script = `
      const { loadCatalog } = await import(${JSON.stringify(new URL('../../src/tools/catalog.ts', import.meta.url).href)});
      const catalog = await loadCatalog([${JSON.stringify(copy)}]);
      console.log(JSON.stringify([...catalog.tools.values()].map(({ tool, digest }) => [tool, digest])));`;
    const child = promisify(execFile)(process.execPath, ['--import=tsx', '--input-type=module', '-e', script]);
    const here = [...(await loadCatalog([shippedTools])).tools.values()].map(({ tool, digest }) => [tool, digest]);
    expect(JSON.parse((await child).stdout)).to.deep.equal(here);
    for (const [, digest] of here) expect(digest).to.match(/^sha256:[0-9a-f]{64}$/);
    expect(new Set(here.map(([, digest]) => digest)).size).to.equal(here.length);
  });

  it('changes with a byte of the catalog file, even of a comment', async () => {
    await writeFile(join(folder.path, 'mine.yaml'), entryText({ run: { builtin: 'noop.run' } }));
    const before = await digestNow();
    expect(await digestNow()).to.equal(before);
    await appendFile(join(folder.path, 'mine.yaml'), '\n#');
    expect(await digestNow()).not.to.equal(before);
  });

  it('changes with a byte of the program', async () => {
    const program = await writeProgram(folder.path, 'tool', '');
    const run = { builtin: 'process.run', program, args: [] };
    await writeFile(join(folder.path, 'mine.yaml'), entryText({ run }));
    const before = await digestNow();
    await appendFile(program, '\n');
    expect(await digestNow()).not.to.equal(before);
  });
});
