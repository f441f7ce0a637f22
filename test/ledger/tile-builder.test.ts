import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { readLeaves, readTileRoots } from '../../src/ledger/log-sql.ts';
import { readCompactRange } from '../../src/ledger/subtree-reader.ts';
import { TileBuilder } from '../../src/ledger/tile-builder.ts';
import { hashInTile } from '../../src/proof/tiles.ts';
import { CompactRange } from '../../src/proof/tree.ts';
import { startTestLog, type TestLog } from './test-log.ts';

const sizes = [0, 1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_800];
const leavesMax = 66_000;

describe('TileBuilder', function () {
  this.timeout(60_000);
  let log: TestLog;
  let leaves: Buffer[];
  before(async () => {
    log = await startTestLog();
    await log.owner.query(
      `insert into audit_log (seq, id, at, type, outcome, leaf, line)
       select n, gen_random_uuid(), now(), 'a.b', 'success', sha256(convert_to(n::text, 'UTF8')), '' from generate_series(0, $1) n`,
      [leavesMax - 1],
    );
    leaves = await readLeaves(log.database, 0, leavesMax);
    const builder = await TileBuilder.load(log.database, 0);
    for (const leaf of leaves) builder.append(leaf);
    const { tiles } = builder;
    await log.owner.query(
      `insert into audit_tiles select * from unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[])`,
      [
        tiles.map(({ level }) => level),
        tiles.map(({ n }) => n),
        tiles.map(({ hashes }) => hashes),
        tiles.map(({ root }) => root),
      ],
    );
  });

  after(() => log.drop());

  function rangeOf(size: number): Buffer[] {
    const range = new CompactRange();
    for (const leaf of leaves.slice(0, size)) range.append(leaf);
    return range.hashes;
  }

  for (const size of sizes) {
    it(`stands at ${size.toString()} leaves as if it had been grown there`, async () => {
      const loaded = await TileBuilder.load(log.database, size);
      expect(loaded.size).to.equal(size);
      expect(loaded.root()).to.deep.equal(new CompactRange(size, rangeOf(size)).root());
      expect(loaded.tiles).to.deep.equal([]);
    });

    it(`grows from ${size.toString()} leaves to the same tiles and root`, async () => {
      const loaded = await TileBuilder.load(log.database, size);
      const range = new CompactRange(size, rangeOf(size));
      const end = Math.min(size + 300, leavesMax);
      for (const leaf of leaves.slice(size, end)) {
        loaded.append(leaf);
        range.append(leaf);
      }
      expect(loaded.root()).to.deep.equal(range.root());
      for (const tile of loaded.tiles) {
        const { rows } = await log.database.query(
          'select level, n, hashes, root from audit_tiles where level = $1 and n = $2',
          [tile.level, tile.n],
        );
        expect(rows).to.deep.equal([tile]);
      }
      const stored = await log.database.query<{ count: number }>(
        `select count(*) as count from audit_tiles where (n + 1) * 256 ^ (level + 1) > $1 and (n + 1) * 256 ^ (level + 1) <= $2`,
        [size, end],
      );
      expect(loaded.tiles.length).to.equal(stored.rows[0]?.count);
    });

    it(`reads the compact range of ${size.toString()} leaves back from what is stored`, async () => {
      expect(await readCompactRange(log.database, size)).to.deep.equal(rangeOf(size));
    });
  }

  it('stores for each full tile the hash over its 256', async () => {
    const { rows } = await log.database.query<{ hashes: Buffer; root: Buffer }>('select hashes, root from audit_tiles');
    expect(rows).to.have.length(257 + 1);
    for (const { hashes, root } of rows) expect(hashInTile(hashes, 0, 256)).to.deep.equal(root);
    expect(await readTileRoots(log.database, 1, 0, 2)).to.deep.equal(rangeOf(65_536));
  });

  it('keeps tiles until they are stored, also those that became full meanwhile', async () => {
    const builder = await TileBuilder.load(log.database, 250);
    for (const leaf of leaves.slice(250, 260)) builder.append(leaf);
    const tiles = [...builder.tiles];
    for (const leaf of leaves.slice(260, 520)) builder.append(leaf);
    builder.stored(tiles);
    expect(builder.tiles.map(({ level, n }) => [level, n])).to.deep.equal([[0, 1]]);
  });

  it('refuses a stored tree with a gap', async () => {
    await log.tamper('delete from audit_tiles where level = 0 and n = 100');
    const failure: unknown = await TileBuilder.load(log.database, 65_000).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error).with.property('message', 'level 1 of the stored tree has gaps');
  });
});
