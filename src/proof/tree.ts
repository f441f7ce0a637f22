/** The Merkle tree of RFC 6962 §2.1: its hashes, and the compact range that grows it leaf by leaf. */

import { hash } from 'node:crypto';
import { ProofError, prove } from './proof-error.ts';

export const hashBytes = 32;

/** 0x01 ‖ left ‖ right; used within one call only. */
const scratch = Buffer.alloc(1 + 2 * hashBytes, 1);

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  prove(left.length === hashBytes && right.length === hashBytes, 'bad_hash', 'a hash has 32 bytes');
  scratch.set(left, 1);
  scratch.set(right, 1 + hashBytes);
  return hash('sha256', scratch, 'buffer');
}

/** Root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Buffer {
  return hash('sha256', '', 'buffer');
}

/** Root over the hashes of adjoining subtrees, the largest and leftmost first. */
export function foldSubtrees(hashes: readonly Uint8Array[]): Buffer {
  const last = hashes.at(-1);
  if (last === undefined) return emptyRoot();
  let root: Buffer = Buffer.from(last);
  for (let i = hashes.length - 2; i >= 0; i--) root = nodeHash(hashes[i] ?? last, root);
  return root;
}

/** How many complete subtrees a tree of `size` leaves has: the ones in its binary form. Right up to 2^53 − 1. */
export function subtreeCount(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/**
 * The hashes of the complete subtrees of a growing tree, largest first: all that is needed to go on and to know the
 * root. Sizes up to 2^53 − 1; all arithmetic is on numbers, since shifts end at 32 bits.
 */
export class CompactRange {
  #size: number;
  readonly #hashes: Buffer[];

  /** Starts empty, or from the range of a tree of `size` leaves; refuses another number of hashes than it has. */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(size) || size < 0) throw new ProofError('bad_size', 'a size is a number from 0');
    prove(hashes.length === subtreeCount(size), 'bad_range', 'not the compact range of a tree of this size');
    prove(
      hashes.every((subtree) => subtree.length === hashBytes),
      'bad_hash',
      'a hash has 32 bytes',
    );
    this.#size = size;
    this.#hashes = hashes.map((subtree) => Buffer.from(subtree));
  }

  get size(): number {
    return this.#size;
  }

  /** Hashes of the complete subtrees, largest first. */
  get hashes(): Buffer[] {
    return [...this.#hashes];
  }

  /** Adds a leaf's hash. */
  append(leaf: Buffer): void {
    let merged = leaf;
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
      merged = nodeHash(this.#hashes.pop() ?? merged, merged);
    }
    this.#hashes.push(merged);
    this.#size++;
  }

  /** Root hash over all leaves so far. */
  root(): Buffer {
    return foldSubtrees(this.#hashes);
  }
}
