/** Hashes of a signed tree for proofs, read tile by tile. */

import type { Queryable } from '../platform/postgres/pool.ts';
import { hashInTile, levelWidth, tileOfSubtree, tileWidth } from '../proof/tiles.ts';
import type { HashReader } from '../proof/tree-proof.ts';
import { readTileHashes } from './tile-service.ts';

/** Tiles kept for the next proof: neighbours share all but the lowest of theirs. */
const tilesMax = 256;

/** Reads hashes of the tree of `size` leaves, which a stored checkpoint covers. For one caller, one proof after another. */
export function hashReader(db: Queryable, size: number): HashReader {
  const tiles = new Map<string, Buffer>();
  const readTile = async (level: number, n: number): Promise<Buffer> => {
    const key = `${level.toString()} ${n.toString()}`;
    const known = tiles.get(key);
    if (known !== undefined) return known;
    const width = Math.min(tileWidth, levelWidth(size, level) - n * tileWidth);
    const tile = await readTileHashes(db, { level, n, width });
    const oldest = tiles.size < tilesMax ? undefined : tiles.keys().next().value;
    if (oldest !== undefined) tiles.delete(oldest);
    tiles.set(key, tile);
    return tile;
  };
  return async (subtrees) => {
    const hashes: Buffer[] = [];
    for (const subtree of subtrees) {
      const { level, n, offset, count } = tileOfSubtree(subtree);
      hashes.push(hashInTile(await readTile(level, n), offset, count));
    }
    return hashes;
  };
}
