/** Reads hashes of the stored tree, for roots and proofs at any size. */

import { hashBytes, foldSubtrees, nodeHash } from '../proof/tree.ts';
import type { Subtree } from '../proof/tree-proof.ts';
import { tileHeight } from '../proof/tiles.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { readLeaves, readTileRoots } from './log-sql.ts';

/** The log's tables lack leaves that they should have. */
export class MissingLeafError extends Error {
  constructor() {
    super('the log does not reach so far, or has gaps');
    this.name = 'MissingLeafError';
  }
}

/**
 * Hash of the complete subtree of 2^level leaves at `index`. Taken from the roots of full tiles where these are stored, from
 * leaves else. Fails with MissingLeafError where the log does not reach so far.
 */
export async function readSubtree(db: Queryable, { level, index }: Subtree): Promise<Buffer> {
  const tileLevel = Math.floor(level / tileHeight);
  const count = 2 ** (level % tileHeight);
  const from = index * count;
  const hashes =
    tileLevel === 0
      ? await readLeaves(db, from, from + count)
      : await readTileRoots(db, tileLevel - 1, from, from + count);
  if (hashes.length === count) return fold(hashes);
  if (level === 0) throw new MissingLeafError();
  const [left, right] = [
    await readSubtree(db, { level: level - 1, index: index * 2 }),
    await readSubtree(db, { level: level - 1, index: index * 2 + 1 }),
  ];
  return nodeHash(left, right);
}

/** Hashes of the complete subtrees over the first `size` leaves, largest first. */
export async function readCompactRange(db: Queryable, size: number): Promise<Buffer[]> {
  const hashes: Buffer[] = [];
  let start = 0;
  for (let level = Math.floor(Math.log2(Math.max(1, size))); level >= 0; level--) {
    const count = 2 ** level;
    if (size - start < count) continue;
    hashes.push(await readSubtree(db, { level, index: start / count }));
    start += count;
  }
  return hashes;
}

/** Root over the first `size` leaves. */
export async function readRoot(db: Queryable, size: number): Promise<Buffer> {
  return foldSubtrees(await readCompactRange(db, size));
}

function fold(hashes: Buffer[]): Buffer {
  let level = hashes;
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i + 1 < level.length; i += 2) {
      next.push(nodeHash(level[i] ?? Buffer.alloc(hashBytes), level[i + 1] ?? Buffer.alloc(hashBytes)));
    }
    level = next;
  }
  return level[0] ?? Buffer.alloc(0);
}
