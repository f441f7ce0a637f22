import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { readCheckpointNote, readTile } from '../../src/ledger/tile-service.ts';
import { parseCheckpoint } from '../../src/proof/checkpoint.ts';
import { parseNote } from '../../src/proof/note.ts';
import { leafHash } from '../../src/proof/record.ts';
import { decodeEntries, hashInTile, levelWidth, tileOfSubtree, tilePath, tileWidth } from '../../src/proof/tiles.ts';
import { rootFromSubtrees } from '../../src/proof/tree-proof.ts';
import { CompactRange } from '../../src/proof/tree.ts';
import { startTestLog, type TestLog } from './test-log.ts';

const size = 700;

describe('the tile service', () => {
  let log: TestLog;

  before(async () => {
    log = await startTestLog();
    expect(await readCheckpointNote(log.database)).to.equal(undefined);
    expect(await readTile(log.database, 'tile/0/000.p/1')).to.equal(undefined);
    await log.grow(298);
    await log.sign();
    await log.grow(size - 300);
    await log.sign();
    // Chained, but covered by no checkpoint.
    await log.grow(100);
  });

  after(() => log.drop());

  async function fetchTile(path: string): Promise<Buffer> {
    const tile = await readTile(log.database, path);
    if (tile === undefined) throw new Error(`no ${path}`);
    return tile;
  }

  async function signedRoot(): Promise<Buffer> {
    const checkpoint = parseCheckpoint(parseNote((await readCheckpointNote(log.database)) ?? '').text);
    expect([checkpoint.origin, checkpoint.size]).to.deep.equal([log.origin, size]);
    return checkpoint.root;
  }

  it('serves tiles from which the root of the checkpoint is made', async () => {
    const root = await rootFromSubtrees(async (subtrees) => {
      const hashes: Buffer[] = [];
      for (const subtree of subtrees) {
        const { level, n, offset, count } = tileOfSubtree(subtree);
        const width = Math.min(tileWidth, levelWidth(size, level) - n * tileWidth);
        hashes.push(hashInTile(await fetchTile(tilePath({ level, n, width })), offset, count));
      }
      return hashes;
    }, size);
    expect(root).to.deep.equal(await signedRoot());
  });

  it('serves entries whose hashes are the leaves of the signed tree', async () => {
    const tree = new CompactRange();
    for (let n = 0; n * tileWidth < size; n++) {
      const width = Math.min(tileWidth, size - n * tileWidth);
      const entries = decodeEntries(await fetchTile(tilePath({ level: 'entries', n, width })));
      expect(entries).to.have.length(width);
      for (const entry of entries) tree.append(leafHash(entry));
    }
    expect(tree.root()).to.deep.equal(await signedRoot());
  });

  it('serves partial tiles of any width as the beginning of the wider one', async () => {
    const full = await fetchTile('tile/0/001');
    for (const width of [1, 2, 44, 45, 255]) {
      const partial = await fetchTile(`tile/0/001.p/${width.toString()}`);
      expect(partial).to.deep.equal(full.subarray(0, width * 32));
    }
    const wide = await fetchTile('tile/1/000.p/2');
    expect(await fetchTile('tile/1/000.p/1')).to.deep.equal(wide.subarray(0, 32));
    expect(wide.subarray(32)).to.deep.equal(hashInTile(full, 0, 256));
    const entries = decodeEntries(await fetchTile('tile/entries/002.p/188'));
    expect(decodeEntries(await fetchTile('tile/entries/002.p/100'))).to.deep.equal(entries.slice(0, 100));
  });

  for (const path of [
    'tile/0/002',
    'tile/0/002.p/189',
    'tile/0/003.p/1',
    'tile/1/000',
    'tile/1/000.p/3',
    'tile/2/000.p/1',
    'tile/63/000.p/1',
    'tile/entries/002',
    'tile/entries/002.p/189',
    'tile/0/x001/000',
    'tile/0/x999/x999/x999/x999/999',
  ]) {
    it(`has nothing beyond the checkpoint: ${path}`, async () => {
      expect(await readTile(log.database, path)).to.equal(undefined);
    });
  }

  for (const path of [
    '',
    'checkpoint',
    'tile/0/0',
    'tile/0/001.p/0',
    'tile/0/001.p/256',
    'tile/00/001',
    'tile/x/001',
    "tile/0/001'",
  ]) {
    it(`has nothing at what is no path of a tile: ${path === '' ? 'nothing' : path}`, async () => {
      expect(await readTile(log.database, path)).to.equal(undefined);
    });
  }

  it('does not serve a tile with a gap', async () => {
    await log.tamper('delete from audit_log where seq = 600');
    for (const path of ['tile/0/002.p/188', 'tile/entries/002.p/188']) {
      const failure: unknown = await readTile(log.database, path).catch((error: unknown) => error);
      expect(failure)
        .to.be.instanceOf(Error)
        .with.property('message')
        .that.matches(/has gaps$/);
    }
  });
});
