/** The log as C2SP tlog-tiles serves it: the newest checkpoint, tiles of hashes, and bundles of entries. */

import type { Queryable } from '../platform/postgres/pool.ts';
import { ProofError } from '../proof/proof-error.ts';
import { encodeEntries, levelWidth, parseTilePath, tileWidth, type Tile } from '../proof/tiles.ts';
import { readLastCheckpoint, readLeaves, readLines, readTileRoots } from './log-sql.ts';

/** The newest signed checkpoint, verbatim; undefined before the first. */
export async function readCheckpointNote(db: Queryable): Promise<string | undefined> {
  return (await readLastCheckpoint(db))?.note;
}

/**
 * Bytes of `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`. Full tiles never change, and a partial one of any width up to
 * what the newest checkpoint covers can be had. Undefined for any other path.
 */
export async function readTile(db: Queryable, path: string): Promise<Buffer | undefined> {
  const tile = parsePath(path);
  if (tile === undefined) return undefined;
  const covered = levelWidth((await readLastCheckpoint(db))?.size ?? 0, tile.level === 'entries' ? 0 : tile.level);
  if (tile.n * tileWidth + tile.width > covered) return undefined;
  return tile.level === 'entries' ? readEntries(db, tile) : readTileHashes(db, { ...tile, level: tile.level });
}

/** The first `width` hashes of a tile. Fails where they are not stored. */
export async function readTileHashes(db: Queryable, tile: Tile & { level: number }): Promise<Buffer> {
  const { level, n, width } = tile;
  const from = n * tileWidth;
  const full = width === tileWidth ? await readFullTile(db, level, n) : undefined;
  if (full !== undefined) return full;
  // The tile grows still, and so do its hashes: leaves, or what stands for the full tiles one level down.
  const hashes = await (level === 0
    ? readLeaves(db, from, from + width)
    : readTileRoots(db, level - 1, from, from + width));
  checkWhole(tile, hashes.length);
  return Buffer.concat(hashes);
}

async function readFullTile(db: Queryable, level: number, n: number): Promise<Buffer | undefined> {
  const found = await db.query<{ hashes: Buffer }>({
    name: 'read_full_tile',
    text: 'select hashes from audit_tiles where level = $1 and n = $2',
    values: [level, n],
  });
  return found.rows[0]?.hashes;
}

async function readEntries(db: Queryable, tile: Tile): Promise<Buffer> {
  const from = tile.n * tileWidth;
  const lines = await readLines(db, from, from + tile.width, tile.width);
  checkWhole(tile, lines.length);
  return encodeEntries(lines.map(({ line }) => line));
}

function checkWhole({ level, n, width }: Tile, found: number): void {
  if (found !== width) throw new Error(`tile ${n.toString()} of level ${level.toString()} of the stored tree has gaps`);
}

function parsePath(path: string): Tile | undefined {
  try {
    return parseTilePath(path);
  } catch (error) {
    if (error instanceof ProofError) return undefined;
    throw error;
  }
}
