import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { sha256 } from '../../src/proof/hash.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { leafHash } from '../../src/proof/record.ts';
import {
  consistencyProof,
  inclusionProof,
  rootFromSubtrees,
  verifyConsistency,
  verifyInclusion,
  type HashReader,
} from '../../src/proof/tree-proof.ts';
import { CompactRange, emptyRoot, nodeHash } from '../../src/proof/tree.ts';
import { subtreeReader } from './log-builder.ts';

/** Leaves, roots and proofs of the reference tests of Certificate Transparency. */
const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const roots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const inclusions: [index: number, size: number, proof: string[]][] = [
  [0, 1, []],
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
];
const consistencies: [oldSize: number, size: number, proof: string[]][] = [
  [1, 1, []],
  [
    1,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    6,
    8,
    [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [
    2,
    5,
    [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
];

const leaves = inputs.map((hex) => leafHash(Buffer.from(hex, 'hex')));
const hex = (hashes: readonly Uint8Array[]): string[] => hashes.map((hash) => Buffer.from(hash).toString('hex'));
const bytes = (hashes: readonly string[]): Buffer[] => hashes.map((hash) => Buffer.from(hash, 'hex'));

describe('the tree of RFC 6962', () => {
  it('has the roots of the reference leaves', () => {
    expect(emptyRoot().toString('hex')).to.equal('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    const range = new CompactRange();
    for (const [i, leaf] of leaves.entries()) {
      range.append(leaf);
      expect(range.root().toString('hex')).to.equal(roots[i]);
    }
  });

  it('makes and verifies the reference proofs', async () => {
    const read = subtreeReader(leaves);
    for (const [index, size, proof] of inclusions) {
      expect(hex(await inclusionProof(read, index, size))).to.deep.equal(proof);
      const root = Buffer.from(roots[size - 1] ?? '', 'hex');
      expect(verifyInclusion(leaves[index] ?? root, index, size, bytes(proof), root)).to.equal(true);
    }
    for (const [oldSize, size, proof] of consistencies) {
      expect(hex(await consistencyProof(read, oldSize, size))).to.deep.equal(proof);
      const [oldRoot, root] = [roots[oldSize - 1] ?? '', roots[size - 1] ?? ''].map((text) => Buffer.from(text, 'hex'));
      if (oldRoot === undefined || root === undefined) throw new Error('there are roots');
      expect(verifyConsistency(oldSize, size, bytes(proof), oldRoot, root)).to.equal(true);
    }
  });

  it('proves every leaf and every earlier size of any tree, and nothing else', async () => {
    const many = Array.from({ length: 140 }, (_, i) => leafHash(`leaf ${i.toString()}`));
    const read = subtreeReader(many);
    const rootOf = (size: number): Promise<Buffer> => rootFromSubtrees(read, size);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 140 }), fc.nat(139), fc.nat(255), async (size, any, flip) => {
        const index = any % size;
        const [root, leaf] = [await rootOf(size), many[index] ?? Buffer.alloc(0)];
        const proof = await inclusionProof(read, index, size);
        expect(verifyInclusion(leaf, index, size, proof, root)).to.equal(true);
        expect(verifyInclusion(leaf, index, size, [...proof, root], root)).to.equal(false);
        expect(verifyInclusion(many[(index + 1) % 140] ?? leaf, index, size, proof, root)).to.equal(false);
        const old = (any % size) + 1;
        const steps = await consistencyProof(read, old, size);
        expect(verifyConsistency(old, size, steps, await rootOf(old), root)).to.equal(true);
        const wrong = await rootOf(old);
        wrong[flip % 32] = (wrong[flip % 32] ?? 0) ^ 1;
        expect(verifyConsistency(old, size, steps, wrong, root)).to.equal(false);
        expect(verifyConsistency(old, size, [...steps, root], await rootOf(old), root)).to.equal(false);
        for (const [i, step] of steps.entries()) {
          const changed = [...steps];
          changed[i] = sha256(step);
          expect(verifyConsistency(old, size, changed, await rootOf(old), root)).to.equal(false);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('goes on from a compact range as from the first leaf', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(60), (before, after) => {
        const whole = new CompactRange();
        for (let i = 0; i < before; i++) whole.append(leafHash(i.toString()));
        const resumed = new CompactRange(whole.size, whole.hashes);
        for (let i = before; i < before + after; i++) {
          whole.append(leafHash(i.toString()));
          resumed.append(leafHash(i.toString()));
        }
        expect(resumed.root().equals(whole.root())).to.equal(true);
      }),
    );
    expect(() => new CompactRange(3, [emptyRoot()])).to.throw(ProofError);
  });

  for (const power of [31, 32, 40, 52]) {
    it(`is right around 2^${power.toString()} leaves, where shifts of 32 bits are not`, async () => {
      const around = 2 ** power;
      const marked = [0, 1, around - 2, around - 1, around, around + 1, around % 2 ** 32, (around + 1) % 2 ** 31];
      const read = syntheticReader(marked);
      for (const size of [around - 1, around, around + 1, around + 2, around + 5]) {
        const root = await rootFromSubtrees(read, size);
        expect(root.equals(naiveRoot(marked, 0n, BigInt(size)))).to.equal(true);
        for (const index of new Set([...marked, size - 1, Math.floor(size / 3)])) {
          if (index >= size) continue;
          const [leaf = root] = await read([{ level: 0, index }]);
          const proof = await inclusionProof(read, index, size);
          expect(verifyInclusion(leaf, index, size, proof, root), `${index.toString()} of ${size.toString()}`).to.equal(
            true,
          );
          if (index < 2 ** 31) continue;
          expect(verifyInclusion(leaf, index % 2 ** 31, size, proof, root), 'the index cut to 31 bits').to.equal(false);
        }
        for (const old of [1, 2 ** 20 + 3, around - 3, around - 1, size]) {
          if (old > size) continue;
          const steps = await consistencyProof(read, old, size);
          expect(verifyConsistency(old, size, steps, await rootFromSubtrees(read, old), root)).to.equal(true);
        }
      }
      const range = new CompactRange(around - 1, await read(subtreesBelow(around - 1)));
      const [leaf = Buffer.alloc(32)] = await read([{ level: 0, index: around - 1 }]);
      range.append(Buffer.from(leaf));
      expect(range.root().equals(await rootFromSubtrees(read, around))).to.equal(true);
    });
  }
});

function subtreesBelow(size: number): { level: number; index: number }[] {
  const subtrees = [];
  let from = 0n;
  for (let level = 53; level >= 0; level--) {
    const width = 2n ** BigInt(level);
    if ((BigInt(size) & width) === 0n) continue;
    subtrees.push({ level, index: Number(from / width) });
    from += width;
  }
  return subtrees;
}

const common = leafHash('common');
const commonHashes = [common];
for (let level = 1; level <= 53; level++) {
  const below = commonHashes[level - 1] ?? common;
  commonHashes.push(nodeHash(below, below));
}
const markedLeaf = (index: number): Buffer => leafHash(`marked ${index.toString()}`);

/** A tree whose leaves are all alike but for the marked ones: subtrees without one have a hash for each level. */
function syntheticReader(marked: readonly number[]): HashReader {
  const hashOf = (level: number, index: number): Buffer => {
    const inside = marked.some((leaf) => BigInt(leaf) / 2n ** BigInt(level) === BigInt(index));
    if (!inside) return commonHashes[level] ?? common;
    return level === 0 ? markedLeaf(index) : nodeHash(hashOf(level - 1, index * 2), hashOf(level - 1, index * 2 + 1));
  };
  return (subtrees) => Promise.resolve(subtrees.map(({ level, index }) => hashOf(level, index)));
}

/** RFC 6962 §2.1 word by word, with big integers. */
function naiveRoot(marked: readonly number[], from: bigint, to: bigint): Buffer {
  const size = to - from;
  const level = size.toString(2).length - 1;
  const isWhole = size === 2n ** BigInt(level);
  const isMarked = marked.some((leaf) => BigInt(leaf) >= from && BigInt(leaf) < to);
  if (isWhole && !isMarked) return commonHashes[level] ?? common;
  if (size === 1n) return markedLeaf(Number(from));
  const middle = 2n ** BigInt(isWhole ? level - 1 : level);
  return nodeHash(naiveRoot(marked, from, from + middle), naiveRoot(marked, from + middle, to));
}
