import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { ProofError } from '../../src/proof/proof-error.ts';
import { leafHash } from '../../src/proof/record.ts';
import {
  changedTiles,
  decodeEntries,
  encodeEntries,
  hashInTile,
  levelWidth,
  parseTilePath,
  tileOfSubtree,
  tilePath,
  tileWidth,
  type Tile,
} from '../../src/proof/tiles.ts';
import { rootFromSubtrees, subtreesOfSize, type HashReader } from '../../src/proof/tree-proof.ts';
import { CompactRange, nodeHash } from '../../src/proof/tree.ts';

describe('tiles', () => {
  it('have the paths of the specification', () => {
    expect(tilePath({ level: 0, n: 1_234_067, width: tileWidth })).to.equal('tile/0/x001/x234/067');
    expect(tilePath({ level: 1, n: 0, width: 17 })).to.equal('tile/1/000.p/17');
    expect(tilePath({ level: 'entries', n: 999, width: tileWidth })).to.equal('tile/entries/999');
    expect(tilePath({ level: 0, n: 1000, width: tileWidth })).to.equal('tile/0/x001/000');
  });

  it('are found by their paths and by no other', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(63), fc.constant('entries' as const)),
        fc.integer({ min: 0, max: 2 ** 45 }),
        fc.integer({ min: 1, max: 256 }),
        (level, n, width) => {
          const tile: Tile = { level, n, width };
          expect(parseTilePath(tilePath(tile))).to.deep.equal(tile);
        },
      ),
    );
    const wrong = [
      'tile/0/1',
      'tile/00/001',
      'tile/64/001',
      'tile/0/x000/001',
      'tile/0/001/002',
      'tile/0/x001',
      'tile/0/001.p/0',
      'tile/0/001.p/256',
      'tile/0/001.p/01',
      'tile/0/../001',
      '/tile/0/001',
      'tile/0/001\n',
      'tile/data/001',
      `tile/0/${'x999/'.repeat(6)}999`,
    ];
    for (const path of wrong) expect(() => parseTilePath(path), path).to.throw(ProofError);
  });

  it('are as many and as wide as the example of 70,000 leaves says', () => {
    const tiles = changedTiles(0, 70_000);
    expect(tiles.filter(({ level, width }) => level === 0 && width === 256)).to.have.length(273);
    expect(tiles.filter(({ width }) => width < 256)).to.deep.equal([
      { level: 0, n: 273, width: 112 },
      { level: 1, n: 1, width: 17 },
      { level: 2, n: 0, width: 1 },
    ]);
    expect(changedTiles(0, 256)).to.deep.equal([
      { level: 0, n: 0, width: 256 },
      { level: 1, n: 0, width: 1 },
    ]);
    expect(changedTiles(256, 256)).to.deep.equal([]);
    expect(changedTiles(2 ** 40, 2 ** 40 + 1)).to.deep.equal([{ level: 0, n: 2 ** 32, width: 1 }]);
  });

  it('hold the hashes of every complete subtree', async () => {
    const size = 1337;
    const stored = new Map<string, Buffer>();
    const range = new CompactRange();
    let level0: Buffer[] = [];
    for (let i = 0; i < size; i++) {
      level0.push(leafHash(i.toString()));
      range.append(level0.at(-1) ?? Buffer.alloc(0));
    }
    for (let level = 0; levelWidth(size, level) > 0; level++) {
      for (let n = 0; n * 256 < level0.length; n++)
        stored.set(`${level.toString()} ${n.toString()}`, Buffer.concat(level0.slice(n * 256, n * 256 + 256)));
      level0 = Array.from({ length: Math.floor(level0.length / 256) }, (_, n) =>
        fold(level0.slice(n * 256, n * 256 + 256)),
      );
    }
    const read: HashReader = (subtrees) =>
      Promise.resolve(
        subtrees.map((subtree) => {
          const { level, n, offset, count } = tileOfSubtree(subtree);
          return hashInTile(stored.get(`${level.toString()} ${n.toString()}`) ?? Buffer.alloc(0), offset, count);
        }),
      );
    expect(subtreesOfSize(size)[0]).to.deep.equal({ level: 10, index: 0 });
    expect((await rootFromSubtrees(read, size)).equals(range.root())).to.equal(true);
  });

  it('of entries are read back as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (entries) => {
        const read = decodeEntries(encodeEntries(entries));
        expect(read.map((entry) => [...entry])).to.deep.equal(entries.map((entry) => [...entry]));
      }),
    );
    expect(() => encodeEntries([Buffer.alloc(65_536)])).to.throw(ProofError);
    expect(() => decodeEntries(Buffer.from([0]))).to.throw(ProofError);
    expect(() => decodeEntries(Buffer.from([0, 2, 1]))).to.throw(ProofError);
  });
});

function fold(hashes: readonly Buffer[]): Buffer {
  const [first = Buffer.alloc(0)] = hashes;
  if (hashes.length === 1) return first;
  const half = hashes.length / 2;
  return nodeHash(fold(hashes.slice(0, half)), fold(hashes.slice(half)));
}
