/** Tiles and entry bundles in the C2SP tlog-tiles layout: paths, bytes, and which of them a growing tree changes. */

import { bufferOf } from './bytes.ts';
import { ProofError, prove } from './proof-error.ts';
import { recordMaxBytes } from './record.ts';
import type { Subtree } from './tree-proof.ts';
import { hashBytes, nodeHash } from './tree.ts';

/** Levels of the tree in one tile, and hashes in a full one. */
export const tileHeight = 8;
export const tileWidth = 256;

/** A tile of hashes, or of entries where `level` is `entries`; `width` is under 256 in a partial one. */
export interface Tile {
  level: number | 'entries';
  n: number;
  width: number;
}

/** `tile/<L>/<N>[.p/<W>]`, N in groups of three digits. */
export function tilePath({ level, n, width }: Tile): string {
  let digits = n.toString();
  digits = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  const groups = digits.match(/.{3}/g) ?? [];
  const index = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level.toString()}/${index}${width === tileWidth ? '' : `.p/${width.toString()}`}`;
}

const path = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** Reads a path; refuses with `bad_path` any but the one form of a tile. */
export function parseTilePath(text: string): Tile {
  const [, levelText, indexText, widthText] = path.exec(text) ?? [];
  if (levelText !== undefined && indexText !== undefined) {
    const level: Tile['level'] = levelText === 'entries' ? levelText : Number(levelText);
    const n = Number(indexText.replaceAll(/[x/]/g, ''));
    const tile = { level, n, width: widthText === undefined ? tileWidth : Number(widthText) };
    const isPossible = Number.isSafeInteger(n) && (level === 'entries' || level <= 63);
    if (isPossible && tilePath(tile) === text && (widthText === undefined || tile.width < tileWidth)) return tile;
  }
  throw new ProofError('bad_path', 'not the path of a tile');
}

/** How many hashes a level of tiles has in a tree of `size` leaves. */
export function levelWidth(size: number, level: number): number {
  return Math.floor(size / tileWidth ** level);
}

/**
 * Tiles of hashes that are new or wider in a tree of `size` leaves than in one of `oldSize`, in order of level and
 * index: what must be written before a checkpoint of `size` is published.
 */
export function changedTiles(oldSize: number, size: number): (Tile & { level: number })[] {
  const tiles: (Tile & { level: number })[] = [];
  for (let level = 0; levelWidth(size, level) > 0; level++) {
    const before = levelWidth(oldSize, level);
    const after = levelWidth(size, level);
    if (before === after) continue;
    for (let n = Math.floor(before / tileWidth); n * tileWidth < after; n++) {
      tiles.push({ level, n, width: Math.min(tileWidth, after - n * tileWidth) });
    }
  }
  return tiles;
}

/** Where the hash of a complete subtree comes from: `count` hashes of one tile, from `offset` on. */
export function tileOfSubtree({ level, index }: Subtree): { level: number; n: number; offset: number; count: number } {
  const count = 2 ** (level % tileHeight);
  const first = index * count;
  return {
    level: Math.floor(level / tileHeight),
    n: Math.floor(first / tileWidth),
    offset: first % tileWidth,
    count,
  };
}

/** The hash over `count` (a power of two) of a tile's hashes, from `offset` on. */
export function hashInTile(tile: Uint8Array, offset: number, count: number): Buffer {
  prove(tile.length >= (offset + count) * hashBytes, 'bad_tile', 'the tile is not so wide');
  let hashes: Uint8Array[] = [];
  for (let i = offset; i < offset + count; i++) hashes.push(tile.subarray(i * hashBytes, (i + 1) * hashBytes));
  while (hashes.length > 1) {
    const pairs: Buffer[] = [];
    hashes.forEach((right, i) => {
      const left = hashes[i - 1];
      if (i % 2 === 1 && left !== undefined) pairs.push(nodeHash(left, right));
    });
    hashes = pairs;
  }
  return Buffer.from(hashes[0] ?? []);
}

/** Bytes of an entry bundle: each entry after its length as uint16, big-endian. */
export function encodeEntries(entries: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    prove(entry.length <= recordMaxBytes, 'too_large', 'an entry has at most 65,535 bytes');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    parts.push(length, entry);
  }
  return Buffer.concat(parts);
}

/** Entries of a bundle; refuses bytes that end inside one. */
export function decodeEntries(bytes: Uint8Array): Buffer[] {
  const buffer = bufferOf(bytes);
  const entries: Buffer[] = [];
  let at = 0;
  while (at < buffer.length) {
    prove(at + 2 <= buffer.length, 'bad_tile', 'an entry bundle ends inside a length');
    const end = at + 2 + buffer.readUInt16BE(at);
    prove(end <= buffer.length, 'bad_tile', 'an entry bundle ends inside an entry');
    entries.push(buffer.subarray(at + 2, end));
    at = end;
  }
  return entries;
}
