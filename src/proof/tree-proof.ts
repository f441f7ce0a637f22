/** Inclusion and consistency proofs, made from the hashes of complete subtrees and verified (RFC 9162 §2.1.3, §2.1.4). */

import { ProofError, prove } from './proof-error.ts';
import { emptyRoot, foldSubtrees, nodeHash } from './tree.ts';

/** A complete subtree: 2^level leaves from leaf index · 2^level on. */
export interface Subtree {
  level: number;
  index: number;
}

/** Answers the hash of each subtree, in order; it is asked once for all that a proof needs. */
export type HashReader = (subtrees: readonly Subtree[]) => Promise<readonly Uint8Array[]>;

/** Leaves `from` … `to` − 1. */
interface LeafRange {
  from: number;
  to: number;
}

/** Proof that leaf `index` is in the tree of `size` leaves: from the leaf's sibling to the root's child. */
export async function inclusionProof(read: HashReader, index: number, size: number): Promise<Buffer[]> {
  checkSize(size);
  checkSize(index);
  prove(index < size, 'bad_size', 'the leaf is not in the tree');
  const ranges: LeafRange[] = [];
  let range = { from: 0, to: size };
  while (range.to - range.from > 1) {
    const middle = range.from + powerOfTwoBelow(range.to - range.from);
    const left = { from: range.from, to: middle };
    const right = { from: middle, to: range.to };
    ranges.push(index < middle ? right : left);
    range = index < middle ? left : right;
  }
  return readRanges(read, ranges.reverse());
}

/** Proof that the tree of `size` leaves begins with the tree of `oldSize`; empty where either says nothing. */
export async function consistencyProof(read: HashReader, oldSize: number, size: number): Promise<Buffer[]> {
  checkSize(size);
  checkSize(oldSize);
  prove(oldSize <= size, 'bad_size', 'the old tree is larger than the new one');
  if (oldSize === 0) return [];
  const ranges: LeafRange[] = [];
  let range = { from: 0, to: size };
  while (range.to !== oldSize) {
    const middle = range.from + powerOfTwoBelow(range.to - range.from);
    const left = { from: range.from, to: middle };
    const right = { from: middle, to: range.to };
    ranges.push(oldSize <= middle ? right : left);
    range = oldSize <= middle ? left : right;
  }
  // The old root itself is known to who verifies; any other subtree is not.
  if (range.from > 0) ranges.push(range);
  return readRanges(read, ranges.reverse());
}

/** Root of the tree of `size` leaves. */
export async function rootFromSubtrees(read: HashReader, size: number): Promise<Buffer> {
  checkSize(size);
  return foldSubtrees(await read(subtreesOf({ from: 0, to: size })));
}

/** The complete subtrees that make up the tree of `size` leaves, largest first. */
export function subtreesOfSize(size: number): Subtree[] {
  checkSize(size);
  return subtreesOf({ from: 0, to: size });
}

/** RFC 9162 §2.1.3.2: whether `proof` leads from the leaf's hash at `index` to `root`. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leaf, root, ...proof])) return false;
  let position = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      hash = nodeHash(sibling, hash);
      while (position % 2 === 0 && position !== 0) [position, last] = [half(position), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && Buffer.compare(hash, root) === 0;
}

/** RFC 9162 §2.1.4.2: whether the tree of `size` leaves begins with the tree of `oldSize`. */
export function verifyConsistency(
  oldSize: number,
  size: number,
  proof: readonly Uint8Array[],
  oldRoot: Uint8Array,
  root: Uint8Array,
): boolean {
  if (!isSize(oldSize) || !isSize(size) || oldSize > size || !areHashes([oldRoot, root, ...proof])) return false;
  if (oldSize === size) return proof.length === 0 && Buffer.compare(oldRoot, root) === 0;
  if (oldSize === 0) return proof.length === 0 && Buffer.compare(oldRoot, emptyRoot()) === 0;
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof];
  const first = path.shift();
  if (first === undefined) return false;
  let position = oldSize - 1;
  let last = size - 1;
  while (position % 2 === 1) [position, last] = [half(position), half(last)];
  let oldHash = first;
  let hash = first;
  for (const sibling of path) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      oldHash = nodeHash(sibling, oldHash);
      hash = nodeHash(sibling, hash);
      while (position % 2 === 0 && position !== 0) [position, last] = [half(position), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && Buffer.compare(oldHash, oldRoot) === 0 && Buffer.compare(hash, root) === 0;
}

async function readRanges(read: HashReader, ranges: readonly LeafRange[]): Promise<Buffer[]> {
  const parts = ranges.map(subtreesOf);
  const hashes = await read(parts.flat());
  let taken = 0;
  return parts.map((subtrees) => foldSubtrees(hashes.slice(taken, (taken += subtrees.length))));
}

/** The complete subtrees of a range that begins where a subtree of its whole width can. */
function subtreesOf(range: LeafRange): Subtree[] {
  const subtrees: Subtree[] = [];
  let { from } = range;
  while (from < range.to) {
    let width = 1;
    let level = 0;
    while (width * 2 <= range.to - from) [width, level] = [width * 2, level + 1];
    subtrees.push({ level, index: from / width });
    from += width;
  }
  return subtrees;
}

/** The largest power of two smaller than a number over 1. */
function powerOfTwoBelow(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

function isPowerOfTwo(size: number): boolean {
  let power = 1;
  while (power < size) power *= 2;
  return power === size;
}

/** A shift to the right that does not end at 32 bits. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 0;
}

function checkSize(size: number): void {
  if (!isSize(size)) throw new ProofError('bad_size', 'a size is a number from 0');
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === 32);
}
