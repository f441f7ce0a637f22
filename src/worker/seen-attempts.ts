/** The highest attempt of each task that this node has taken: for a week at least, and of so many tasks at least. */

import { Column } from '../proof/column.ts';
import { HexTable } from '../proof/hex-table.ts';

const keptS = 7 * 86_400;
const generationTasks = 250_000;
const entryBytes = 24;
const idBytes = 16;
const chunkEntries = 40_000;

/**
 * Two generations: what is taken goes into the younger one, which becomes the older one when it is full, or a week old; the older one goes
 * as a whole then. All of it is arrays of numbers, which the garbage collector does not look into.
 */
export class SeenAttempts {
  #younger = new Generation();
  #older = new Generation();

  /** Zero for none. `taskId`: a UUID in lower-case text; the caller vouches for its form. */
  highest(taskId: string): number {
    return Math.max(this.#younger.attempt(taskId), this.#older.attempt(taskId));
  }

  /** `taskId` as for `highest`; `atS`: seconds since the epoch, the manifest's `exp`. */
  add(taskId: string, attempt: number, atS: number): void {
    if (attempt <= this.highest(taskId)) return;
    if (this.#younger.size >= generationTasks || this.#younger.sinceS < atS - keptS) {
      this.#older = this.#younger;
      this.#younger = new Generation();
    }
    this.#younger.raise(taskId, attempt, atS);
  }

  /**
   * Chunks of entries of 24 bytes: task id (16), attempt (uint32), time (uint32), big-endian. A task that both generations know is in them
   * twice.
   */
  encode(): Buffer[] {
    const chunks: Buffer[] = [];
    for (const generation of [this.#older, this.#younger]) {
      for (let n = 0; n < generation.size; n += chunkEntries) chunks.push(generation.encode(n, n + chunkEntries));
    }
    return chunks;
  }

  decode(bytes: Buffer): void {
    for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
      const id = bytes.toString('hex', at, at + idBytes);
      this.add(id, bytes.readUInt32BE(at + idBytes), bytes.readUInt32BE(at + idBytes + 4));
    }
  }
}

/** Attempts and times by the number that a table gives to a task; both unsigned, of 32 bits, as they are written. */
class Generation {
  readonly #tasks = new HexTable(4);
  readonly #attempts = new Column();
  /** Seconds since the epoch. */
  readonly #times = new Column();
  /** The earliest of its times. */
  #sinceS = Infinity;

  get size(): number {
    return this.#tasks.size;
  }

  get sinceS(): number {
    return this.#sinceS;
  }

  /** Zero for none. */
  attempt(taskId: string): number {
    const n = this.#tasks.find(taskId);
    return n < 0 ? 0 : this.#attempts.get(n) >>> 0;
  }

  /** Nothing where as high an attempt is there already. */
  raise(taskId: string, attempt: number, atS: number): void {
    const n = this.#tasks.add(taskId);
    if (n < this.#attempts.length && attempt <= this.#attempts.get(n) >>> 0) return;
    this.#attempts.set(n, attempt);
    this.#times.set(n, atS);
    this.#sinceS = Math.min(this.#sinceS, atS);
  }

  /** Entries of tasks `from` to before `to`, or to the last. */
  encode(from: number, to: number): Buffer {
    const end = Math.min(to, this.size);
    const bytes = Buffer.allocUnsafe((end - from) * entryBytes);
    for (let n = from, at = 0; n < end; n++, at += entryBytes) {
      this.#tasks.write(n, bytes, at);
      bytes.writeInt32BE(this.#attempts.get(n), at + idBytes);
      bytes.writeInt32BE(this.#times.get(n), at + idBytes + 4);
    }
    return bytes;
  }
}
