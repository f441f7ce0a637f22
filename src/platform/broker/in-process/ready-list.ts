/** The ready messages of a queue in order: those that came back stand before those never delivered. */

import type { QueueEntry } from './message.ts';

/** Where the dead part of the array is longer than this and than the living part, it is cut off. */
const compactAt = 1024;

/**
 * A queue hands out in the order of positions, so whatever comes back is older than whatever was never out: two lists
 * suffice, and every step of the usual way costs the same however long they are.
 */
export class ReadyList {
  #fresh: (QueueEntry | undefined)[] = [];
  #head = 0;
  /** Descending by position: the next one is the last. */
  readonly #returned: QueueEntry[] = [];

  get size(): number {
    return this.#fresh.length - this.#head + this.#returned.length;
  }

  /** Adds a message that was never out; its position is the highest so far. */
  push(entry: QueueEntry): void {
    this.#fresh.push(entry);
  }

  /** Puts messages back at their old positions. */
  restore(entries: readonly QueueEntry[]): void {
    for (const entry of entries) this.#returned.push(entry);
    this.#returned.sort((a, b) => b.position - a.position);
  }

  peek(): QueueEntry | undefined {
    return this.#returned.at(-1) ?? this.#fresh[this.#head];
  }

  take(): QueueEntry | undefined {
    const returned = this.#returned.pop();
    if (returned !== undefined) return returned;
    const entry = this.#fresh[this.#head];
    if (entry === undefined) return undefined;
    this.#fresh[this.#head++] = undefined;
    if (this.#head === this.#fresh.length) {
      this.#fresh = [];
      this.#head = 0;
    } else if (this.#head > compactAt && this.#head * 2 > this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }
}
