/** Grows the tree leaf by leaf: full tiles fall out, and what is not full yet stays in memory. */

import { CompactRange, nodeHash } from '../proof/tree.ts';
import { levelWidth, tileWidth } from '../proof/tiles.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { readLeaves, readTileRoots, type FullTile } from './log-sql.ts';

/** Of each level, the hashes of the tile that is not full, and how many full ones there are. */
interface Level {
  full: number;
  hashes: Buffer[];
}

/** Invariant: `range` and `levels` tell of the same leaves; `#tiles` are the full tiles that are not stored yet. */
export class TileBuilder {
  readonly #levels: Level[];
  readonly #range: CompactRange;
  #tiles: FullTile[] = [];

  private constructor(levels: Level[], range: CompactRange) {
    this.#levels = levels;
    this.#range = range;
  }

  /** The state after `size` leaves, all full tiles of which are stored. */
  static async load(db: Queryable, size: number): Promise<TileBuilder> {
    const levels: Level[] = [];
    for (let level = 0; level === 0 || levelWidth(size, level) > 0; level++) {
      const width = levelWidth(size, level);
      const full = Math.floor(width / tileWidth);
      const from = full * tileWidth;
      const hashes = level === 0 ? await readLeaves(db, from, width) : await readTileRoots(db, level - 1, from, width);
      if (hashes.length !== width - from) throw new Error(`level ${level.toString()} of the stored tree has gaps`);
      levels.push({ full, hashes });
    }
    return new TileBuilder(
      levels,
      new CompactRange(
        size,
        levels.toReversed().flatMap(({ hashes }) => subtrees(hashes)),
      ),
    );
  }

  get size(): number {
    return this.#range.size;
  }

  root(): Buffer {
    return this.#range.root();
  }

  append(leaf: Buffer): void {
    this.#range.append(leaf);
    this.#grow(0, leaf);
  }

  /** Full tiles since the last call of `stored`. */
  get tiles(): readonly FullTile[] {
    return this.#tiles;
  }

  /** The tiles up to here are in the database. */
  stored(tiles: readonly FullTile[]): void {
    this.#tiles = this.#tiles.slice(tiles.length);
  }

  #grow(at: number, hash: Buffer): void {
    const level = (this.#levels[at] ??= { full: 0, hashes: [] });
    level.hashes.push(hash);
    if (level.hashes.length < tileWidth) return;
    const [root] = subtrees(level.hashes);
    if (root === undefined) throw new Error('a full tile has one root');
    this.#tiles.push({ level: at, n: level.full, hashes: Buffer.concat(level.hashes), root });
    level.full++;
    level.hashes = [];
    this.#grow(at + 1, root);
  }
}

/** Hashes of the complete subtrees over neighbours, largest first. */
function subtrees(hashes: readonly Buffer[]): Buffer[] {
  const stack: { count: number; hash: Buffer }[] = [];
  for (const hash of hashes) {
    let top = { count: 1, hash };
    for (let left = stack.at(-1); left?.count === top.count; left = stack.at(-1)) {
      stack.pop();
      top = { count: top.count * 2, hash: nodeHash(left.hash, top.hash) };
    }
    stack.push(top);
  }
  return stack.map(({ hash }) => hash);
}
