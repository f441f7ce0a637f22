/** A table from fixed-length ids (UUIDs, hashes) to small numbers, in a few bytes each: millions fit in memory. */

import { randomInt } from 'node:crypto';

/** Open addressing over typed arrays. Ids are numbered from 0 in the order in which they were added. */
export class HexTable {
  readonly #words: number;
  readonly #seed = randomInt(2 ** 31);
  /** Number of the id + 1; 0 where a slot is free. */
  #slots = new Uint32Array(1024);
  #ids: Uint32Array;
  #count = 0;
  readonly #probe: Uint32Array;

  /** `words` of 32 bits in an id: 4 for UUIDs, 8 for SHA-256. */
  constructor(words: number) {
    this.#words = words;
    this.#ids = new Uint32Array(512 * words);
    this.#probe = new Uint32Array(words);
  }

  get size(): number {
    return this.#count;
  }

  /** The number of an id; −1 where it was never added. */
  find(id: string): number {
    this.#read(id);
    return (this.#slots[this.#locate()] ?? 0) - 1;
  }

  /** Adds an id; answers its number. Compare with `size` before to see whether it is new. */
  add(id: string): number {
    this.#read(id);
    const slot = this.#locate();
    const known = this.#slots[slot] ?? 0;
    if (known > 0) return known - 1;
    const number = this.#count++;
    if (this.#count * this.#words > this.#ids.length) {
      const ids = new Uint32Array(this.#ids.length * 2);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    this.#ids.set(this.#probe, number * this.#words);
    this.#slots[slot] = number + 1;
    if (this.#count * 2 > this.#slots.length) this.#grow();
    return number;
  }

  /** Writes the bytes of the id with a number. */
  write(number: number, to: Buffer, at: number): void {
    for (let word = 0; word < this.#words; word++) {
      to.writeInt32BE((this.#ids[number * this.#words + word] ?? 0) | 0, at + word * 4);
    }
  }

  /** Hyphens do not count; whoever asks has checked that all else is hex. */
  #read(id: string): void {
    let at = 0;
    for (let word = 0; word < this.#words; word++) {
      let value = 0;
      for (let digit = 0; digit < 8; at++) {
        const code = id.charCodeAt(at);
        if (code === 0x2d) continue;
        value = (value << 4) | (code <= 0x39 ? code - 0x30 : code - 0x57);
        digit++;
      }
      this.#probe[word] = value;
    }
  }

  #locate(): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hash(this.#probe, 0) & mask;
    for (;;) {
      const known = this.#slots[slot] ?? 0;
      if (known === 0 || this.#equals(known - 1)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(number: number): boolean {
    const at = number * this.#words;
    for (let word = 0; word < this.#words; word++) {
      if (this.#ids[at + word] !== this.#probe[word]) return false;
    }
    return true;
  }

  /** Seeded, so that nobody can choose ids that all fall into one place. */
  #hash(words: Uint32Array, at: number): number {
    let value = this.#seed;
    for (let word = 0; word < this.#words; word++) {
      value = Math.imul(value ^ (words[at + word] ?? 0), 0x9e3779b1);
      value ^= value >>> 15;
    }
    return Math.imul(value, 0x85ebca6b) >>> 7;
  }

  #grow(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.#count; number++) {
      let slot = this.#hash(this.#ids, number * this.#words) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.#slots = slots;
  }
}
